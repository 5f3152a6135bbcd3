// Rollouts as operators steer them: pause, resume, abort, roll back. Each word is one transaction under the deployment's
// lock, so the leader's step comes before it or after it, never in between.

import { Injectable } from '@nestjs/common';
import type { DeploymentDto, DeploymentPlanDto, RolloutDto } from '#contracts';
import { type Deployment, RefusedError, type Rollout, type Rows, refuse, Store } from '#domain';
import { type FleetSnapshot, resumeRollout, rolloutFactsOf } from '#scheduling';
import type { Actor } from '../auth/actor.ts';
import { viewDeployment } from '../deployments/deployment-view.ts';
import type { DeploymentTarget } from '../deployments/deployments.ts';
import { planChange } from '../deployments/dry-run.ts';
import { demandPublished, demandStaying, findDeployment, wantedVersion } from '../deployments/wanted-version.ts';
import { FederationMetrics } from '../federation/metrics.ts';
import { readSchedulingSnapshot } from '../leader/snapshot.ts';
import { demandMatch } from '../mutations/headers.ts';
import { type Deed, Mutations } from '../mutations/mutations.ts';
import type { Page } from '../mutations/pages.ts';
import { viewRollouts } from './rollout-view.ts';
import { SoakClock } from './soak-clock.ts';
import { abortRollout, changeVersion, wayBack } from './version-change.ts';
import { changeOf } from './write-step.ts';

export const STEERING = ['pause', 'resume', 'abort'] as const;
export type Steering = (typeof STEERING)[number];

/** Older rollouts are kept, but not shown. */
const SHOWN_MAX = 200;
/** How the reason of an operator's pause begins, other than that of a wave's `pauseAfter`. */
const PAUSED_BY = 'paused by ';

@Injectable()
export class Rollouts {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
    private readonly metrics: FederationMetrics,
  ) {}

  /** Newest first, the newest 200. */
  async list(
    tenantId: string,
    name: string,
    query: { limit: number; after?: string | undefined },
  ): Promise<Page<RolloutDto>> {
    const { read } = this.store;
    const deployment = await findDeployment(read, tenantId, name);
    const all = await read.rollouts.ofDeployment(deployment.id, SHOWN_MAX);
    const begin = query.after === undefined ? 0 : all.findIndex(({ id }) => id === query.after) + 1;
    const shown = all.slice(begin, begin + query.limit);
    const next = begin + query.limit < all.length ? (shown.at(-1)?.id ?? null) : null;
    return { items: await viewRollouts(read, shown), next };
  }

  /** Pausing what is paused and resuming what goes on is harmless. */
  async steer(actor: Actor, target: DeploymentTarget, steering: Steering): Promise<DeploymentDto> {
    // Read beforehand: it is many reads, and a transaction has one connection.
    const fleet = steering === 'resume' ? await readSchedulingSnapshot(this.store.read) : null;
    const steered = await this.mutations.run(actor, `rollouts.${steering}`, async (rows) => {
      const deployment = await findDeployment(rows, actor.tenantId, target.name, true);
      demandMatch(target.ifMatch, deployment);
      demandStaying(deployment);
      const rollout = await demandActive(rows, deployment, steering);
      const written = await STEPS[steering](rows, { deployment, rollout, actor, fleet });
      return deed(rows, written, { name: deployment.name, rollout: rollout.id });
    });
    if (steering === 'abort') this.metrics.rolloutAborted('operator');
    return steered;
  }

  rollBack(actor: Actor, target: DeploymentTarget, number: number | undefined): Promise<DeploymentDto> {
    return this.mutations.run(actor, 'rollouts.rollback', async (rows) => {
      const deployment = await findDeployment(rows, actor.tenantId, target.name, true);
      demandMatch(target.ifMatch, deployment);
      const { versionId, version, policy } = await findWayBack(rows, deployment, number);
      const reason = `rolled back to version ${version} by ${actor.name}`;
      await changeVersion(rows, deployment, {
        toVersionId: versionId,
        policy,
        ending: { phase: 'RolledBack', reason },
      });
      await rows.deployments.update(deployment.id, deployment.revision, { versionId });
      await demandPublished(rows, versionId);
      const written = { ...deployment, versionId, revision: deployment.revision + 1 };
      return deed(rows, written, { name: deployment.name, version });
    });
  }

  async planRollBack(
    tenantId: string,
    target: DeploymentTarget,
    number: number | undefined,
  ): Promise<DeploymentPlanDto> {
    const { read } = this.store;
    const deployment = await findDeployment(read, tenantId, target.name);
    demandMatch(target.ifMatch, deployment);
    const { versionId, policy } = await findWayBack(read, deployment, number);
    return planChange(read, deployment, { ...deployment, versionId }, policy);
  }
}

interface Steered {
  readonly deployment: Deployment;
  readonly rollout: Rollout;
  readonly actor: Actor;
  /** Only for resuming. */
  readonly fleet: FleetSnapshot | null;
}

type Step = (rows: Rows, steered: Steered) => Promise<Deployment>;

/** What each word does; returns the deployment as it is then. */
const STEPS: Readonly<Record<Steering, Step>> = {
  pause: async (rows, { deployment, rollout: { id, phase }, actor }) => {
    if (phase === 'Paused') return deployment;
    await rows.rollouts.update(id, { phase: 'Paused', reason: `${PAUSED_BY}${actor.name}` });
    return deployment;
  },
  resume: async (rows, { deployment, rollout, fleet }) => {
    if (rollout.phase === 'Progressing') return deployment;
    await rows.rollouts.update(rollout.id, { ...resumed(rollout, fleet), phase: 'Progressing' });
    return deployment;
  },
  abort: (rows, { deployment, rollout, actor }) => abortRollout(rows, deployment, rollout, `aborted by ${actor.name}`),
};

/** Only what the leader would not do by itself: open the wave after one with `pauseAfter`. */
function resumed(rollout: Rollout, fleet: FleetSnapshot | null): Parameters<Rows['rollouts']['update']>[1] {
  if (fleet === null) return { reason: 'resumed' };
  // A wave that asked for its pause has soaked by the leader's clock, and that one counts.
  const isDone = !rollout.reason.startsWith(PAUSED_BY);
  const soaked = isDone
    ? { ...rollout, waveReadyAt: new Date(0) }
    : new SoakClock({ nowMs: () => fleet.nowMs }).apply(rollout);
  const rollouts = new Map(fleet.rollouts).set(rollout.deploymentId, soaked);
  const facts = rolloutFactsOf({ ...fleet, rollouts }, rollout.deploymentId, null);
  const step = facts === null ? null : resumeRollout(facts);
  return step?.step === 'open-wave' ? changeOf(step, new Date(fleet.nowMs)) : { reason: step?.reason ?? 'resumed' };
}

const OVER: Readonly<Record<Steering, string>> = {
  pause: 'it cannot be paused',
  resume: 'it cannot be resumed; change the version to begin another one',
  abort: 'it cannot be aborted; POST …/rollback goes back to the version before',
};

/** @throws RefusedError conflict that says what would be right */
async function demandActive(rows: Rows, { id, name }: Deployment, steering: Steering): Promise<Rollout> {
  const [active] = await rows.rollouts.active(id);
  if (active !== undefined) return active;
  const [newest] = await viewRollouts(rows, await rows.rollouts.ofDeployment(id, 1));
  const what =
    newest === undefined
      ? `deployment "${name}" has had no rollout; changing its version begins one`
      : `the newest rollout of deployment "${name}", to version ${newest.toVersion}, is over (${newest.phase}): ${OVER[steering]}`;
  throw new RefusedError(refuse.conflict(what));
}

/** @throws RefusedError conflict when nothing says what was before, invalid `version` when it is no way back */
async function findWayBack(rows: Rows, deployment: Deployment, number: number | undefined) {
  demandStaying(deployment);
  const model = await rows.models.find({ id: deployment.modelId });
  const named = { id: deployment.modelId, name: model?.name ?? '' };
  const [active] = await rows.rollouts.active(deployment.id);
  const wish = number ?? (await numberBefore(rows, deployment, active));
  const { version } = await wantedVersion(rows, named, { version: wish });
  if (version.id === deployment.versionId) {
    const reason = `version ${wish} is what deployment "${deployment.name}" wants already; name another one`;
    throw new RefusedError(refuse.invalid('version', reason));
  }
  const { consistency } = active?.policy ?? deployment.rollout;
  return { versionId: version.id, version: version.number, policy: wayBack(consistency) };
}

/** Where the active rollout came from, else the one that led to the present version. */
async function numberBefore(rows: Rows, deployment: Deployment, active: Rollout | undefined): Promise<number> {
  const past = await rows.rollouts.ofDeployment(deployment.id, SHOWN_MAX);
  const newest = past.find(({ phase, toVersionId }) => phase === 'Completed' && toVersionId === deployment.versionId);
  const before = active ?? newest;
  const version = before === undefined ? null : await rows.versions.find({ id: before.fromVersionId });
  if (version !== null) return version.number;
  const reason = `no completed rollout led deployment "${deployment.name}" to its version: name the version to go back to`;
  throw new RefusedError(refuse.conflict(reason));
}

async function deed(rows: Rows, deployment: Deployment, detail: Record<string, unknown>): Promise<Deed<DeploymentDto>> {
  return { result: await viewDeployment(rows, deployment), targetKind: 'deployment', targetId: deployment.id, detail };
}
