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
    .filter(
      ({ id, clusterId, phase }) => phase === 'Assigned' && !gone.has(id) && (isMass || !lost.includes(clusterId)),
    )
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
      if (plan.assign.length === 0 || after.missing <= Math.max(0, after.free)) return;
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

const lifeArbitrary = fc.record({
  clusters: fc.array(clusterArbitrary, { minLength: 6, maxLength: 8 }),
  spread: spreadArbitrary,
  events: fc.array(
    fc.record({ kind: fc.constantFrom('more', 'version', 'cordon', 'uncordon', 'lose'), at: fc.nat(7) }),
    { minLength: 1, maxLength: 8 },
  ),
});
type Life = typeof lifeArbitrary extends fc.Arbitrary<infer Value> ? Value : never;

/** More than these, and nothing would be taken to be lost any more. */
const LOST_MAX = 2;

function change(snapshot: FleetSnapshot, { kind, at }: Life['events'][number]): FleetSnapshot {
  const [subject] = snapshot.deployments as [Deployment];
  const of = (rest: Partial<Deployment>) => ({ ...snapshot, deployments: [{ ...subject, ...rest }] });
  if (kind === 'more') return of({ replicas: subject.replicas + 1 });
  if (kind === 'version') return of({ versionId: subject.versionId === 'v1' ? 'v2' : 'v1' });
  const lost = snapshot.clusters.filter(({ cluster: { phase } }) => phase === 'Unknown').length;
  if (kind === 'lose' && lost === LOST_MAX) return snapshot;
  const rest =
    kind === 'lose' ? ({ phase: 'Unknown', phaseSince: new Date(0) } as const) : { cordoned: kind === 'cordon' };
  const clusters = snapshot.clusters.map((state, index) =>
    index === at % snapshot.clusters.length ? { ...state, cluster: { ...state.cluster, ...rest } } : state,
  );
  return { ...snapshot, clusters };
}

/** Plans are committed, and agents do what they are told, until there is nothing more to do. */
function rest(
  from: FleetSnapshot,
  name: string,
  meanwhile: (placements: FleetSnapshot['placements']) => void = () => undefined,
): FleetSnapshot {
  let snapshot = from;
  for (let round = 0; round < 60; round += 1) {
    const [subject] = snapshot.deployments as [Deployment];
    const plan = planDeployment(snapshot, subject);
    if (plan.assign.length + plan.drain.length + plan.remove.length === 0) return snapshot;
    const removed = new Set(plan.remove.map(({ placementId }) => placementId));
    const reasons = new Map(plan.drain.map(({ placementId, reason }) => [placementId, reason]));
    const stay = snapshot.placements
      .filter(({ id }) => !removed.has(id))
      .map((each) =>
        reasons.has(each.id) ? { ...each, phase: 'Draining' as const, reason: reasons.get(each.id)! } : each,
      );
    const come = plan.assign.map(({ clusterId, versionId, reason }, index) => {
      const sketch = { versionId, reason, createdSecondsAgo: -round };
      return placed(`${name}.${round}.${index}`, 'chat', clusterId, sketch).placement;
    });
    snapshot = withPlacements(snapshot, [...stay, ...come]);
    meanwhile(snapshot.placements);
  }
  throw new Error('still moving after 60 rounds');
}

function withPlacements(snapshot: FleetSnapshot, placements: FleetSnapshot['placements']): FleetSnapshot {
  const live = placements.map((placement) => {
    return { placement, says: placement.phase === 'Draining' ? null : 'Ready', restarts: 0 } as const;
  });
  const { deployments, clusters } = snapshot;
  return fleet({ clusters: [...clusters], deployments: [...deployments], placed: live });
}

describe('X04 on a fleet that lives on', () => {
  it('every place that is still to be given could bring a missing group, whatever was changed, cordoned or lost', () => {
    let [spread, short] = [0, 0];
    fc.assert(
      fc.property(lifeArbitrary, ({ clusters, events, ...life }) => {
        const states = clusters.map((sketch, index) => cluster(`c${index}`, { ...sketch, phase: 'Ready' }));
        const subject = deployment('chat', { replicas: 1, spread: life.spread });
        let snapshot = rest(fleet({ clusters: states, deployments: [subject] }), 'first');
        for (const [index, event] of events.entries()) {
          snapshot = rest(change(snapshot, event), `${index}`);
          const { groups, missing, free } = stateOf(snapshot, snapshot.deployments[0]!, counting(snapshot));
          expect(missing).toBeLessThanOrEqual(Math.max(0, free));
          spread += Number(groups.size > 1);
          short += Number(missing > 0);
        }
      }),
      { numRuns: 400 },
    );
    expect(Math.min(spread, short)).toBeGreaterThan(0);
  });

  it('R7 X06 what runs serves on through changes of version, however far from the spread it is', () => {
    fc.assert(
      fc.property(lifeArbitrary, fc.integer({ min: 1, max: 6 }), ({ clusters, spread }, replicas) => {
        const states = clusters.map((sketch, index) => cluster(`c${index}`, { ...sketch, phase: 'Ready' }));
        const subject = deployment('chat', { replicas });
        let snapshot = rest(fleet({ clusters: states, deployments: [subject] }), 'first');
        const before = snapshot.placements.length;
        snapshot = { ...snapshot, deployments: [{ ...subject, spread, versionId: 'v2' }] };
        snapshot = rest(snapshot, 'second', (placements) => {
          const isBeside = clusters.every(({ devices, cordoned }) => devices > replicas + 1 && !cordoned);
          const assigned = placements.filter(({ phase }) => phase === 'Assigned').length;
          if (isBeside) expect(assigned).toBeGreaterThanOrEqual(before);
        });
        expect(snapshot.placements.length).toBeGreaterThanOrEqual(before);
      }),
      { numRuns: 300 },
    );
  });
});
