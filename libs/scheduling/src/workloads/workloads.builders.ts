/** Builders of workload snapshots for this library's specs: names in, ids made from them, defaults everywhere, fixed time. */
import {
  DEFAULT_TENANT_ID,
  type DeviceType,
  type GangPolicy,
  type Node,
  type NodeDevices,
  type ResourceClaim,
  type TaskBinding,
  type TopologyScope,
} from '#domain';
import { claim, NOW_MS } from '../fleet.builders.ts';
import type { PlaceRequest } from './ports.ts';
import type { PendingWorkload, QueueSnapshot, RunningWorkload, WorkloadCluster, WorkloadSnapshot } from './snapshot.ts';

export { claim, NOW_MS };

export const GIGABYTE = 1_000_000_000;

export interface GpuClusterSketch extends Partial<Omit<WorkloadCluster, 'id' | 'name' | 'nodes' | 'closed'>> {
  readonly deviceType?: DeviceType;
  /** Of each device. Default 80 GB. */
  readonly memoryBytes?: number;
  /** So many nodes a rack (`r1`, `r2` …); absent: nodes have no rack. */
  readonly nodesPerRack?: number;
  /** So many racks a zone (`z1`, `z2` …); absent: nodes have no zone. */
  readonly racksPerZone?: number;
  /** So many devices a link domain (`l1`, `l2` …) of their node; absent: none is linked. */
  readonly devicesPerLink?: number;
  /** Why it takes nothing new. Default null. */
  readonly closed?: string | null;
  /** Changes to single nodes, by their place. */
  readonly eachNode?: (node: Node, index: number) => Node;
}

/**
 * A central cluster of `nodes` equal nodes `<name>-n1`, `<name>-n2` …, whose devices are `<node>-0`, `<node>-1` …
 * A list of numbers gives each node its own count.
 */
export function gpuCluster(
  name: string,
  nodes: number | readonly number[] = 1,
  devicesPerNode = 8,
  sketch: GpuClusterSketch = {},
): WorkloadCluster {
  const {
    deviceType: _deviceType,
    memoryBytes: _memoryBytes,
    nodesPerRack: _nodesPerRack,
    racksPerZone: _racksPerZone,
    devicesPerLink: _devicesPerLink,
    closed = null,
    eachNode = (node) => node,
    ...rest
  } = sketch;
  const counts = typeof nodes === 'number' ? Array.from({ length: nodes }, () => devicesPerNode) : nodes;
  return {
    id: name,
    name,
    kind: 'central',
    region: 'cn',
    zone: '',
    labels: {},
    closed: closed === null ? null : { because: closed, summary: closed },
    nodes: counts.map((count, index) => eachNode(gpuNode(`${name}-n${index + 1}`, count, index, sketch), index)),
    ...rest,
  };
}

function gpuNode(name: string, devices: number, index: number, sketch: GpuClusterSketch): Node {
  const { deviceType = 'nvidia.com/gpu', memoryBytes = 80 * GIGABYTE } = sketch;
  const { nodesPerRack, racksPerZone, devicesPerLink } = sketch;
  const rack = nodesPerRack === undefined ? undefined : Math.floor(index / nodesPerRack) + 1;
  const zone = rack === undefined || racksPerZone === undefined ? undefined : Math.floor((rack - 1) / racksPerZone) + 1;
  return {
    name,
    ...(rack === undefined ? {} : { rack: `r${rack}` }),
    ...(zone === undefined ? {} : { zone: `z${zone}` }),
    devices: Array.from({ length: devices }, (_, at) => ({
      id: `${name}-${at}`,
      deviceType,
      memoryBytes,
      ...(devicesPerLink === undefined ? {} : { linkDomain: `l${Math.floor(at / devicesPerLink) + 1}` }),
    })),
  };
}

/** A root queue without quota that may use whatever is idle. */
export function queue(name: string, rest: Partial<Omit<QueueSnapshot, 'id' | 'name'>> = {}): QueueSnapshot {
  return {
    id: name,
    name,
    tenantId: DEFAULT_TENANT_ID,
    parentId: null,
    weight: 1,
    quota: {},
    borrowingLimit: null,
    lendingLimit: null,
    order: 'static-priority',
    paused: false,
    recentDeviceSeconds: 0,
    ...rest,
  };
}

/** A gang of `size` that starts only whole, anywhere in one cluster. */
export function gang(size = 1, rest: Partial<Omit<GangPolicy, 'size'>> = {}): GangPolicy {
  return { size, minimum: size, topology: null, spansClusters: false, ...rest };
}

export function within(scope: TopologyScope, required = true): Pick<GangPolicy, 'topology'> {
  return { topology: { scope, required } };
}

export interface PendingSketch extends Partial<Omit<PendingWorkload, 'id' | 'name' | 'queuedAtMs'>> {
  /** Devices of each member, when no `claim` is given. Default 1. */
  readonly devices?: number;
  /** How long it waits already. Default 0. */
  readonly waitsSeconds?: number;
}

/** A job of one member with one GPU in queue `default` at priority 5. */
export function pending(name: string, sketch: PendingSketch = {}): PendingWorkload {
  const { devices = 1, waitsSeconds = 0, ...rest } = sketch;
  return {
    id: name,
    name,
    kind: 'job',
    tenantId: DEFAULT_TENANT_ID,
    queueId: 'default',
    priority: 5,
    claim: claim(devices),
    gang: gang(),
    queuedAtMs: NOW_MS - waitsSeconds * 1_000,
    expectedSeconds: null,
    savedSeconds: 0,
    preemption: 'lower-priority',
    selector: {},
    notBeforeMs: null,
    nomination: null,
    avoidClusterIds: [],
    preferredClusterIds: [],
    ...rest,
  };
}

export interface RunningSketch
  extends Partial<Omit<RunningWorkload, 'id' | 'name' | 'queuedAtMs' | 'startedAtMs' | 'savedAtMs' | 'tasks'>> {
  /** Devices of each member, when no `claim` is given: the first ones of `node`. Default 1. */
  readonly devices?: number;
  /** Default `c1`. */
  readonly cluster?: string;
  /** Where its one member runs, from device `firstDevice` on; absent: its devices are not bound. */
  readonly node?: string;
  /** Default 0. */
  readonly firstDevice?: number;
  /** Where each member runs, instead of the above. */
  readonly tasks?: readonly TaskBinding[];
  /** Default 3,600. */
  readonly ranSeconds?: number;
  /** Null: never saved. Default null. */
  readonly savedSecondsAgo?: number | null;
}

/** A preemptible job of one member in queue `default` at priority 2. Its holder id is `<name>-attempt`. */
export function running(name: string, sketch: RunningSketch = {}): RunningWorkload {
  const { devices = 1, cluster = 'c1', node, firstDevice = 0, tasks, ranSeconds = 3_600, ...others } = sketch;
  const { savedSecondsAgo = null, ...rest } = others;
  const asked: ResourceClaim = rest.claim ?? claim(devices);
  const startedAtMs = NOW_MS - ranSeconds * 1_000;
  return {
    id: name,
    name,
    kind: 'job',
    tenantId: DEFAULT_TENANT_ID,
    queueId: 'default',
    priority: 2,
    claim: asked,
    gang: gang(tasks?.length ?? 1),
    queuedAtMs: startedAtMs,
    expectedSeconds: null,
    savedSeconds: 0,
    holderId: `${name}-attempt`,
    tasks: tasks ?? [binding(0, cluster, node === undefined ? null : [on(node, asked.count, firstDevice)])],
    startedAtMs,
    savedAtMs: savedSecondsAgo === null ? null : NOW_MS - savedSecondsAgo * 1_000,
    preemptible: true,
    isEnding: false,
    minimumRunSeconds: 0,
    preemptions: 0,
    preemptionsMax: 5,
    protectedSeconds: 0,
    budget: null,
    ...rest,
  };
}

/** Devices `first` … of a node that a builder made. */
export function on(node: string, count: number, first = 0): NodeDevices {
  return { node, deviceIds: Array.from({ length: count }, (_, index) => `${node}-${first + index}`) };
}

export function binding(rank: number, clusterId: string, devices: readonly NodeDevices[] | null = null): TaskBinding {
  return { rank, clusterId, devices };
}

/** One cluster `c1` of one node with 8 GPUs, and the queues that the workloads name, unless given. */
export function snapshot(parts: Partial<WorkloadSnapshot> = {}): WorkloadSnapshot {
  const { pending: waits = [], running: runs = [] } = parts;
  const names = new Set([...waits, ...runs].map(({ queueId }) => queueId).concat('default'));
  return {
    nowMs: NOW_MS,
    clusters: [gpuCluster('c1')],
    queues: [...names].map((name) => queue(name)),
    pending: waits,
    running: runs,
    ...parts,
  };
}

/** What `Capacity` is asked of a workload. */
export function request(sketch: PendingSketch = {}, name = 'job'): PlaceRequest {
  const { id, claim: of, gang: size, selector, avoidClusterIds, preferredClusterIds } = pending(name, sketch);
  return { workloadId: id, claim: of, gang: size, selector, avoidClusterIds, preferredClusterIds };
}
