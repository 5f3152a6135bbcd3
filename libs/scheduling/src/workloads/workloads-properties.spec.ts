/** Properties of whole cycles on random fleets, and on random fleets that live on: plans are carried out, victims end. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { GangPolicy, TaskBinding, TopologyScope } from '#domain';
import { propertyRuns } from '#testing';
import { Capacity } from './capacity.ts';
import { planWorkloads } from './cycle.ts';
import { DryRun } from './dry-run.ts';
import { requestOf } from './shapes.ts';
import type { QueueSnapshot, RunningWorkload, WorkloadCluster, WorkloadSnapshot } from './snapshot.ts';
import { shieldOf } from './victims.ts';
import type { WorkloadPlan } from './workload-plan.ts';
import { claim, gang, gpuCluster, NOW_MS, pending, queue, request, running, snapshot } from './workloads.builders.ts';

/** Cycles; three of each fleet. */
const CYCLES = 1_500;
const CYCLES_LONG = 10_000;
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

const fleetArbitrary = fc
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

/** Every bound device of the tasks, as `cluster/node/device`. */
function devicesOf(tasks: readonly TaskBinding[]): string[] {
  return tasks.flatMap(({ clusterId, devices }) =>
    (devices ?? []).flatMap(({ node, deviceIds }) => deviceIds.map((id) => `${clusterId}/${node}/${id}`)),
  );
}

function planned(before: WorkloadSnapshot, plan: WorkloadPlan) {
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

/** What breaks the first law, as sentences: no device for two, promised room included; edge clusters by number. */
function overcommitted(before: WorkloadSnapshot, plan: WorkloadPlan): string[] {
  const { started, nominated, leaves } = planned(before, plan);
  const problems: string[] = [];
  const holders = new Map<string, string>();
  const take = (who: string, tasks: readonly TaskBinding[], mayTakeOver: boolean) => {
    for (const device of devicesOf(tasks)) {
      const holder = holders.get(device);
      if (holder !== undefined && !(mayTakeOver && holder.startsWith('leaving ')))
        problems.push(`${device}: ${holder}, ${who}`);
      holders.set(device, who);
    }
  };
  for (const each of before.running) take(`${leaves(each) ? 'leaving ' : ''}${each.id}`, each.tasks, false);
  for (const { work, tasks } of started) take(work.id, tasks, false);
  for (const { work, tasks } of nominated) take(work.id, tasks, true);
  for (const { id, nodes } of before.clusters) {
    const devices = nodes.reduce((sum, node) => sum + node.devices.length, 0);
    const unbound = [...before.running.map((each) => ({ work: each, tasks: each.tasks })), ...started].reduce(
      (sum, { work, tasks }) =>
        sum + work.claim.count * tasks.filter((task) => task.clusterId === id && task.devices === null).length,
      0,
    );
    if (unbound > devices) problems.push(`${id}: ${unbound} of ${devices} devices`);
  }
  return problems;
}

/** Starts and promises that are not what was asked for. */
function misplaced(before: WorkloadSnapshot, plan: WorkloadPlan): string[] {
  const { started, nominated } = planned(before, plan);
  const nodes = new Map(
    before.clusters.flatMap((cluster) => cluster.nodes.map((node) => [`${cluster.id}/${node.name}`, node])),
  );
  return [...started, ...nominated].flatMap(({ work, tasks }) => {
    const problems: string[] = [];
    if (tasks.length < work.gang.minimum || tasks.length > work.gang.size)
      problems.push(`${work.id}: ${tasks.length} members`);
    const clusters = new Set(tasks.map(({ clusterId }) => clusterId));
    if (clusters.size > 1 && !work.gang.spansClusters) problems.push(`${work.id}: ${clusters.size} clusters`);
    if ([...clusters].some((id) => before.clusters.find((each) => each.id === id)!.closed !== null))
      problems.push(`${work.id}: closed`);
    for (const { clusterId, devices } of tasks) {
      const bound = (devices ?? []).flatMap(({ node, deviceIds }) =>
        deviceIds.map((id) => nodes.get(`${clusterId}/${node}`)!.devices.find((each) => each.id === id)!),
      );
      if (devices !== null && bound.length !== work.claim.count) problems.push(`${work.id}: ${bound.length} devices`);
      if (bound.some(({ memoryBytes }) => memoryBytes < (work.claim.memoryBytesPerDevice ?? 0)))
        problems.push(`${work.id}: memory`);
      const isNarrow = ['node', 'link'].includes(work.claim.schedulingPolicy.topologyScope);
      if (isNarrow && (devices?.length ?? 1) > 1) problems.push(`${work.id}: several nodes`);
      const links = new Set(bound.map(({ linkDomain, id }) => linkDomain ?? id));
      if (work.claim.schedulingPolicy.topologyScope === 'link' && links.size > 1)
        problems.push(`${work.id}: not linked`);
    }
    return problems;
  });
}

/** Victims that may not be victims. */
function unjust(before: WorkloadSnapshot, plan: WorkloadPlan): string[] {
  const pendingById = new Map(before.pending.map((each) => [each.id, each]));
  const runningByHolder = new Map(before.running.map((each) => [each.holderId, each]));
  const problems = plan.stops.flatMap(({ byWorkloadId, holderId, cause }) => {
    const victim = runningByHolder.get(holderId)!;
    const by = pendingById.get(byWorkloadId)!;
    const isBelow = victim.priority < by.priority;
    const mayBe = cause === 'preempted' ? isBelow : victim.queueId !== by.queueId;
    const shield = shieldOf(victim, before.nowMs);
    return [
      ...(mayBe ? [] : [`${by.id} ${cause} ${victim.id}`]),
      ...(shield === null ? [] : [`${victim.id}: ${shield}`]),
      ...(by.preemption === 'never' ? [`${by.id} preempts`] : []),
    ];
  });
  for (const stops of Map.groupBy(plan.stops, ({ byWorkloadId }) => byWorkloadId).values()) {
    const clusters = new Set(
      stops.flatMap(({ holderId }) => runningByHolder.get(holderId)!.tasks.map(({ clusterId }) => clusterId)),
    );
    if (clusters.size > 1) problems.push(`${stops[0]!.byWorkloadId}: victims in ${clusters.size} clusters`);
  }
  const once = new Set(plan.stops.map(({ holderId }) => holderId));
  if (once.size < plan.stops.length) problems.push('a victim twice');
  return problems;
}

/** The first that waits of its type, though what it asks for is free. How an edge packs is its own: only central ones tell. */
function idle(before: WorkloadSnapshot, plan: WorkloadPlan): string[] {
  if (plan.nominations.some(({ nomination }) => nomination === null)) return [];
  const head = plan.verdicts.find(({ state }) => state === 'waiting');
  if (head === undefined) return [];
  const { started, nominated } = planned(before, plan);
  const capacity = new Capacity(before.clusters);
  for (const { holderId, claim: of, tasks } of before.running) capacity.take(holderId, of, tasks);
  for (const { work, tasks } of [...started, ...nominated]) capacity.take(work.id, work.claim, tasks);
  const work = before.pending.find(({ id }) => id === head.workloadId)!;
  const central = new Set(before.clusters.filter(({ kind }) => kind === 'central').map(({ id }) => id));
  return capacity.find(requestOf(work), central) === null ? [] : [`${work.id} waits`];
}

function untold(before: WorkloadSnapshot, plan: WorkloadPlan): string[] {
  const told = plan.verdicts.map(({ workloadId }) => workloadId).sort();
  const missing = before.pending.map(({ id }) => id).sort();
  const silent = plan.verdicts
    .filter(({ reason }) => reason === '')
    .map(({ workloadId }) => `${workloadId}: no reason`);
  return JSON.stringify(told) === JSON.stringify(missing) ? silent : [`told ${told}, pending ${missing}`];
}

function check(before: WorkloadSnapshot): WorkloadPlan {
  const plan = planWorkloads(before);
  const laws = { overcommitted, misplaced, unjust, idle, untold };
  const broken = Object.entries(laws).flatMap(([law, of]) => of(before, plan).map((problem) => `${law}: ${problem}`));
  expect(broken).toEqual([]);
  return plan;
}

/** The snapshot of the next cycle: the plan was carried out, some of what ends is gone, and its victims wait again. */
function carriedOut(
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

describe('on random fleets', () => {
  it('keeps every law, in the cycle of a fleet and in those that follow', () => {
    fc.assert(
      fc.property(fleetArbitrary, fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), (fleet, goes) => {
        let now = fleet;
        for (let cycle = 0; cycle < 3; cycle += 1) {
          now = carriedOut(now, check(now), (index) => goes[(index + cycle) % goes.length]!);
        }
      }),
      propertyRuns(CYCLES / 3, Math.ceil(CYCLES_LONG / 3)),
    );
  }, 120_000);

  it('decides the same again', () => {
    fc.assert(
      fc.property(fleetArbitrary, (fleet) => {
        expect(planWorkloads(structuredClone(fleet))).toEqual(planWorkloads(fleet));
      }),
      propertyRuns(300, 2_000),
    );
  });

  it('answers what is asked of a snapshot as if nothing had been asked of it before', () => {
    fc.assert(
      fc.property(fleetArbitrary, (fleet) => {
        const [askedAll, queues] = [new DryRun(fleet), new Set(fleet.queues.map(({ id }) => id))];
        const works = fleet.pending.filter(({ queueId }) => queues.has(queueId));
        const again = [...works, ...works].map((work) => askedAll.ask(work));
        const fresh = works.map((work) => new DryRun(fleet).ask(work));
        expect(again).toEqual([...fresh, ...fresh]);
      }),
      propertyRuns(300, 2_000),
    );
  });

  it('comes to rest: promises come true once their victims are gone, and nothing is evicted for ever', () => {
    fc.assert(
      fc.property(fleetArbitrary, (fleet) => {
        let now = fleet;
        let plan = check(now);
        for (let cycle = 0; cycle < 30; cycle += 1) {
          now = carriedOut(now, plan, () => true);
          plan = check(now);
        }
        expect({ stops: plan.stops, starts: plan.starts }).toEqual({ stops: [], starts: [] });
      }),
      propertyRuns(100, 200),
    );
  }, 60_000);
});
