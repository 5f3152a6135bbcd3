/** The mutable copy of a snapshot that one cycle plans on, so that two deployments cannot both take the last device (F11). */
import {
  type Cluster,
  type Deployment,
  type HeldVersion,
  isMassUnknown,
  type Node,
  type NodePreferences,
  type Placement,
  type ReplicaReport,
  type Rollout,
} from '#domain';
import { isSideBySide, servingVersion } from './cluster-version.ts';
import type { DeviceLedger } from './device-ledger.ts';
import { KeptLedgers } from './kept-ledgers.ts';
import type { ClusterSnapshot, FleetSnapshot, Reservation } from './snapshot.ts';

export interface WorkingCluster {
  readonly cluster: Cluster;
  readonly hasReport: boolean;
  readonly isSettled: boolean;
  readonly nodes: readonly Node[];
  /** Made when it is first asked for: most cycles ask about few clusters' devices, or none's. */
  readonly ledger: DeviceLedger;
  readonly replicas: ReadonlyMap<string, ReplicaReport>;
  readonly versions: ReadonlyMap<string, HeldVersion>;
  /** Deployment id → replicas assigned here, this cycle's included. */
  readonly assigned: Map<string, number>;
}

const NONE: readonly Reservation[] = [];
const NO_NODES: readonly Node[] = [];

export class WorkingFleet {
  readonly nowMs: number;
  readonly isMassUnknown: boolean;
  readonly clusters: ReadonlyMap<string, WorkingCluster>;
  private readonly placements: Map<string, Placement[]>;
  private taken = 0;

  /** @param ledgers of who plans again and again */
  constructor(
    private readonly snapshot: FleetSnapshot,
    private readonly ledgers = new KeptLedgers(),
  ) {
    this.nowMs = snapshot.nowMs;
    this.isMassUnknown = isMassUnknown(snapshot.clusters.map(({ cluster }) => cluster.phase));
    const inOrder = [...snapshot.placements].sort(byAge);
    const byCluster = Map.groupBy(inOrder, (placement) => placement.clusterId);
    const nodesOf = new Map(snapshot.deployments.map(({ id, serving }) => [id, serving.nodes]));
    const replicasIn = (id: string): Reservation[] =>
      (byCluster.get(id) ?? []).map((placement) => toReservation(placement, nodesOf.get(placement.deploymentId)));
    const ledgerIn = ({ cluster: { id }, report }: ClusterSnapshot): DeviceLedger => {
      const [nodes, tasks] = [report?.nodes ?? NO_NODES, snapshot.reservations.get(id) ?? NONE];
      return ledgers.of(id, { nodes, replicas: replicasIn(id), tasks });
    };
    this.clusters = new Map(
      snapshot.clusters.map((state) => [state.cluster.id, toWorking(state, () => ledgerIn(state))]),
    );
    ledgers.retain(new Set(this.clusters.keys()));
    this.placements = Map.groupBy(inOrder, (placement) => placement.deploymentId);
    for (const placement of inOrder) {
      const here = this.clusters.get(placement.clusterId);
      if (here !== undefined && placement.phase === 'Assigned') count(here, placement.deploymentId, 1);
    }
  }

  placementsOf(deploymentId: string): readonly Placement[] {
    return this.placements.get(deploymentId) ?? [];
  }

  rolloutOf({ id }: Deployment): Rollout | undefined {
    return this.snapshot.rollouts.get(id);
  }

  isSideBySide(deployment: Deployment): boolean {
    return isSideBySide(deployment, this.rolloutOf(deployment));
  }

  versionFor(deployment: Deployment, clusterId: string): string {
    return servingVersion(deployment, this.rolloutOf(deployment), clusterId);
  }

  digestOf(deployment: Deployment, clusterId: string): string | undefined {
    return this.snapshot.versionDigests.get(this.versionFor(deployment, clusterId));
  }

  failedIn(deploymentId: string): ReadonlySet<string> {
    return this.snapshot.failedIn.get(deploymentId) ?? new Set();
  }

  /** Takes room for a new replica in a cluster that was judged fit. */
  assign(clusterId: string, deployment: Deployment): void {
    const here = this.clusters.get(clusterId)!;
    this.taken += 1;
    this.ownLedger(here).take(`planned:${this.taken}`, deployment.claim, deployment.serving.nodes);
    count(here, deployment.id, 1);
  }

  drain(placement: Placement): void {
    const here = this.clusters.get(placement.clusterId);
    if (here !== undefined) count(here, placement.deploymentId, -1);
  }

  remove(placement: Placement): void {
    const here = this.clusters.get(placement.clusterId);
    if (here !== undefined) this.ownLedger(here).release(placement.id);
  }

  /** What is changed here is not what the next plan begins with. */
  private ownLedger({ cluster, ledger }: WorkingCluster): DeviceLedger {
    this.ledgers.giveAway(cluster.id);
    return ledger;
  }
}

function toReservation(
  { id: holderId, clusterId, claim, devices }: Placement,
  nodes: NodePreferences | undefined,
): Reservation {
  return { holderId, clusterId, claim, devices, ...(nodes === undefined ? {} : { nodes }) };
}

function toWorking({ cluster, report }: ClusterSnapshot, ledgerOf: () => DeviceLedger): WorkingCluster {
  let ledger: DeviceLedger | null = null;
  return {
    cluster,
    hasReport: report !== null,
    isSettled: report?.isSettled ?? false,
    nodes: report?.nodes ?? [],
    get ledger() {
      ledger ??= ledgerOf();
      return ledger;
    },
    replicas: new Map(report?.replicas.map((replica) => [replica.replicaId, replica])),
    versions: new Map(report?.versions.map((version) => [version.digest, version])),
    assigned: new Map(),
  };
}

function count(here: WorkingCluster, deploymentId: string, change: number): void {
  here.assigned.set(deploymentId, (here.assigned.get(deploymentId) ?? 0) + change);
}

function byAge(left: Placement, right: Placement): number {
  return left.createdAt.getTime() - right.createdAt.getTime() || (left.id < right.id ? -1 : 1);
}
