/**
 * Requests, as gateways would count them: each second some to every replica that serves. In some worlds one version fails
 * or is slow, so that rollouts to it are to be aborted. Every control plane hears of all of them.
 */
import { FIRST_BYTE_BOUNDS_MS, isRolloutActive, type VersionOutcomes } from '#domain';
import type { Machine } from './agent.ts';
import type { Database } from './database.ts';
import type { World } from './world.ts';

const REQUESTS_A_SECOND = 4;
const FAST = 2;
const SLOW = 7;

export class Traffic {
  private readonly counts = new Map<string, VersionOutcomes>();
  /** Version number → what is wrong with it. */
  private readonly fault: { readonly number: number; readonly isSlow: boolean } | null;

  constructor(
    private readonly world: World,
    private readonly database: Database,
    private readonly machines: ReadonlyMap<string, Machine>,
  ) {
    this.fault = world.chance(0.4) ? { number: world.between(1, 3), isSlow: world.chance(0.5) } : null;
  }

  of(deploymentId: string, digest: string): VersionOutcomes {
    return this.counts.get(`${deploymentId}/${digest}`) ?? NONE;
  }

  flow(): void {
    const { placements, rollouts, versions } = this.database.committed;
    const active = new Map([...rollouts.values()].filter(isRolloutActive).map((each) => [each.deploymentId, each]));
    for (const { id, deploymentId, clusterId, versionId, phase } of placements.values()) {
      const engine = this.machines.get(clusterId)?.engines.get(id);
      if (phase !== 'Assigned' || engine === undefined || engine.readyAtMs > this.world.nowMs) continue;
      const rollout = active.get(deploymentId);
      const isHeldBack =
        rollout?.policy.consistency === 'strict' && !rollout.isSwitched && rollout.toVersionId === versionId;
      if (!isHeldBack) this.count(`${deploymentId}/${engine.versionDigest}`, versions.get(versionId)!.number);
    }
  }

  private count(key: string, number: number): void {
    const { requests, failures, firstByteCounts } = this.counts.get(key) ?? NONE;
    const isFaulty = this.fault?.number === number;
    const bucket = isFaulty && this.fault.isSlow ? SLOW : FAST;
    this.counts.set(key, {
      requests: requests + REQUESTS_A_SECOND,
      failures: failures + (isFaulty && !this.fault.isSlow ? REQUESTS_A_SECOND / 2 : 0),
      firstByteCounts: firstByteCounts.map((count, index) => count + (index === bucket ? REQUESTS_A_SECOND : 0)),
    });
  }
}

const NONE: VersionOutcomes = {
  requests: 0,
  failures: 0,
  firstByteCounts: Array.from({ length: FIRST_BYTE_BOUNDS_MS.length + 1 }, () => 0),
};
