/**
 * A fleet in memory that a bench drives: what waits, what runs, and the plan carried out at once. Everything is made of
 * counters, so that two runs see the same. It times the production planner and nothing else.
 */
import { performance } from 'node:perf_hooks';
import { DEFAULT_TENANT_ID, type DeviceType, type GangPolicy, type Node, type TaskBinding } from '#domain';
import {
  DryRun,
  type PendingWorkload,
  type QueueSnapshot,
  type RunningWorkload,
  type WorkloadCluster,
  type WorkloadPlan,
  WorkloadPlanner,
  type WorkloadSnapshot,
} from '#scheduling';

export const GPU: DeviceType = 'nvidia.com/gpu';
const START_MS = Date.UTC(2026, 0, 1);
const CYCLE_MS = 1_000;

export interface WorldShape {
  readonly nodes: number;
  readonly devicesPerNode: number;
  readonly nodesPerRack: number;
  readonly racksPerZone: number;
}

export const PLAIN_SHAPE = { devicesPerNode: 8, nodesPerRack: 16, racksPerZone: 8 } as const;

export interface JobSketch {
  readonly devices?: number;
  readonly members?: number;
  readonly topology?: GangPolicy['topology'];
  readonly priority?: number;
  readonly deviceType?: DeviceType;
  readonly memoryBytes?: number;
  readonly expectedSeconds?: number | null;
  readonly queueId?: string;
}

export interface Cycle {
  readonly ms: number;
  readonly plan: WorkloadPlan;
}

export class World {
  readonly pending = new Map<string, PendingWorkload>();
  readonly running = new Map<string, RunningWorkload>();
  nowMs = START_MS;
  private made = 0;
  /** Keeps what it counted, as that of a leader does. */
  private readonly planner = new WorkloadPlanner();

  constructor(
    readonly clusters: readonly WorkloadCluster[],
    readonly queues: readonly QueueSnapshot[] = [queueOf('default')],
  ) {}

  submit(count: number, sketch: JobSketch = {}): void {
    for (let index = 0; index < count; index++) {
      const workload = this.workload(sketch);
      this.pending.set(workload.id, workload);
    }
  }

  /** Puts work on its devices without asking the planner. */
  occupy(sketch: JobSketch, tasks: readonly TaskBinding[]): void {
    this.run(this.workload(sketch), tasks);
  }

  snapshot(): WorkloadSnapshot {
    const { nowMs, clusters, queues } = this;
    return { nowMs, clusters, queues, pending: [...this.pending.values()], running: [...this.running.values()] };
  }

  /** One cycle of the planner, carried out: what is stopped is gone by the next cycle. */
  cycle(): Cycle {
    const { ms, plan } = timed(this.snapshot(), this.planner);
    for (const { holderId } of plan.stops) this.requeue(holderId);
    for (const { workloadId, nomination } of plan.nominations) {
      const workload = this.pending.get(workloadId);
      if (workload !== undefined) this.pending.set(workloadId, { ...workload, nomination });
    }
    for (const { workloadId, tasks } of plan.starts) {
      this.run(this.pending.get(workloadId)!, tasks);
      this.pending.delete(workloadId);
    }
    this.nowMs += CYCLE_MS;
    return { ms, plan };
  }

  /** What a cycle would do, and nothing of it done: milliseconds. */
  foresee(): number {
    return timed(this.snapshot(), new WorkloadPlanner()).ms;
  }

  /** Milliseconds of asking `dryRun` what would become of a job. */
  ask(dryRun: DryRun, sketch: JobSketch): number {
    const workload = this.workload(sketch);
    const before = performance.now();
    dryRun.ask(workload);
    return performance.now() - before;
  }

  /** The oldest ones end. */
  finish(count: number): void {
    for (const holderId of [...this.running.keys()].slice(0, count)) this.running.delete(holderId);
  }

  private requeue(holderId: string): void {
    const workload = this.running.get(holderId)!;
    this.running.delete(holderId);
    this.pending.set(workload.id, { ...workload, ...WAITS });
  }

  private workload(sketch: JobSketch): PendingWorkload {
    const { devices = 1, members = 1, topology = null, priority = 5, deviceType = GPU, memoryBytes = 0 } = sketch;
    const id = `job-${++this.made}`;
    return {
      id,
      name: id,
      kind: 'job',
      tenantId: DEFAULT_TENANT_ID,
      queueId: sketch.queueId ?? this.queues[0]!.id,
      priority,
      claim: {
        deviceType,
        count: devices,
        memoryBytesPerDevice: memoryBytes,
        schedulingPolicy: { topologyScope: 'node' },
      },
      gang: { size: members, minimum: members, topology, spansClusters: false },
      queuedAtMs: this.nowMs,
      expectedSeconds: sketch.expectedSeconds ?? null,
      savedSeconds: 0,
      ...WAITS,
    };
  }

  private run(workload: PendingWorkload, tasks: readonly TaskBinding[]): void {
    const holderId = `${workload.id}-attempt`;
    this.running.set(holderId, { ...workload, ...RUNS, holderId, tasks, startedAtMs: this.nowMs });
  }
}

function timed(snapshot: WorkloadSnapshot, planner: WorkloadPlanner): Cycle {
  const before = performance.now();
  const plan = planner.plan(snapshot);
  return { ms: performance.now() - before, plan };
}

const WAITS = {
  preemption: 'lower-priority',
  selector: {},
  notBeforeMs: null,
  nomination: null,
  avoidClusterIds: [],
  preferredClusterIds: [],
} as const;

const RUNS = {
  savedAtMs: null,
  preemptible: true,
  isEnding: false,
  minimumRunSeconds: 0,
  preemptions: 0,
  preemptionsMax: 5,
  protectedSeconds: 0,
  budget: null,
} as const;

export function queueOf(id: string): QueueSnapshot {
  return {
    id,
    name: id,
    tenantId: DEFAULT_TENANT_ID,
    parentId: null,
    weight: 1,
    quota: {},
    borrowingLimit: null,
    lendingLimit: null,
    order: 'static-priority',
    paused: false,
    recentDeviceSeconds: 0,
  };
}

export function clusterOf({ nodes, devicesPerNode, nodesPerRack, racksPerZone }: WorldShape): WorkloadCluster {
  const made = Array.from({ length: nodes }, (_, index): Node => {
    const rack = Math.floor(index / nodesPerRack);
    const devices = Array.from({ length: devicesPerNode }, (_device, at) => ({
      id: `gpu-${at}`,
      deviceType: GPU,
      memoryBytes: 80e9,
    }));
    return { name: `n${index}`, rack: `r${rack}`, zone: `z${Math.floor(rack / racksPerZone)}`, devices };
  });
  return {
    id: 'c1',
    name: 'c1',
    kind: 'central',
    region: 'r1',
    zone: '',
    labels: {},
    closed: null,
    nodes: made,
  };
}

/** Devices `first` … of the node at this place of the cluster that `clusterOf` made. */
export function on(nodeIndex: number, count: number, first = 0): TaskBinding {
  const deviceIds = Array.from({ length: count }, (_, index) => `gpu-${first + index}`);
  return { rank: 0, clusterId: 'c1', devices: [{ node: `n${nodeIndex}`, deviceIds }] };
}
