/** X04 on random fleets: what a plan may never do to a spread, judged by counting what is there after it. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ClusterPhase, type Deployment, isMassUnknown, type ReplicaReport, type SpreadConstraint } from '#domain';
import { cluster, deployment, fleet, type PlacedReplica, placed, words } from './fleet.builders.ts';
import type { DeploymentPlan } from './plan.ts';
import { planDeployment } from './plan-deployment.ts';
import type { FleetSnapshot } from './snapshot.ts';

const RUNS = 1_500;
const phases: ClusterPhase[] = ['Ready', 'Ready', 'Ready', 'Ready', 'Suspect', 'Unknown'];
const says: (ReplicaReport['phase'] | null)[] = ['Ready', 'Ready', 'Starting', 'Failed', null];

const clusterArbitrary = fc.record({
  phase: fc.constantFrom(...phases),
  phaseSecondsAgo: fc.constantFrom(100, 1_000),
  cordoned: fc.constantFrom(false, false, false, true),
  region: fc.constantFrom('cn', 'eu', 'us', ''),
  zone: fc.constantFrom('1', '2', ''),
  devices: fc.integer({ min: 0, max: 4 }),
});
const spreadArbitrary: fc.Arbitrary<SpreadConstraint> = fc.record({
  by: fc.constantFrom('region', 'zone', 'cluster'),
  minGroups: fc.integer({ min: 1, max: 4 }),
});
const worldArbitrary = fc.record({
  clusters: fc.array(clusterArbitrary, { minLength: 1, maxLength: 7 }),
  replicas: fc.integer({ min: 0, max: 6 }),
  spread: spreadArbitrary,
  placements: fc.array(
    fc.record({ at: fc.nat(6), says: fc.constantFrom(...says), restarts: fc.constantFrom(0, 0, 9) }),
    { maxLength: 6 },
  ),
});
type World = typeof worldArbitrary extends fc.Arbitrary<infer Value> ? Value : never;

function worldOf({ clusters, replicas, spread, placements }: World) {
  const subject = deployment('chat', { replicas, spread });
  const there: PlacedReplica[] = placements.map(({ at, ...sketch }, index) =>
    placed(`p${index}`, 'chat', `c${at % clusters.length}`, sketch),
  );
  const states = clusters.map((sketch, index) => {
    const taken = there.filter(({ placement }) => placement.clusterId === `c${index}`).length;
    return cluster(`c${index}`, { ...sketch, devices: sketch.devices + taken });
  });
  return { subject, snapshot: fleet({ clusters: states, deployments: [subject], placed: there }) };
}

function holds(property: (snapshot: FleetSnapshot, subject: Deployment, plan: DeploymentPlan) => void): void {
  fc.assert(
    fc.property(worldArbitrary, (world) => {
      const { subject, snapshot } = worldOf(world);
      property(snapshot, subject, planDeployment(snapshot, subject));
    }),
    { numRuns: RUNS },
  );
}

/** Written out again here, so that the planner is not held against itself. */
function groupOf(snapshot: FleetSnapshot, by: SpreadConstraint['by'], clusterId: string): string | null {
  const { name, region, zone } = snapshot.clusters.find(({ cluster: { id } }) => id === clusterId)!.cluster;
  if (by === 'cluster') return name;
  if (by === 'region') return region === '' ? null : region;
  return zone === '' ? null : `${region}:${zone}`;
}

/** Clusters of the replicas that count before a plan: those of clusters that are not given up. */
function counting(snapshot: FleetSnapshot, gone: ReadonlySet<string> = new Set()): string[] {
  const isMass = isMassUnknown(snapshot.clusters.map(({ cluster: { phase } }) => phase));
  const lost = snapshot.clusters
    .filter(({ cluster: { phase, phaseSince } }) => {
      return phase === 'Unknown' && snapshot.nowMs - phaseSince.getTime() > 300_000;
    })
    .map(({ cluster: { id } }) => id);
  return snapshot.placements
    .filter(({ id, clusterId }) => !gone.has(id) && (isMass || !lost.includes(clusterId)))
    .map(({ clusterId }) => clusterId);
}

function stateOf(snapshot: FleetSnapshot, subject: Deployment, clusterIds: readonly string[]) {
  const { by, minGroups } = subject.spread!;
  const groups = new Set(clusterIds.map((id) => groupOf(snapshot, by, id)).filter((group) => group !== null));
  const missing = Math.max(0, Math.min(minGroups, subject.replicas) - groups.size);
  return { groups, missing, free: subject.replicas - clusterIds.length };
}

function aroundPlan(snapshot: FleetSnapshot, subject: Deployment, plan: DeploymentPlan) {
  const gone = new Set(plan.drain.map(({ placementId }) => placementId));
  const assigned = plan.assign.map(({ clusterId }) => clusterId);
  return {
    before: stateOf(snapshot, subject, counting(snapshot)),
    after: stateOf(snapshot, subject, [...counting(snapshot, gone), ...assigned]),
  };
}

describe('X04 on any fleet', () => {
  it('a place is left for each group that is missing, or only new groups were taken', () => {
    let reserved = 0;
    holds((snapshot, subject, plan) => {
      const { before, after } = aroundPlan(snapshot, subject, plan);
      if (plan.assign.length === 0 || after.missing <= after.free) return;
      reserved += 1;
      const groups = plan.assign.map(({ clusterId }) => groupOf(snapshot, subject.spread!.by, clusterId)!);
      expect(new Set(groups).size).toBe(groups.length);
      const stayed = new Set(
        counting(snapshot, new Set(plan.drain.map(({ placementId }) => placementId))).map((id) =>
          groupOf(snapshot, subject.spread!.by, id),
        ),
      );
      expect(groups.filter((group) => stayed.has(group))).toEqual([]);
      expect(before.missing).toBeGreaterThan(before.free);
    });
    expect(reserved).toBeGreaterThan(0);
  });

  it('no plan leaves fewer groups than there were, unless fewer are demanded', () => {
    holds((snapshot, subject, plan) => {
      const { before, after } = aroundPlan(snapshot, subject, plan);
      expect(after.missing).toBeLessThanOrEqual(before.missing);
    });
  });

  it('nothing goes where it would count for no group', () => {
    holds((snapshot, subject, plan) => {
      const groups = plan.assign.map(({ clusterId }) => groupOf(snapshot, subject.spread!.by, clusterId));
      expect(groups).not.toContain(null);
    });
  });

  it('says so whenever a group is missing', () => {
    holds((snapshot, subject, plan) => {
      const { missing, free } = aroundPlan(snapshot, subject, plan).after;
      const isSaid = plan.decision.outcome.includes('it wants ');
      expect(isSaid).toBe(missing > 0 && (free <= 0 || plan.waiting > 0));
      expect(plan.spread!.missing).toBe(missing);
    });
  });

  it('without it, and with one group demanded where all say theirs, plans are the same', () => {
    fc.assert(
      fc.property(worldArbitrary, (world) => {
        const clusters = world.clusters.map((each) => ({ ...each, region: each.region || 'cn' }));
        const [one, none] = [{ by: 'region', minGroups: 1 } as const, null].map((spread) => {
          const { subject, snapshot } = worldOf({ ...world, clusters });
          return planDeployment(snapshot, { ...subject, spread });
        });
        expect(words(one!)).toEqual(words(none!));
        expect(one!.decision.candidates).toEqual(none!.decision.candidates);
      }),
      { numRuns: RUNS },
    );
  });
});
