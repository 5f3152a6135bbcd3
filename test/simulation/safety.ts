/**
 * What must hold at every step, looked at from outside with the true time and the true state of machines. Each check
 * names its invariant (DESIGN §7) or promise. Checks of what was decided on a snapshot forgive what changed within the
 * last seconds, which is longer than any snapshot is under way without being refused.
 */
import {
  type Cluster,
  type Deployment,
  type DesiredReplica,
  type DesiredState,
  isMassUnknown,
  type Observation,
  type Placement,
} from '#domain';
import type { Agent, Machine } from './agent.ts';
import type { ControlPlane } from './control-plane.ts';
import type { Commit, Database } from './database.ts';
import { checkSwitch, checkWaves, isHeldBack, isToServe } from './rollout-safety.ts';
import type { Tables } from './tables.ts';
import type { World } from './world.ts';

const FORGIVEN_MS = 6_000;
/** A loop that comes round once a second knows of a new link, and of its own sleep, a second late. */
const LOOP_MS = 1_100;
const DRAIN_MS_MAX = 600_000;
const SUSPECT_MS = 3_000;
const UNKNOWN_MS = 40_000;
const FAILURES_BEFORE_MOVE = 5;

interface Span {
  fromMs: number;
  toMs: number;
}

export class Safety {
  /** Cluster → when it was last Unknown, by true time. */
  private readonly unknown = new Map<string, Span>();
  /** Cluster → when it was last being drained, by true time. */
  private readonly drainedAtMs = new Map<string, number>();
  private massSinceMs = Number.POSITIVE_INFINITY;
  /** Placement → since when, and until when, stored reports say that it serves. */
  private readonly readySinceMs = new Map<string, number>();
  private readonly servingAtMs = new Map<string, number>();
  /** Placement → true time at which a stored report last said so. */
  private readonly failingAtMs = new Map<string, number>();
  /** Every document ever committed: (cluster, epoch, revision) → content. */
  private readonly documents = new Map<string, string>();
  private readonly positions = new Map<string, { epoch: number; revision: number }>();
  private readonly hearingSinceMs = new Map<string, number>();
  /**
   * Machines whose disk fell back a generation: they start anew what the agent before had stopped, and reported as stopped.
   * What they run is judged again once they have a new document, and the centre decides by a report of that.
   */
  readonly fellBack = new Set<string>();
  /** Cluster id → the boot that got a new document after its disk fell back. */
  private readonly renewed = new Map<string, string>();
  private readonly renewalForgivenUntilMs = new Map<string, number>();

  constructor(
    private readonly world: World,
    private readonly database: Database,
    private readonly machines: ReadonlyMap<string, Machine>,
  ) {}

  onCommit(commit: Commit): void {
    this.noteReports(commit);
    this.checkEpoch(commit);
    this.checkDocuments(commit);
    this.checkPhases(commit);
    this.notePhases(commit);
    checkSwitch(this.world, commit, ({ id }) => this.servedLately(id));
    if (commit.before.placements === commit.after.placements) return;
    this.checkDevices(commit.after);
    this.checkDrainedTakeNothing(commit);
    checkWaves(this.world, commit);
    this.checkRemovals(commit);
    this.checkMoves(commit);
    this.checkDrains(commit);
  }

  onApplied(agent: Agent, state: DesiredState, isFromDisk: boolean): void {
    const { clusterId, epoch, revision } = state;
    this.world.say(`${agent.name} applies ${epoch}/${revision}${isFromDisk ? ' from disk' : ''}`);
    const before = isFromDisk ? undefined : this.positions.get(agent.bootId);
    const isOlder =
      before !== undefined && (epoch < before.epoch || (epoch === before.epoch && revision <= before.revision));
    if (isOlder)
      this.world.broken(
        `invariant 4: ${agent.name} went from ${before.epoch}/${before.revision} to ${epoch}/${revision}`,
      );
    this.positions.set(agent.bootId, { epoch, revision });
    if (!isFromDisk && this.fellBack.has(clusterId)) this.renewed.set(clusterId, agent.bootId);
    const committed = this.documents.get(`${clusterId}/${epoch}/${revision}`);
    if (committed !== contentOf(state))
      this.world.broken(`invariant 1: ${agent.name} applies what was never committed`);
  }

  onStarting(agent: Agent, { replicaId, versionDigest }: DesiredReplica): void {
    const { machine } = agent;
    this.world.say(`${agent.name} starts ${short(replicaId)}`);
    const isVerified = agent.held.has(versionDigest) && machine.disk.versions.has(versionDigest);
    if (!isVerified) this.world.broken(`invariant 5: ${agent.name} starts an engine on a version it does not hold`);
    if (machine.engines.has(replicaId))
      this.world.broken(`R5: ${agent.name} starts ${short(replicaId)}, which runs already`);
  }

  onStopping(agent: Agent, replicaId: string, reason: string): void {
    this.world.say(`${agent.name} stops ${short(replicaId)}: ${reason}`);
    const spec = agent.keeper.state?.replicas.find((replica) => replica.replicaId === replicaId);
    const running = agent.replicas.get(replicaId);
    const isAsked =
      agent.keeper.state !== null &&
      (spec === undefined || spec.draining || spec.versionDigest !== running?.versionDigest);
    if (!isAsked)
      this.world.broken(`R5, invariant 7: ${agent.name} stops ${short(replicaId)}, which its document wants`);
  }

  /** Once a second, while the network is calm: nothing that is heard stays down (R8). */
  checkStuck(leader: ControlPlane | undefined, isCalm: boolean): void {
    for (const cluster of this.database.committed.clusters.values()) {
      const heardAtMs = leader?.watch.heardAtMs.get(cluster.id) ?? Number.NEGATIVE_INFINITY;
      const isDown = cluster.phase === 'Suspect' || cluster.phase === 'Unknown';
      const key = `${leader?.name}/${leader?.epoch}/${cluster.id}`;
      const isHeard =
        leader?.state === 'running' &&
        leader.epoch !== null &&
        leader.isConnected &&
        this.world.nowMs - heardAtMs < 2_500;
      if (!isDown || !isHeard || !isCalm) this.hearingSinceMs.delete(key);
      else if (!this.hearingSinceMs.has(key)) this.hearingSinceMs.set(key, this.world.nowMs);
      const sinceMs = this.hearingSinceMs.get(key) ?? this.world.nowMs;
      if (this.world.nowMs - sinceMs > 6_000)
        this.world.broken(`R8: ${cluster.name} is ${cluster.phase} though its heartbeats are heard`);
    }
  }

  private checkEpoch({ process, epoch, before }: Commit): void {
    if (epoch === null || epoch === before.epoch) return;
    this.world.broken(`R11, invariant 4: ${process.name} wrote with epoch ${epoch}, the newest is ${before.epoch}`);
  }

  private checkDocuments({ before, after }: Commit): void {
    for (const [clusterId, state] of after.desired) {
      const old = before.desired.get(clusterId);
      if (old === state) continue;
      this.documents.set(`${clusterId}/${state.epoch}/${state.revision}`, contentOf(state));
      const isNext = state.revision === (old?.revision ?? 0) + 1 && state.epoch >= (old?.epoch ?? 0);
      if (!isNext)
        this.world.broken(
          `invariant 1: a document went from ${old?.epoch}/${old?.revision} to ${state.epoch}/${state.revision}`,
        );
    }
  }

  /** R6: nobody is called silent by an observer that did not listen for as long as that takes. */
  private checkPhases({ process, decidedAtMs, before, after }: Commit): void {
    for (const cluster of after.clusters.values()) {
      const old = before.clusters.get(cluster.id);
      if (old === undefined || old.phase === cluster.phase) continue;
      this.world.say(`${process.name}: ${cluster.name} ${old.phase} → ${cluster.phase}`);
      const neededMs = cluster.phase === 'Unknown' ? UNKNOWN_MS : cluster.phase === 'Suspect' ? SUSPECT_MS : 0;
      const { watch } = process as ControlPlane;
      // It slept, heard or lost its link between the decision and the commit: what it knew then is no longer known here.
      if (neededMs === 0 || decidedAtMs < watch.sinceMs) continue;
      const silentMs = decidedAtMs - Math.max(watch.sinceMs, watch.heardAtMs.get(cluster.id) ?? 0);
      if (silentMs > 0 && silentMs < neededMs - LOOP_MS)
        this.world.broken(
          `R6: ${process.name} calls ${cluster.name} ${cluster.phase} after ${silentMs} ms of watching`,
        );
    }
  }

  private notePhases({ after }: Commit): void {
    const { nowMs } = this.world;
    for (const { id, phase } of after.clusters.values()) {
      const span = this.unknown.get(id);
      if (phase !== 'Unknown') continue;
      if (span === undefined || nowMs - span.toMs > FORGIVEN_MS) this.unknown.set(id, { fromMs: nowMs, toMs: nowMs });
    }
    const isMass = isMassUnknown([...after.clusters.values()].map(({ phase }) => phase));
    if (!isMass) this.massSinceMs = Number.POSITIVE_INFINITY;
    else this.massSinceMs = Math.min(this.massSinceMs, nowMs);
  }

  /** Keeps the spans of Unknown and drained clusters growing; called at every commit and each second. */
  noteTime(): void {
    for (const { id, phase, drain } of this.database.committed.clusters.values()) {
      const span = this.unknown.get(id);
      if (phase === 'Unknown' && span !== undefined) span.toMs = this.world.nowMs;
      if (drain !== null) this.drainedAtMs.set(id, this.world.nowMs);
    }
  }

  isFallenBack(clusterId: string): boolean {
    return this.fellBack.has(clusterId) || this.world.nowMs <= (this.renewalForgivenUntilMs.get(clusterId) ?? -1);
  }

  private noteRenewal(clusterId: string, { bootId, epoch, revision }: Observation['report']): void {
    const position = this.positions.get(bootId);
    if (this.renewed.get(clusterId) !== bootId) return;
    if (position?.epoch !== epoch || position.revision !== revision) return;
    this.renewed.delete(clusterId);
    this.fellBack.delete(clusterId);
    this.renewalForgivenUntilMs.set(clusterId, this.world.nowMs + FORGIVEN_MS);
  }

  private noteReports({ before, after }: Commit): void {
    this.noteTime();
    for (const [clusterId, observation] of after.observations) {
      if (before.observations.get(clusterId) === observation) continue;
      this.noteRenewal(clusterId, observation.report);
      for (const { replicaId, phase, restarts } of observation.report.replicas) {
        if (phase === 'Failed' && restarts >= FAILURES_BEFORE_MOVE) this.failingAtMs.set(replicaId, this.world.nowMs);
      }
    }
    for (const [id, placement] of before.placements) {
      if (!isReady(before, placement)) {
        this.readySinceMs.delete(id);
        continue;
      }
      this.servingAtMs.set(id, this.world.nowMs);
      if (!this.readySinceMs.has(id)) this.readySinceMs.set(id, this.world.nowMs);
    }
  }

  /** Invariant 2, by the books. */
  private checkDevices(after: Tables): void {
    for (const { id, name, phase } of after.clusters.values()) {
      const devices = this.machines.get(id)!.nodes.flatMap((node) => node.devices).length;
      const live = [...after.placements.values()].filter((each) => each.clusterId === id && each.phase !== 'Removed');
      const taken = live.reduce((sum, { claim }) => sum + claim.count, 0);
      if (phase !== 'Left' && taken > devices)
        this.world.broken(`invariant 2: ${taken} of ${devices} devices of ${name} are placed`);
    }
  }

  /** A cluster that is emptied gets nothing new, whatever its mode. */
  private checkDrainedTakeNothing({ before, after }: Commit): void {
    for (const { id, clusterId } of after.placements.values()) {
      const cluster = before.clusters.get(clusterId);
      if (before.placements.has(id) || cluster === undefined || cluster.drain === null) continue;
      this.world.broken(`drain: ${short(id)} is placed in ${cluster.name}, which is being drained`);
    }
  }

  /** Invariant 7: only what has truly stopped, or drained for ten minutes, or whose cluster left, is struck off. */
  private checkRemovals({ before, after }: Commit): void {
    for (const [id, placement] of after.placements) {
      const old = before.placements.get(id);
      if (placement.phase !== 'Removed' || old === undefined || old.phase === 'Removed') continue;
      this.world.say(`${short(id)} removed: ${placement.reason}`);
      if (after.clusters.get(placement.clusterId)?.phase === 'Left' || this.isFallenBack(placement.clusterId)) continue;
      const isRunning = this.machines.get(placement.clusterId)!.engines.has(id);
      const hasDrained = this.world.nowMs - old.phaseSince.getTime() > DRAIN_MS_MAX;
      if (old.phase !== 'Draining') this.world.broken(`invariant 7: ${short(id)} is removed without a drain`);
      if (isRunning && !hasDrained) this.world.broken(`invariant 7: ${short(id)} is removed and still runs`);
    }
  }

  /** R6, R22, invariant 7: a second place is given only for a replica that was out of contact for as long as allowed. */
  private checkMoves({ before, after }: Commit): void {
    for (const deployment of before.deployments.values()) {
      const all = [...after.placements.values()].filter(
        ({ id, deploymentId }) => deploymentId === deployment.id && !before.placements.has(id),
      );
      for (const { id, clusterId, versionId } of all) {
        const version = `v${after.versions.get(versionId)?.number}`;
        this.world.say(
          `${short(id)} placed in ${after.clusters.get(clusterId)?.name} for ${deployment.name} ${version}`,
        );
      }
      const added = all.filter((placement) => !isHeldBack(before, deployment, placement));
      if (added.length === 0) continue;
      const wanted = deployment.deletedAt === null ? deployment.replicas : 0;
      const standing = [...before.placements.values()].filter((placement) =>
        this.stands(before, deployment, placement),
      );
      const counted = standing.filter((placement) => !this.isExcused(deployment, placement));
      if (counted.length + added.length <= wanted) continue;
      this.world.broken(
        `R6, R22, invariant 7: ${deployment.name} wants ${wanted}, has ${counted.length} that may not be given up, and gets ${added.length} more`,
      );
    }
  }

  private stands(tables: Tables, deployment: Deployment, placement: Placement): boolean {
    const { deploymentId, phase, clusterId } = placement;
    if (deploymentId !== deployment.id || phase !== 'Assigned') return false;
    const cluster = tables.clusters.get(clusterId);
    const isThere = cluster !== undefined && cluster.phase !== 'Left' && !this.drainedLately(cluster);
    return isThere && isToServe(tables, deployment, placement);
  }

  private drainedLately({ id, drain }: Cluster): boolean {
    const atMs = this.drainedAtMs.get(id) ?? Number.NEGATIVE_INFINITY;
    return drain !== null || this.world.nowMs - atMs < FORGIVEN_MS;
  }

  private isExcused({ disconnect }: Deployment, { id, clusterId }: Placement): boolean {
    const { nowMs } = this.world;
    if (nowMs - (this.failingAtMs.get(id) ?? Number.NEGATIVE_INFINITY) < FORGIVEN_MS) return true;
    const span = this.unknown.get(clusterId);
    if (disconnect.replace === 'never' || span === undefined || nowMs - span.toMs > FORGIVEN_MS) return false;
    const isMass = nowMs - this.massSinceMs > FORGIVEN_MS;
    return !isMass && span.toMs - span.fromMs > disconnect.lostAfterSeconds * 1_000 - 1_000;
  }

  /** Serves, and did so when the plan was made. */
  private hasServed(tables: Tables, placement: Placement): boolean {
    const sinceMs = this.readySinceMs.get(placement.id) ?? this.world.nowMs;
    return isReady(tables, placement) && this.world.nowMs - sinceMs > FORGIVEN_MS;
  }

  private servedLately(placementId: string): boolean {
    return this.world.nowMs - (this.servingAtMs.get(placementId) ?? Number.NEGATIVE_INFINITY) < FORGIVEN_MS;
  }

  /** R7: what serves goes only while as many as wanted go on serving. */
  private checkDrains({ before, after }: Commit): void {
    for (const deployment of before.deployments.values()) {
      const all = [...before.placements.values()].filter(
        ({ deploymentId, phase }) => deploymentId === deployment.id && phase === 'Assigned',
      );
      const own = all.filter(
        (placement) => !isHeldBack(before, deployment, placement) && !isForced(after.placements.get(placement.id)),
      );
      for (const { id } of all) {
        const { phase, reason } = after.placements.get(id) ?? { phase: 'Removed' };
        if (phase === 'Draining') this.world.say(`${short(id)} drains: ${reason}`);
      }
      const drained = own.filter(({ id }) => after.placements.get(id)?.phase === 'Draining');
      const lost = drained.filter((placement) => this.hasServed(before, placement));
      const isInPlace = lost.every(({ id }) =>
        after.placements.get(id)!.reason.startsWith('no room to run old and new'),
      );
      if (isInPlace && lost.length > 1)
        this.world.broken(`R7: ${lost.length} replicas of ${deployment.name} are replaced in place at once`);
      if (lost.length === 0 || isInPlace) continue;
      const wanted = deployment.deletedAt === null ? deployment.replicas : 0;
      const servingBefore = own.filter((placement) => this.hasServed(before, placement)).length;
      const kept = own.filter(({ id }) => after.placements.get(id)?.phase === 'Assigned');
      const serving = kept.filter(({ id }) => this.servedLately(id));
      if (serving.length >= Math.min(wanted, servingBefore)) continue;
      this.world.broken(
        `R7: ${deployment.name} goes from ${servingBefore} to ${serving.length} serving, wants ${wanted}`,
      );
    }
  }
}

/** Drained by force: its cluster is emptied and waits no longer. */
function isForced(placement: Placement | undefined): boolean {
  return placement?.phase === 'Draining' && placement.reason.endsWith('waits no longer');
}

function isInContact(cluster: Cluster | undefined): boolean {
  return cluster?.phase === 'Ready' || cluster?.phase === 'Draining';
}

function isReady(tables: Tables, { id, clusterId }: Placement): boolean {
  const replicas = tables.observations.get(clusterId)?.report.replicas ?? [];
  return (
    isInContact(tables.clusters.get(clusterId)) &&
    replicas.some((each) => each.replicaId === id && each.phase === 'Ready')
  );
}

function contentOf({ versions, replicas, tasks }: DesiredState): string {
  return JSON.stringify([
    versions.map(({ digest }) => digest),
    replicas.map(({ replicaId, versionDigest, draining }) => [replicaId, versionDigest, draining]),
    tasks.map(({ taskId, epoch, devices, stop }) => [taskId, epoch, devices, stop]),
  ]);
}

/** Ids are of this run only; their last digits tell them apart. */
export function short(id: string): string {
  return `…${id.slice(-5)}`;
}
