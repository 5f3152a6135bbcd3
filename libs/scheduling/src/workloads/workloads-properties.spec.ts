/** Properties of whole cycles on random fleets, and on random fleets that live on: plans are carried out, victims end. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { TaskBinding } from '#domain';
import { propertyRuns } from '#testing';
import { Capacity } from './capacity.ts';
import { planWorkloads } from './cycle.ts';
import { DryRun } from './dry-run.ts';
import { carriedOut, fleetArbitrary, planned } from './random-fleets.builders.ts';
import { requestOf } from './shapes.ts';
import type { WorkloadSnapshot } from './snapshot.ts';
import { shieldOf } from './victims.ts';
import type { WorkloadPlan } from './workload-plan.ts';

/** Cycles; three of each fleet. */
const CYCLES = 1_500;
const CYCLES_LONG = 10_000;
/** Every bound device of the tasks, as `cluster/node/device`. */
function devicesOf(tasks: readonly TaskBinding[]): string[] {
  return tasks.flatMap(({ clusterId, devices }) =>
    (devices ?? []).flatMap(({ node, deviceIds }) => deviceIds.map((id) => `${clusterId}/${node}/${id}`)),
  );
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
