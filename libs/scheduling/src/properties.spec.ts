/** Properties on random fleets, and on random fleets that live on: plans are committed, agents do what they are told. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type ClusterPhase,
  type Deployment,
  DRAIN_MODES,
  drainStage,
  type Placement,
  type ReplicaReport,
} from '#domain';
import { DeviceLedger } from './device-ledger.ts';
import {
  claim,
  cluster,
  deployment,
  draining,
  fleet,
  NOW_MS,
  node,
  type PlacedReplica,
  placed,
} from './fleet.builders.ts';
import type { DeploymentPlan } from './plan.ts';
import { planFleet } from './plan-deployment.ts';
import type { ClusterSnapshot, FleetSnapshot } from './snapshot.ts';
import { isTimeBound } from './time-bound.ts';

const RUNS = 1_000;
const phases: ClusterPhase[] = ['Ready', 'Ready', 'Ready', 'Suspect', 'Unknown', 'Draining', 'PendingApproval'];
const says: (ReplicaReport['phase'] | null)[] = ['Ready', 'Ready', 'Starting', 'Failed', 'Stopped', null];

const clusterArbitrary = fc.record({
  phase: fc.constantFrom(...phases),
  phaseSecondsAgo: fc.constantFrom(1, 100, 1_000),
  cordoned: fc.boolean(),
  mode: fc.constantFrom(...DRAIN_MODES),
  drainedSeconds: fc.constantFrom(1, 150, 1_000),
  region: fc.constantFrom('cn', 'eu'),
  nodes: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 3 }),
  held: fc.subarray(['v1', 'v2']),
});
const deploymentArbitrary = fc.record({
  replicas: fc.integer({ min: 0, max: 4 }),
  versionId: fc.constantFrom('v1', 'v2'),
  count: fc.integer({ min: 1, max: 3 }),
  scope: fc.constantFrom('node' as const, 'cluster' as const),
  regions: fc.option(fc.constantFrom(['cn'], ['eu']), { nil: undefined }),
  spread: fc.option(
    fc.record({
      by: fc.constantFrom('region' as const, 'cluster' as const),
      minGroups: fc.integer({ min: 1, max: 3 }),
    }),
  ),
  isDeleted: fc.boolean(),
});
const placementArbitrary = fc.record({
  deployment: fc.nat(3),
  cluster: fc.nat(5),
  versionId: fc.constantFrom('v1', 'v2'),
  phase: fc.constantFrom('Assigned' as const, 'Assigned' as const, 'Draining' as const),
  phaseSecondsAgo: fc.constantFrom(1, 601),
  says: fc.constantFrom(...says),
  restarts: fc.constantFrom(0, 9),
});

/** Placements that would not fit are left out, so that every generated fleet is a possible one. */
const fleetArbitrary = fc
  .record({
    clusters: fc.array(clusterArbitrary, { minLength: 1, maxLength: 6 }),
    deployments: fc.array(deploymentArbitrary, { minLength: 1, maxLength: 4 }),
    placements: fc.array(placementArbitrary, { maxLength: 10 }),
  })
  .map(({ clusters, deployments, placements }): FleetSnapshot => {
    const states = clusters.map(({ nodes, mode, drainedSeconds, ...rest }, index) =>
      cluster(`c${index}`, {
        ...rest,
        ...(rest.phase === 'Draining' ? draining(mode, drainedSeconds, 100) : {}),
        nodes: nodes.map((devices, at) => node(`n${at}`, devices)),
      }),
    );
    const wanted = deployments.map(({ count, scope, regions, isDeleted, ...rest }, index) =>
      deployment(`d${index}`, {
        ...rest,
        claim: claim(count, 'nvidia.com/gpu', scope),
        selector: regions === undefined ? {} : { regions },
        deletedAt: isDeleted ? new Date(0) : null,
      }),
    );
    const replicas = placements.map(({ deployment: d, cluster: c, ...rest }, index) => {
      const of = wanted[d % wanted.length]!;
      return placed(`p${index}`, of.id, `c${c % states.length}`, { ...rest, claim: of.claim });
    });
    return fleet({ clusters: states, deployments: wanted, placed: fitting(states, replicas) });
  });

function fitting(states: readonly ClusterSnapshot[], replicas: readonly PlacedReplica[]): PlacedReplica[] {
  const ledgers = new Map(states.map(({ cluster: { id }, report }) => [id, new DeviceLedger(report!.nodes)]));
  return replicas.filter(({ placement: { clusterId, id, claim: of } }) => ledgers.get(clusterId)!.take(id, of));
}

/** The placements after the plans were committed. */
function commit(snapshot: FleetSnapshot, plans: readonly DeploymentPlan[], round = 0): Placement[] {
  const drained = new Set(plans.flatMap((plan) => plan.drain.map(({ placementId }) => placementId)));
  const removed = new Set(plans.flatMap((plan) => plan.remove.map(({ placementId }) => placementId)));
  const kept = snapshot.placements
    .filter(({ id }) => !removed.has(id))
    .map((placement) => (drained.has(placement.id) ? { ...placement, phase: 'Draining' as const } : placement));
  const added = plans.flatMap((plan) =>
    plan.assign.map((each, index) => {
      const { clusterId, versionId, claim: of } = each;
      const sketch = { versionId, claim: of, createdSecondsAgo: -round };
      return placed(`${plan.deploymentId}-${round}-${index}`, plan.deploymentId, clusterId, sketch).placement;
    }),
  );
  return [...kept, ...added];
}

/** Agents in contact have done all they were told: what is assigned is Ready, what drained is gone. */
function settle(snapshot: FleetSnapshot, placements: readonly Placement[]): FleetSnapshot {
  const live = placements.map(
    (placement) => ({ placement, says: placement.phase === 'Draining' ? null : 'Ready', restarts: 0 }) as const,
  );
  const next = fleet({ clusters: [...snapshot.clusters], deployments: [...snapshot.deployments], placed: live });
  const clusters = next.clusters.map((state, index) =>
    state.cluster.phase === 'Ready' ? state : snapshot.clusters[index]!,
  );
  return { ...next, clusters };
}

function holds(property: (snapshot: FleetSnapshot, plans: DeploymentPlan[]) => void): void {
  fc.assert(
    fc.property(fleetArbitrary, (snapshot) => {
      property(snapshot, planFleet(snapshot));
    }),
    { numRuns: RUNS },
  );
}

describe('any fleet', () => {
  it('capacity is never exceeded', () => {
    holds((snapshot, plans) => {
      const removed = new Set(plans.flatMap((plan) => plan.remove.map(({ placementId }) => placementId)));
      for (const { cluster: here, report } of snapshot.clusters) {
        const ledger = new DeviceLedger(report!.nodes);
        const before = snapshot.placements.filter(({ id, clusterId }) => clusterId === here.id && !removed.has(id));
        for (const { id, claim: of } of before) ledger.takeRunning(id, of);
        const added = plans.flatMap((plan) => plan.assign).filter(({ clusterId }) => clusterId === here.id);
        const devices = report!.nodes.flatMap((each) => each.devices).length;
        const used = [...before, ...added].reduce((sum, { claim: of }) => sum + of.count, 0);
        expect(used).toBeLessThanOrEqual(devices);
      }
    });
  });

  it('same input, same output, and the input is left alone', () => {
    holds((snapshot, plans) => {
      const copy = structuredClone(snapshot);
      expect(planFleet(snapshot)).toEqual(plans);
      expect(snapshot).toEqual(copy);
    });
  });

  it('what is not bound by time is planned the same a year later', () => {
    let unbound = 0;
    holds((snapshot, plans) => {
      if (isTimeBound(snapshot)) return;
      unbound += 1;
      expect(planFleet({ ...snapshot, nowMs: snapshot.nowMs + 365 * 86_400_000 })).toEqual(plans);
    });
    expect(unbound).toBeGreaterThan(RUNS / 100);
  });

  it('nothing goes to a cluster that is not Ready, is cordoned, or is elsewhere', () => {
    holds((snapshot, plans) => {
      const clusters = new Map(snapshot.clusters.map(({ cluster: here }) => [here.id, here]));
      const regions = new Map(snapshot.deployments.map(({ id, selector }) => [id, selector.regions]));
      for (const plan of plans) {
        for (const { clusterId } of plan.assign) {
          const { phase, cordoned, region } = clusters.get(clusterId)!;
          const isInside = regions.get(plan.deploymentId)?.includes(region) ?? true;
          expect({ phase, cordoned, isInside }).toEqual({ phase: 'Ready', cordoned: false, isInside: true });
        }
      }
    });
  });

  it('no fitting cluster is idle while a replica waits', () => {
    holds((_snapshot, plans) => {
      const last = plans.at(-1)!; // later plans only take room, so the last one's candidates are how things stand
      const fits = last.decision.candidates.some(({ score }) => score !== null);
      expect(last.waiting > 0 && fits).toBe(false);
    });
  });

  it('what is as wanted is never moved', () => {
    holds((snapshot, plans) => {
      const touched = new Set(
        plans.flatMap(({ drain, remove }) => [...drain, ...remove].map((each) => each.placementId)),
      );
      for (const subject of snapshot.deployments) {
        const own = snapshot.placements.filter(({ deploymentId }) => deploymentId === subject.id);
        const isWanted = own.every((each) => isAsWanted(snapshot, subject, each)) && own.length <= subject.replicas;
        if (isWanted && subject.deletedAt === null) expect(own.filter(({ id }) => touched.has(id))).toEqual([]);
      }
    });
  });

  it('a candidate has either a score or a reason', () => {
    holds((_snapshot, plans) => {
      for (const { score, rejectedBecause, rejectedBy } of plans.flatMap(({ decision }) => decision.candidates)) {
        expect((score === null) === (rejectedBecause !== null) && (score === null) === (rejectedBy !== null)).toBe(
          true,
        );
      }
    });
  });
});

function isAsWanted(
  snapshot: FleetSnapshot,
  subject: Deployment,
  { id, clusterId, versionId, phase }: Placement,
): boolean {
  const { cluster: here, report } = snapshot.clusters.find(({ cluster: { id: at } }) => at === clusterId)!;
  const isFailing = report!.replicas.some((replica) => replica.replicaId === id && replica.phase === 'Failed');
  const stage = drainStage(here.drain, NOW_MS);
  const isEmptied = stage === 'move' || stage === 'stop';
  const isInside = subject.selector.regions?.includes(here.region) ?? true;
  return phase === 'Assigned' && versionId === subject.versionId && !isEmptied && isInside && !isFailing;
}

describe('a fleet that lives on', () => {
  it('comes to rest, with everything placed or waiting for room', () => {
    fc.assert(
      fc.property(fleetArbitrary, (start) => {
        let snapshot = settle(start, start.placements);
        for (let round = 1; round <= 60; round += 1) {
          const plans = planFleet(snapshot);
          if (plans.every(({ assign, drain, remove }) => assign.length + drain.length + remove.length === 0)) return;
          snapshot = settle(snapshot, commit(snapshot, plans, round));
        }
        throw new Error('still moving after 60 rounds');
      }),
      { numRuns: 300 },
    );
  });

  it('R7 never serves with fewer than wanted while versions change and there is room', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 4 }), (replicas, clusters) => {
        const states = Array.from({ length: clusters }, (_, index) => cluster(`c${index}`, { devices: replicas + 4 }));
        const subject = deployment('chat', { replicas });
        let snapshot = fleet({ clusters: states, deployments: [subject] });
        snapshot = settle(snapshot, commit(snapshot, planFleet(snapshot), 1));
        snapshot = { ...snapshot, deployments: [{ ...subject, versionId: 'v2' }] };
        for (let round = 2; round < 40; round += 1) {
          const placements = commit(snapshot, planFleet(snapshot), round);
          expect(placements.filter(({ phase }) => phase === 'Assigned').length).toBeGreaterThanOrEqual(replicas);
          snapshot = settle(snapshot, placements);
        }
        expect(snapshot.placements.map(({ versionId }) => versionId)).toEqual(Array(replicas).fill('v2'));
      }),
      { numRuns: 50 },
    );
  });
});
