/**
 * What another version of a deployment means for its rollouts. Everything here is part of the transaction that changes
 * the deployment, whose row the caller has locked: never is a version wanted without the rollout that leads there, and
 * never are two rollouts of one deployment active.
 *
 * A rollout begins without an open wave: nothing moves before the leader has looked at the fleet and opened the first.
 */
import { v7 as uuidv7 } from 'uuid';
import type { Consistency, Deployment, Placement, Rollout, RolloutPolicy, Rows } from '#domain';

export interface VersionChange {
  readonly toVersionId: string;
  readonly policy: RolloutPolicy;
  /** How a rollout ends that is active now, and why: one sentence. */
  readonly ending: { readonly phase: 'Superseded' | 'RolledBack'; readonly reason: string };
}

/** Everywhere at once, and never taken back by itself: where something goes back to has proven itself. */
export function wayBack(consistency: Consistency): RolloutPolicy {
  return { waves: [{ percent: 100, soakSeconds: 0, pauseAfter: false }], abort: null, consistency };
}

/**
 * Ends the active rollout and begins the next; the caller writes the deployment's `versionId`.
 *
 * @param deployment as it is before the change
 * @returns null when none is needed: nothing runs, or what runs is that version already
 */
export async function changeVersion(
  rows: Rows,
  deployment: Deployment,
  { toVersionId, policy, ending }: VersionChange,
): Promise<Rollout | null> {
  const [active] = await rows.rollouts.active(deployment.id);
  const live = await rows.placements.live({ deploymentId: deployment.id });
  if (active !== undefined) await rows.rollouts.update(active.id, ending);
  const rollout = nextRollout(deployment, { toVersionId, policy, active, live, now: await rows.clock.now() });
  if (rollout !== null) await rows.rollouts.insert(rollout);
  return rollout;
}

/**
 * Takes an active rollout back: its deployment wants the version before again. A strict one that has switched goes the
 * way back as a rollout, or two versions would serve at once.
 *
 * @returns the deployment as written
 */
export async function abortRollout(
  rows: Rows,
  deployment: Deployment,
  rollout: Rollout,
  reason: string,
): Promise<Deployment> {
  const { fromVersionId: versionId, toVersionId, policy } = rollout;
  await rows.rollouts.update(rollout.id, { phase: 'Aborted', reason });
  if (policy.consistency === 'strict' && rollout.isSwitched) {
    const back = { toVersionId: versionId, policy: wayBack('strict'), now: await rows.clock.now() };
    await rows.rollouts.insert(newRollout(deployment, toVersionId, back));
  }
  await rows.deployments.update(deployment.id, deployment.revision, { versionId });
  return { ...deployment, versionId, revision: deployment.revision + 1 };
}

/** The rollout that a change would begin, or null. Pure but for its id, whose time is `now`: the newest has the highest. */
export function nextRollout(
  deployment: Deployment,
  change: {
    readonly toVersionId: string;
    readonly policy: RolloutPolicy;
    readonly active: Rollout | undefined;
    readonly live: readonly Placement[];
    readonly now: Date;
  },
): Rollout | null {
  const { active, live, toVersionId } = change;
  if (live.length === 0 || deployment.deletedAt !== null) return null;
  const from = active === undefined ? deployment.versionId : versionServing(active, live);
  return from === toVersionId ? null : newRollout(deployment, from, change);
}

/** Which version stands for "before" while a rollout was under way: the one that serves, or that most replicas run. */
function versionServing(active: Rollout, live: readonly Placement[]): string {
  if (active.policy.consistency === 'strict') return active.isSwitched ? active.toVersionId : active.fromVersionId;
  const assigned = live.filter(({ phase }) => phase === 'Assigned');
  const counts = new Map<string, number>([[active.fromVersionId, 0]]); // the first of equals wins
  for (const { versionId } of assigned.length > 0 ? assigned : live) {
    counts.set(versionId, (counts.get(versionId) ?? 0) + 1);
  }
  return [...counts].reduce((best, each) => (each[1] > best[1] ? each : best))[0];
}

function newRollout(
  deployment: Deployment,
  fromVersionId: string,
  { toVersionId, policy, now }: { readonly toVersionId: string; readonly policy: RolloutPolicy; readonly now: Date },
): Rollout {
  return {
    id: uuidv7({ msecs: now.getTime() }),
    tenantId: deployment.tenantId,
    deploymentId: deployment.id,
    fromVersionId,
    toVersionId,
    policy,
    phase: 'Progressing',
    wave: -1,
    openClusterIds: [],
    isOpenToAll: false,
    isSwitched: false,
    waveSince: now,
    waveReadyAt: null,
    reason: 'the first wave opens next',
    startedAt: now,
    endedAt: null,
  };
}
