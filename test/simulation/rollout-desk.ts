/** What an operator does to rollouts, each in one transaction, by the production functions that the admin API uses too. */
import {
  type Deployment,
  RefusedError,
  type Rollout,
  type RolloutPolicy,
  type Rows,
  refuse,
  type Store,
} from '#domain';
import { resumeRollout, rolloutFactsOf } from '#scheduling';
import { readSchedulingSnapshot } from '../../apps/control-plane/src/leader/snapshot.ts';
import { demandMatch } from '../../apps/control-plane/src/mutations/headers.ts';
import { abortRollout, changeVersion, wayBack } from '../../apps/control-plane/src/rollouts/version-change.ts';
import { changeOf } from '../../apps/control-plane/src/rollouts/write-step.ts';
import { TENANT } from './table-rows.ts';

export class RolloutDesk {
  constructor(private readonly store: Store) {}

  start(name: string, ifMatch: string, version: number, policy: RolloutPolicy): Promise<void> {
    return this.store.transaction(async (rows) => {
      const deployment = await find(rows, name, ifMatch);
      const target = await rows.versions.find({ modelId: deployment.modelId, number: version });
      if (target === null) throw new RefusedError(refuse.invalid('version', 'there is none'));
      const ending = { phase: 'Superseded', reason: 'another version is wanted' } as const;
      await changeVersion(rows, deployment, { toVersionId: target.id, policy, ending });
      await rows.deployments.update(deployment.id, deployment.revision, { versionId: target.id, rollout: policy });
    });
  }

  /** An active rollout is aborted; else the version before the present one is wanted again. */
  rollBack(name: string, ifMatch: string): Promise<void> {
    return this.store.transaction(async (rows) => {
      const deployment = await find(rows, name, ifMatch);
      const [active] = await rows.rollouts.active(deployment.id);
      if (active !== undefined) return void (await abortRollout(rows, deployment, active, 'the operator said so'));
      const [newest] = await rows.rollouts.ofDeployment(deployment.id, 1);
      const toVersionId = newest?.fromVersionId ?? deployment.versionId;
      const ending = { phase: 'RolledBack', reason: 'the operator said so' } as const;
      await changeVersion(rows, deployment, { toVersionId, policy: wayBack('rolling'), ending });
      await rows.deployments.update(deployment.id, deployment.revision, { versionId: toVersionId });
    });
  }

  pause(name: string): Promise<void> {
    return this.onActive(name, async (rows, { id }) => {
      await rows.rollouts.update(id, { phase: 'Paused', reason: 'the operator paused it' });
    });
  }

  resume(name: string): Promise<void> {
    return this.onActive(name, async (rows, rollout) => {
      const facts = rolloutFactsOf(await readSchedulingSnapshot(rows), rollout.deploymentId, null);
      const step = facts === null ? null : resumeRollout(facts);
      const opened = step?.step === 'open-wave' ? changeOf(step, new Date()) : {};
      await rows.rollouts.update(rollout.id, { phase: 'Progressing', ...opened });
    });
  }

  /** Nothing when the rollout is over meanwhile. */
  private onActive(name: string, work: (rows: Rows, rollout: Rollout) => Promise<void>): Promise<void> {
    return this.store.transaction(async (rows) => {
      const deployment = await rows.deployments.find({ tenantId: TENANT, name });
      const [active] = deployment === null ? [] : await rows.rollouts.active(deployment.id);
      if (active !== undefined) await work(rows, active);
    });
  }
}

async function find(rows: Rows, name: string, ifMatch: string): Promise<Deployment> {
  const deployment = await rows.deployments.find({ tenantId: TENANT, name }, true);
  if (deployment === null) throw new RefusedError(refuse.notFound('deployment', name));
  demandMatch(ifMatch, deployment);
  if (deployment.deletedAt !== null) throw new RefusedError(refuse.conflict('it is being deleted'));
  return deployment;
}
