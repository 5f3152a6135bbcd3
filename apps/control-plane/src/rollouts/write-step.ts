/**
 * Commits one step of a rollout, in one transaction that first looks whether rollout and deployment are still as they
 * were when it was decided: an operator's word that came between wins, and a step that was computed twice is written once.
 */
import { createHash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import type { Deployment, Rollout, Rows } from '#domain';
import type { RolloutStep } from '#scheduling';
import { abortRollout } from './version-change.ts';

/** @returns false when something changed meanwhile: nothing was written, and the next look decides anew */
export async function writeStep(
  rows: Rows,
  epoch: number,
  decided: {
    readonly rollout: Rollout;
    readonly deployment: Deployment;
    readonly step: RolloutStep;
    readonly nowMs: number;
  },
): Promise<boolean> {
  const { rollout, step } = decided;
  const deployment = await rows.deployments.find({ id: rollout.deploymentId }, true);
  const [present] = await rows.rollouts.active(rollout.deploymentId);
  if (deployment === null || deployment.revision !== decided.deployment.revision) return false;
  if (present === undefined || stateOf(present) !== stateOf(rollout)) return false;
  if (step.step === 'abort') {
    await abortRollout(rows, deployment, present, step.reason);
    await rows.decisions.insert({
      id: uuidv7(),
      subjectKind: 'deployment',
      subjectId: deployment.id,
      epoch,
      inputsHash: createHash('sha256').update(stateOf(present)).digest('hex'),
      candidates: [],
      outcome: `the rollout was aborted: ${step.reason}`,
      detail: null,
      decidedAt: new Date(decided.nowMs),
    });
  } else {
    await rows.rollouts.update(present.id, changeOf(step, new Date(decided.nowMs)));
  }
  if (step.step !== 'wait' && step.step !== 'wave-ready') await audit(rows, deployment, present, step);
  return true;
}

/** Nobody should change a deployment past its rollout; whoever did meant it. */
export function isPassedBy({ toVersionId }: Rollout, { deletedAt, versionId }: Deployment): boolean {
  return deletedAt !== null || versionId !== toVersionId;
}

/** Ends a rollout that its deployment has passed by, if that is still so. */
export async function supersede(rows: Rows, { id, deploymentId }: Rollout): Promise<void> {
  const deployment = await rows.deployments.find({ id: deploymentId }, true);
  const present = (await rows.rollouts.active(deploymentId)).find((rollout) => rollout.id === id);
  if (deployment === null || present === undefined || !isPassedBy(present, deployment)) return;
  await rows.rollouts.update(id, { phase: 'Superseded', reason: 'the deployment wants something else meanwhile' });
}

/** What a step, other than an abort, writes. */
export function changeOf(
  step: Exclude<RolloutStep, { step: 'abort' }>,
  now: Date,
): Parameters<Rows['rollouts']['update']>[1] {
  const { reason } = step;
  switch (step.step) {
    case 'open-wave': {
      const { wave, clusterIds: openClusterIds, isOpenToAll } = step;
      return { wave, openClusterIds, isOpenToAll, waveSince: now, waveReadyAt: null, reason };
    }
    case 'wave-ready':
      return { waveReadyAt: now, reason };
    case 'switch':
      return { isSwitched: true, reason };
    case 'complete':
      return { phase: 'Completed', reason };
    case 'pause':
      return { phase: 'Paused', reason };
    case 'wait':
      return { reason };
  }
}

function stateOf({ id, phase, wave, openClusterIds, isOpenToAll, isSwitched, waveReadyAt }: Rollout): string {
  return JSON.stringify([id, phase, wave, openClusterIds, isOpenToAll, isSwitched, waveReadyAt]);
}

async function audit(
  rows: Rows,
  deployment: Deployment,
  rollout: Rollout,
  { step, reason }: RolloutStep,
): Promise<void> {
  await rows.audit.add({
    tenantId: deployment.tenantId,
    actor: 'controller:rollouts',
    action: `rollouts.${step}`,
    targetKind: 'deployment',
    targetId: deployment.id,
    detail: { name: deployment.name, rollout: rollout.id, reason },
  });
}
