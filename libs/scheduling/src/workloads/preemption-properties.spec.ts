/** The victims of one preemptor on random small fleets, against all sets of victims that there are. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { TopologyScope } from '#domain';
import { Capacity } from './capacity.ts';
import { planWorkloads } from './cycle.ts';
import { requestOf } from './shapes.ts';
import type { PendingWorkload, RunningWorkload, WorkloadCluster, WorkloadSnapshot } from './snapshot.ts';
import { compareLosses, type Loss, lossOf } from './victim-set.ts';
import { lostDeviceSeconds, shieldOf } from './victims.ts';
import { claim, gang, gpuCluster, NOW_MS, pending, request, running, snapshot, within } from './workloads.builders.ts';

const RUNS = 1_500;
const GPU = 'nvidia.com/gpu';

const clusterArbitrary = fc.record({
  nodes: fc.array(fc.constantFrom(4, 8), { minLength: 1, maxLength: 3 }),
  devicesPerLink: fc.constantFrom(undefined, 4),
  nodesPerRack: fc.constantFrom(undefined, 2),
  largeFrom: fc.constantFrom(0, 4),
});
const runningArbitrary = fc.record({
  count: fc.constantFrom(1, 1, 2, 2, 4),
  members: fc.constantFrom(1, 1, 1, 2),
  priority: fc.constantFrom(1, 2, 2, 5, 9),
  ranSeconds: fc.integer({ min: 1, max: 9_000 }),
  savedSecondsAgo: fc.constantFrom(null, 5, 60, 600),
  preemptible: fc.constantFrom(true, true, true, true, false),
  isEnding: fc.constantFrom(false, false, false, false, true),
});
const preemptorArbitrary = fc.record({
  count: fc.constantFrom(1, 2, 3, 4, 6, 8),
  scope: fc.constantFrom<TopologyScope>('node', 'node', 'node', 'link', 'rack', 'cluster'),
  isLarge: fc.boolean(),
  members: fc.constantFrom(1, 1, 1, 2, 3),
  isTogether: fc.boolean(),
});

function fill(clusters: readonly WorkloadCluster[], wanted: readonly RunningWorkload[]): RunningWorkload[] {
  const capacity = new Capacity(clusters);
  return wanted.flatMap((each) => {
    const placed = capacity.find(request({ claim: each.claim, gang: each.gang }, each.id));
    if (placed === null) return [];
    capacity.take(each.holderId, each.claim, placed.tasks);
    return [{ ...each, tasks: placed.tasks }];
  });
}

const caseArbitrary = fc
  .record({
    clusters: fc.array(clusterArbitrary, { minLength: 1, maxLength: 2 }),
    running: fc.array(runningArbitrary, { minLength: 4, maxLength: 14 }),
    preemptor: preemptorArbitrary,
  })
  .map((sketch): WorkloadSnapshot => {
    const clusters = sketch.clusters.map(({ nodes, largeFrom, ...rest }, index) =>
      gpuCluster(`c${index}`, nodes, 8, {
        ...rest,
        eachNode: (node) => ({
          ...node,
          devices: node.devices.map((each, at) => (at < largeFrom ? each : { ...each, memoryBytes: 160e9 })),
        }),
      }),
    );
    const runs = sketch.running.map(({ count, members, ...rest }, index) =>
      running(`r${index}`, { claim: claim(count), gang: gang(members), ...rest }),
    );
    const { count, scope, isLarge, members, isTogether } = sketch.preemptor;
    const preemptor = pending('preemptor', {
      priority: 8,
      claim: { ...claim(count, GPU, scope), ...(isLarge ? { memoryBytesPerDevice: 100e9 } : {}) },
      gang: gang(members, isTogether ? within('rack') : {}),
    });
    return snapshot({ clusters, running: fill(clusters, runs), pending: [preemptor] });
  });

function lossOfSet(victims: readonly RunningWorkload[]): Loss {
  return lossOf(
    victims.map((each) => ({
      devices: each.claim.count * each.tasks.length,
      priority: each.priority,
      overdraws: 0,
      borrowerRank: 0,
      cost: lostDeviceSeconds(each, NOW_MS),
      startedAtMs: each.startedAtMs,
    })),
  );
}

/** Whether it fits in the cluster (null: in any) once the victims, and what ends anyway, are gone. */
function fitsWithout(
  { clusters, running: runs }: WorkloadSnapshot,
  work: PendingWorkload,
  victims: ReadonlySet<string>,
  clusterId: string | null,
) {
  const capacity = new Capacity(clusters);
  for (const { holderId, isEnding, claim: of, tasks } of runs) {
    if (!isEnding && !victims.has(holderId)) capacity.take(holderId, of, tasks);
  }
  return capacity.find(requestOf(work), clusterId === null ? undefined : new Set([clusterId])) !== null;
}

/** By looking at all of them; null: none would do. */
function leastLoss(fleet: WorkloadSnapshot, work: PendingWorkload): Loss | null {
  let best: Loss | null = null;
  for (const { id } of fleet.clusters) {
    const candidates = fleet.running.filter(
      (each) => each.priority < work.priority && shieldOf(each, NOW_MS) === null && each.tasks[0]!.clusterId === id,
    );
    for (let subset = 0; subset < 2 ** candidates.length; subset += 1) {
      const set = candidates.filter((_, index) => (subset >> index) % 2 === 1);
      const loss = lossOfSet(set);
      if (best !== null && compareLosses(loss, best) >= 0) continue;
      if (fitsWithout(fleet, work, new Set(set.map(({ holderId }) => holderId)), id)) best = loss;
    }
  }
  return best;
}

function outcome(fleet: WorkloadSnapshot) {
  const plan = planWorkloads(fleet);
  const holders = new Set(plan.stops.map(({ holderId }) => holderId));
  const victims = fleet.running.filter(({ holderId }) => holders.has(holderId));
  return { state: plan.verdicts[0]!.state, holders, loss: lossOfSet(victims) };
}

/** What the criteria before the latest start say. */
const inSums = ({ topPriority, cost, victims }: Loss) => ({ topPriority, cost: Math.round(cost), victims });

describe('on random small fleets', () => {
  it('for one member, no set of victims loses less', () => {
    const alone = caseArbitrary.filter(({ pending: [work] }) => work!.gang.size === 1);
    fc.assert(
      fc.property(alone, (fleet) => {
        const { state, loss } = outcome(fleet);
        if (state === 'started') return;
        const least = leastLoss(fleet, fleet.pending[0]!);
        expect(state === 'nominated' ? inSums(loss) : null).toEqual(least === null ? null : inSums(least));
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it('no victim can be spared, and none is asked for what is free or coming', () => {
    fc.assert(
      fc.property(caseArbitrary, (fleet) => {
        const work = fleet.pending[0]!;
        const { state, holders } = outcome(fleet);
        if (holders.size === 0) return;
        expect(state).toBe('nominated');
        expect(fitsWithout(fleet, work, new Set(), null)).toBe(false);
        for (const spared of holders) {
          const others = new Set([...holders].filter((each) => each !== spared));
          const cluster = fleet.running.find(({ holderId }) => holderId === spared)!.tasks[0]!.clusterId;
          expect(fitsWithout(fleet, work, others, cluster)).toBe(false);
        }
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  /** Of 863 cases 99 % lost the least there is; 1.0 % more was lost in all. */
  it('gangs find victims whenever there are any, of the lowest class, and lose at most 3 % more than the least', () => {
    const gangs = caseArbitrary.filter(({ pending: [work] }) => work!.gang.size > 1);
    const sums = { chosen: 0, least: 0 };
    fc.assert(
      fc.property(gangs, (fleet) => {
        const { state, loss } = outcome(fleet);
        if (state === 'started') return;
        const least = leastLoss(fleet, fleet.pending[0]!);
        expect(state === 'nominated' ? loss.topPriority : null).toBe(least?.topPriority ?? null);
        sums.chosen += loss.cost;
        sums.least += least?.cost ?? 0;
      }),
      { numRuns: RUNS, seed: 1 },
    );
    expect(sums.chosen / sums.least).toBeLessThan(1.03);
  }, 120_000);
});
