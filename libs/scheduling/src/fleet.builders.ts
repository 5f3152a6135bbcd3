/** Builders of snapshots for this library's specs: names in, ids made from them, defaults everywhere, fixed time. */
import {
  type Cluster,
  type ClusterDrain,
  DEFAULT_DEPLOYMENT_SERVING,
  DEFAULT_DISCONNECT_POLICY,
  DEFAULT_ROLLOUT_POLICY,
  DEFAULT_SYNC_POLICIES,
  DEFAULT_TENANT_ID,
  type Deployment,
  type DeviceType,
  DRAIN_DEADLINE_SECONDS,
  type DrainMode,
  type HeldVersion,
  type Node,
  type Placement,
  type ReplicaReport,
  type ResourceClaim,
  type Rollout,
  type RolloutPolicy,
  type TopologyScope,
} from '#domain';
import type { DeploymentPlan } from './plan.ts';
import type { ClusterSnapshot, FleetSnapshot, Reservation } from './snapshot.ts';

export const NOW_MS = Date.UTC(2026, 0, 1);
const at = (secondsAgo: number) => new Date(NOW_MS - secondsAgo * 1_000);

export function claim(
  count = 1,
  deviceType: DeviceType = 'nvidia.com/gpu',
  scope: TopologyScope = 'node',
): ResourceClaim {
  return { deviceType, count, schedulingPolicy: { topologyScope: scope } };
}

export function node(
  name: string,
  devices: number,
  deviceType: DeviceType = 'nvidia.com/gpu',
  rest: Partial<Node> = {},
): Node {
  return {
    name,
    devices: Array.from({ length: devices }, (_, index) => ({ id: `${name}-${index}`, deviceType, memoryBytes: 80e9 })),
    ...rest,
  };
}

export interface ClusterSketch extends Partial<Omit<Cluster, 'phaseSince'>> {
  /** Devices of its one node. Default 1. */
  devices?: number;
  nodes?: Node[];
  phaseSecondsAgo?: number;
  held?: string[];
  fetching?: string[];
  hasReport?: boolean;
  isSettled?: boolean;
}

/** A cluster that has been drained for so long, in contact. */
export function draining(mode: DrainMode = 'move', secondsAgo = 60, deadlineSeconds = DRAIN_DEADLINE_SECONDS[mode]) {
  const drain: ClusterDrain = { mode, deadlineSeconds, since: at(secondsAgo).toISOString(), requestedBy: 'key:spec' };
  return { phase: 'Draining' as const, drain };
}

/** Replicas of a cluster's report come from the placements given to `fleet`. */
export function cluster(name: string, sketch: ClusterSketch = {}): ClusterSnapshot {
  const { devices, nodes, phaseSecondsAgo, held = [], fetching = [], hasReport, isSettled, ...rest } = sketch;
  const version = (digest: string, phase: HeldVersion['phase']): HeldVersion => ({
    digest,
    phase,
    bytesHave: 1,
    bytesTotal: 1,
    reason: '',
  });
  return {
    cluster: {
      id: name,
      tenantId: DEFAULT_TENANT_ID,
      name,
      kind: 'edge',
      region: 'cn',
      zone: '',
      labels: {},
      sync: DEFAULT_SYNC_POLICIES.edge,
      publicKey: `U${name}`,
      phase: 'Ready',
      cordoned: false,
      drain: null,
      ahead: null,
      phaseSince: at(phaseSecondsAgo ?? 10_000),
      createdAt: at(10_000),
      revision: 1,
      ...rest,
    },
    report:
      hasReport === false
        ? null
        : {
            nodes: nodes ?? [node(`${name}-node`, devices ?? 1)],
            replicas: [],
            versions: [
              ...held.map((digest) => version(digest, 'Held')),
              ...fetching.map((digest) => version(digest, 'Fetching')),
            ],
            isSettled: isSettled ?? true,
          },
  };
}

export function deployment(name: string, rest: Partial<Deployment> = {}): Deployment {
  return {
    id: name,
    tenantId: DEFAULT_TENANT_ID,
    name,
    modelId: 'model',
    versionId: 'v1',
    alias: null,
    rollout: DEFAULT_ROLLOUT_POLICY,
    servedModel: 'model',
    replicas: 1,
    claim: claim(),
    selector: {},
    spread: null,
    disconnect: DEFAULT_DISCONNECT_POLICY,
    serving: DEFAULT_DEPLOYMENT_SERVING,
    queueId: 'queue',
    priorityClass: 'serving',
    priority: 9,
    deletedAt: null,
    createdAt: at(5_000),
    revision: 1,
    ...rest,
  };
}

export interface PlacementSketch extends Partial<Omit<Placement, 'createdAt' | 'phaseSince'>> {
  /** What the agent says; null: nothing yet. Default Ready. */
  says?: ReplicaReport['phase'] | null;
  restarts?: number;
  createdSecondsAgo?: number;
  phaseSecondsAgo?: number;
}

export interface PlacedReplica {
  readonly placement: Placement;
  readonly says: ReplicaReport['phase'] | null;
  readonly restarts: number;
}

export function placed(
  id: string,
  deploymentId: string,
  clusterId: string,
  sketch: PlacementSketch = {},
): PlacedReplica {
  const { says = 'Ready', restarts = 0, createdSecondsAgo = 1_000, phaseSecondsAgo, ...rest } = sketch;
  const placement: Placement = {
    id,
    tenantId: DEFAULT_TENANT_ID,
    deploymentId,
    clusterId,
    versionId: 'v1',
    claim: claim(),
    devices: null,
    phase: 'Assigned',
    epoch: 1,
    reason: '',
    createdAt: at(createdSecondsAgo),
    phaseSince: at(phaseSecondsAgo ?? createdSecondsAgo),
    ...rest,
  };
  return { placement, says, restarts };
}

export function fleet(parts: {
  clusters: ClusterSnapshot[];
  deployments?: Deployment[];
  placed?: PlacedReplica[];
  rollouts?: Rollout[];
  failedIn?: Record<string, string[]>;
  reservations?: Reservation[];
}): FleetSnapshot {
  const replicas = parts.placed ?? [];
  return {
    nowMs: NOW_MS,
    deployments: parts.deployments ?? [],
    clusters: parts.clusters.map((state) => withReplicas(state, replicas)),
    placements: replicas.map(({ placement }) => placement),
    reservations: Map.groupBy(parts.reservations ?? [], ({ clusterId }) => clusterId),
    rollouts: new Map((parts.rollouts ?? []).map((each) => [each.deploymentId, each])),
    versionDigests: new Map([
      ['v1', 'v1'],
      ['v2', 'v2'],
    ]),
    failedIn: new Map(Object.entries(parts.failedIn ?? {}).map(([id, clusters]) => [id, new Set(clusters)])),
  };
}

/** From v1 to v2, the canary wave open, unless `rest` says otherwise. */
export function rollout(
  deploymentId: string,
  { policy, ...rest }: Partial<Omit<Rollout, 'policy'>> & { policy?: Partial<RolloutPolicy> } = {},
): Rollout {
  return {
    id: `rollout of ${deploymentId}`,
    tenantId: DEFAULT_TENANT_ID,
    deploymentId,
    fromVersionId: 'v1',
    toVersionId: 'v2',
    policy: { ...DEFAULT_ROLLOUT_POLICY, ...policy },
    phase: 'Progressing',
    wave: 0,
    openClusterIds: [],
    isOpenToAll: false,
    isSwitched: false,
    waveSince: at(100),
    waveReadyAt: null,
    reason: '',
    startedAt: at(100),
    endedAt: null,
    ...rest,
  };
}

function withReplicas({ cluster, report }: ClusterSnapshot, replicas: readonly PlacedReplica[]): ClusterSnapshot {
  if (report === null) return { cluster, report };
  const here = replicas.filter(({ placement, says }) => placement.clusterId === cluster.id && says !== null);
  return {
    cluster,
    report: {
      ...report,
      replicas: here.map(({ placement, says, restarts }) => ({
        replicaId: placement.id,
        deploymentId: placement.deploymentId,
        versionDigest: placement.versionId,
        phase: says!,
        reason: '',
        restarts,
      })),
    },
  };
}

/** A plan as words, so that a table's `want` is readable: `+cluster`, `drain id`, `remove id`. */
export function words(plan: DeploymentPlan): string[] {
  return [
    ...plan.assign.map(({ clusterId, versionId }) => `+${clusterId}${versionId === 'v1' ? '' : ` ${versionId}`}`),
    ...plan.drain.map(({ placementId }) => `drain ${placementId}`),
    ...plan.remove.map(({ placementId }) => `remove ${placementId}`),
  ];
}
