/** Random fleets for properties, and what becomes of one when a plan is carried out. */
import fc from 'fast-check';
import type { GangPolicy, TopologyScope } from '#domain';
import { Capacity } from './capacity.ts';
import type { QueueSnapshot, RunningWorkload, WorkloadCluster, WorkloadSnapshot } from './snapshot.ts';
import type { WorkloadPlan } from './workload-plan.ts';
import { claim, gang, gpuCluster, NOW_MS, pending, queue, request, running, snapshot } from './workloads.builders.ts';

const QUEUES = ['a', 'b', 'c'];
const GPU = 'nvidia.com/gpu';

const clusterArbitrary = fc.record({
  kind: fc.constantFrom('central' as const, 'central' as const, 'central' as const, 'edge' as const),
  nodes: fc.array(fc.constantFrom(0, 2, 4, 8), { minLength: 1, maxLength: 4 }),
  nodesPerRack: fc.constantFrom(undefined, 1, 2),
  devicesPerLink: fc.constantFrom(undefined, 2, 4),
  largeFrom: fc.constantFrom(0, 3, 99),
  isClosed: fc.constantFrom(false, false, false, true),
});
const gangArbitrary = fc.record({
  size: fc.constantFrom(1, 1, 1, 2, 3),
  spare: fc.nat(1),
  topology: fc.constantFrom<GangPolicy['topology'][]>(
    null,
    null,
    { scope: 'node', required: true },
    { scope: 'rack', required: true },
    { scope: 'rack', required: false },
  ),
  spansClusters: fc.constantFrom(false, false, true),
});
const workArbitrary = fc.record({
  count: fc.integer({ min: 1, max: 5 }),
  scope: fc.constantFrom<TopologyScope>('node', 'node', 'node', 'rack', 'link', 'cluster'),
  isLarge: fc.constantFrom(false, false, true),
  gang: gangArbitrary,
  priority: fc.constantFrom(2, 5, 8),
  queueId: fc.constantFrom(...QUEUES),
  seconds: fc.constantFrom(10, 600, 601, 7_200, 200_000),
  expectedSeconds: fc.constantFrom(null, 300, 3_600, 100_000),
});
type Work = typeof workArbitrary extends fc.Arbitrary<infer Value> ? Value : never;
const runningArbitrary = fc.record({
  work: workArbitrary,
  isEnding: fc.constantFrom(false, false, false, true),
  preemptible: fc.constantFrom(true, true, true, false),
  savedSecondsAgo: fc.constantFrom(null, 5, 500),
  minimumRunSeconds: fc.constantFrom(0, 0, 600),
  budget: fc.constantFrom(null, null, { id: 'x', allowed: 1 }, { id: 'y', allowed: 0 }),
});
const pendingArbitrary = fc.record({
  work: workArbitrary,
  preemption: fc.constantFrom('lower-priority' as const, 'lower-priority' as const, 'never' as const),
  notBeforeMs: fc.constantFrom(null, null, null, NOW_MS + 1),
});
const queueArbitrary = fc.record({
  weight: fc.constantFrom(0, 1, 1, 2),
  quota: fc.constantFrom(null, null, 4, 8),
  borrows: fc.constantFrom(null, null, 0, 4),
  parent: fc.boolean(),
  paused: fc.constantFrom(false, false, false, false, true),
});

function toCluster(sketch: typeof clusterArbitrary extends fc.Arbitrary<infer Value> ? Value : never, index: number) {
  const { nodes, largeFrom, isClosed, ...rest } = sketch;
  return gpuCluster(`c${index}`, nodes, 8, {
    ...rest,
    closed: isClosed ? 'Suspect' : null,
    eachNode: (node) => ({
      ...node,
      devices: node.devices.map((each, at) => (at < largeFrom ? each : { ...each, memoryBytes: 160e9 })),
    }),
  });
}

function asked({ count, scope, isLarge, gang: { size, spare, ...rest } }: Work) {
  const policy = gang(size, { minimum: Math.max(1, size - spare), ...rest });
  return { claim: { ...claim(count, GPU, scope), ...(isLarge ? { memoryBytesPerDevice: 100e9 } : {}) }, gang: policy };
}

/** Only what fits runs, so that every generated fleet is a possible one. */
function settle(clusters: readonly WorkloadCluster[], sketches: readonly RunningWorkload[]): RunningWorkload[] {
  const open = clusters.map((cluster) => ({ ...cluster, closed: null }));
  const capacity = new Capacity(open);
  return sketches.flatMap((each) => {
    const placed = capacity.find(request({ claim: each.claim, gang: each.gang }, each.id));
    if (placed === null) return [];
    capacity.take(each.holderId, each.claim, placed.tasks);
    return [{ ...each, tasks: placed.tasks }];
  });
}

export const fleetArbitrary = fc
  .record({
    clusters: fc.array(clusterArbitrary, { minLength: 1, maxLength: 3 }),
    queues: fc.tuple(queueArbitrary, queueArbitrary, queueArbitrary),
    running: fc.array(runningArbitrary, { maxLength: 10 }),
    pending: fc.array(pendingArbitrary, { minLength: 1, maxLength: 7 }),
    sharesFairly: fc.constantFrom(true, true, false),
  })
  .map((sketch): WorkloadSnapshot => {
    const clusters = sketch.clusters.map(toCluster);
    const runs = sketch.running.map(({ work, ...rest }, index) => {
      const { priority, queueId, seconds, expectedSeconds } = work;
      return running(`r${index}`, { ...rest, ...asked(work), priority, queueId, ranSeconds: seconds, expectedSeconds });
    });
    const waits = sketch.pending.map(({ work, ...rest }, index) => {
      const { priority, queueId, seconds, expectedSeconds } = work;
      return pending(`p${index}`, {
        ...rest,
        ...asked(work),
        priority,
        queueId,
        waitsSeconds: seconds,
        expectedSeconds,
      });
    });
    return snapshot({
      clusters,
      queues: sketch.queues.map((each, index) => toQueue(each, QUEUES[index]!)),
      running: settle(clusters, runs),
      pending: waits,
      policy: { sharesFairly: sketch.sharesFairly },
    });
  });

function toQueue(
  sketch: typeof queueArbitrary extends fc.Arbitrary<infer Value> ? Value : never,
  name: string,
): QueueSnapshot {
  const { weight, quota, borrows, parent, paused } = sketch;
  return queue(name, {
    weight,
    quota: quota === null ? {} : { [GPU]: quota },
    borrowingLimit: quota === null || borrows === null ? null : { [GPU]: borrows },
    parentId: parent && name !== 'a' ? 'a' : null,
    paused,
    order: name === 'b' ? 'class-shortest' : 'static-priority',
  });
}

/** What a plan means for the snapshot that it is of. */
export function planned(before: WorkloadSnapshot, plan: WorkloadPlan) {
  const byId = new Map(before.pending.map((each) => [each.id, each]));
  const stopped = new Set(plan.stops.map(({ holderId }) => holderId));
  const leaves = ({ holderId, isEnding }: RunningWorkload) => isEnding || stopped.has(holderId);
  const started = plan.starts.map(({ workloadId, tasks }) => ({ work: byId.get(workloadId)!, tasks }));
  const ids = new Set(plan.starts.map(({ workloadId }) => workloadId));
  const changed = new Map(plan.nominations.map(({ workloadId, nomination }) => [workloadId, nomination]));
  const nominated = before.pending.flatMap((work) => {
    const nomination = changed.has(work.id) ? changed.get(work.id)! : work.nomination;
    return nomination === null || ids.has(work.id) ? [] : [{ work, tasks: nomination.tasks }];
  });
  return { started, nominated, leaves };
}

/** The snapshot of the next cycle: the plan was carried out, some of what ends is gone, and its victims wait again. */
export function carriedOut(
  before: WorkloadSnapshot,
  plan: WorkloadPlan,
  isGone: (index: number) => boolean,
): WorkloadSnapshot {
  const { started, nominated, leaves } = planned(before, plan);
  const going = before.running.filter(leaves);
  const gone = new Set(going.filter((_, index) => isGone(index)));
  const since = new Date(before.nowMs);
  const promised = new Map(
    nominated.map(({ work, tasks }) => [
      work.id,
      { clusterId: tasks[0]!.clusterId, tasks, since: work.nomination?.since ?? since },
    ]),
  );
  const begun = started.map(({ work, tasks }): RunningWorkload => {
    const { claim: of, gang: members, priority, queueId, expectedSeconds, id } = work;
    const begins = { claim: of, gang: members, priority, queueId, expectedSeconds, tasks };
    return { ...running(id, begins), startedAtMs: before.nowMs };
  });
  const startedIds = new Set(started.map(({ work }) => work.id));
  return {
    ...before,
    nowMs: before.nowMs + 30_000,
    running: [
      ...before.running
        .filter((each) => !gone.has(each))
        .map((each) => (leaves(each) ? { ...each, isEnding: true } : each)),
      ...begun,
    ],
    pending: [
      ...before.pending
        .filter(({ id }) => !startedIds.has(id))
        .map((work) => ({ ...work, nomination: promised.get(work.id) ?? null })),
      ...[...gone].filter(({ preemptible }) => preemptible).map(waitsAgain),
    ],
  };
}

function waitsAgain({ id, claim: of, gang: members, priority, queueId, expectedSeconds }: RunningWorkload) {
  return pending(id, { claim: of, gang: members, priority, queueId, expectedSeconds });
}
