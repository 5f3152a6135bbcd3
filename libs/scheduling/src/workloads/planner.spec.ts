/** A planner of many cycles decides what planners of one cycle each decide, whatever happens to the fleet in between. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { propertyRuns } from '#testing';
import { planWorkloads, WorkloadPlanner } from './cycle.ts';
import { carriedOut, fleetArbitrary } from './random-fleets.builders.ts';
import type { RunningWorkload, WorkloadCluster, WorkloadSnapshot } from './snapshot.ts';
import { gpuCluster, NOW_MS, on, pending, running, snapshot } from './workloads.builders.ts';

const FLEETS = 250;
const FLEETS_LONG = 4_000;
const CYCLES = 6;

/** What happens to a fleet between two cycles besides what was planned; `at` says to which part of it. */
const EVENTS: Readonly<Record<string, (fleet: WorkloadSnapshot, at: number) => WorkloadSnapshot>> = {
  'nothing more': (fleet) => fleet,
  'one ends': (fleet, at) => ({ ...fleet, running: fleet.running.filter((_, index) => index !== at) }),
  'one saves': (fleet, at) => withRunning(fleet, at, { savedAtMs: fleet.nowMs, savedSeconds: 7 }),
  'one may go no more': (fleet, at) => withRunning(fleet, at, { preemptible: false }),
  'one is held twice': (fleet, at) => ({
    ...fleet,
    running: fleet.running.flatMap((each, index) => (index === at ? [each, twinOf(each, fleet.nowMs)] : [each])),
  }),
  'they come in another order': (fleet) => ({ ...fleet, running: fleet.running.toReversed() }),
  'all are read anew': (fleet) => ({ ...fleet, running: structuredClone(fleet.running) }),
  'a cluster closes': (fleet, at) =>
    withCluster(fleet, at, () => ({ closed: { because: 'it is Suspect', summary: 'Suspect' } })),
  'a cluster opens': (fleet, at) => withCluster(fleet, at, () => ({ closed: null })),
  'a node goes': (fleet, at) => withCluster(fleet, at, ({ nodes }) => ({ nodes: nodes.slice(1) })),
  'a cluster goes': (fleet, at) => ({ ...fleet, clusters: fleet.clusters.filter((_, index) => index !== at) }),
  'a queue goes': (fleet, at) => ({ ...fleet, queues: withoutLeaf(fleet.queues, at) }),
  'an hour passes': (fleet) => ({ ...fleet, nowMs: fleet.nowMs + 3_600_000 }),
  'the clock goes back': (fleet) => ({ ...fleet, nowMs: fleet.nowMs - 700_000 }),
};

function withRunning(fleet: WorkloadSnapshot, at: number, change: Partial<RunningWorkload>): WorkloadSnapshot {
  return { ...fleet, running: fleet.running.map((each, index) => (index === at ? { ...each, ...change } : each)) };
}

function withCluster(
  fleet: WorkloadSnapshot,
  at: number,
  change: (cluster: WorkloadCluster) => Partial<WorkloadCluster>,
): WorkloadSnapshot {
  const { clusters } = fleet;
  const isMeant = (index: number) => index === at % clusters.length;
  return { ...fleet, clusters: clusters.map((each, index) => (isMeant(index) ? { ...each, ...change(each) } : each)) };
}

/** Another holder of the same workload, as it says on the same devices. */
function twinOf(running: RunningWorkload, nowMs: number): RunningWorkload {
  return { ...running, holderId: `${running.holderId}-${nowMs}`, startedAtMs: nowMs };
}

/** Two holders of one workload that are both gone make it wait once. */
function eachOnce(pending: WorkloadSnapshot['pending']): WorkloadSnapshot['pending'] {
  return [...new Map(pending.map((each) => [each.id, each])).values()];
}

function withoutLeaf(queues: WorkloadSnapshot['queues'], at: number): WorkloadSnapshot['queues'] {
  const leaf = queues[at];
  return leaf === undefined || queues.some(({ parentId }) => parentId === leaf.id)
    ? queues
    : queues.filter((each) => each !== leaf);
}

const eventArbitrary = fc.record({ event: fc.constantFrom(...Object.keys(EVENTS)), at: fc.nat(4) });

describe('a planner of many cycles', () => {
  it('decides on random fleets what one of a single cycle decides', () => {
    fc.assert(
      fc.property(
        fleetArbitrary,
        fc.array(eventArbitrary, { minLength: CYCLES, maxLength: CYCLES }),
        fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
        (fleet, events, goes) => {
          const planner = new WorkloadPlanner();
          let now = fleet;
          for (const [cycle, { event, at }] of events.entries()) {
            const plan = planner.plan(now);
            expect(plan).toEqual(planWorkloads(now));
            const next = carriedOut(now, plan, (index) => goes[(index + cycle) % goes.length]!);
            now = EVENTS[event]!({ ...next, pending: eachOnce(next.pending) }, at);
          }
        },
      ),
      propertyRuns(FLEETS, FLEETS_LONG),
    );
  }, 120_000);

  it('plans on after a snapshot that it refused', () => {
    const planner = new WorkloadPlanner();
    const fleet = snapshot({
      running: [running('low', { node: 'c1-n1', devices: 8 })],
      pending: [pending('high', { priority: 8, devices: 3 })],
    });
    planner.plan(fleet);
    const lost = fleet.queues.map((queue) => ({ ...queue, parentId: 'nowhere' }));
    expect(() => planner.plan({ ...fleet, queues: lost, running: [] })).toThrow(RangeError);
    expect(planner.plan(fleet)).toEqual(planWorkloads(fleet));
  });

  it('counts anew once most of whom it ever saw is gone', () => {
    const planner = new WorkloadPlanner();
    const clusters = [gpuCluster('c1')];
    for (let cycle = 0; cycle < 30; cycle += 1) {
      const jobs = Array.from({ length: 1_000 }, (_, index) => `${cycle}-${index}`);
      const one = running(`last-${cycle}`, {
        devices: 7,
        tasks: [{ rank: 0, clusterId: 'c1', devices: [on('c1-n1', 7)] }],
      });
      const gone = jobs.map((name) => running(name, { tasks: [{ rank: 0, clusterId: 'gone', devices: [] }] }));
      const fleet = snapshot({ clusters, nowMs: NOW_MS + cycle, running: [one, ...gone], pending: [pending('p')] });
      expect(planner.plan(fleet).starts).toMatchObject([{ tasks: [{ devices: [{ deviceIds: ['c1-n1-7'] }] }] }]);
    }
  });
});
