/** A planner that keeps what it counted plans as one that counts all anew, whatever the fleet does meanwhile. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DEFAULT_DEPLOYMENT_SERVING, type NodeDevices } from '#domain';
import { claim, cluster, deployment, fleet, node, placed, words } from './fleet.builders.ts';
import { DeploymentPlanner, planFleet } from './plan-deployment.ts';
import type { FleetSnapshot, Reservation } from './snapshot.ts';

const CLUSTERS = ['a', 'b', 'c'];

const eventArbitrary = fc.record({
  kind: fc.constantFrom('place', 'remove', 'drain', 'start', 'end', 'nodes', 'scale', 'labels', 'leave', 'nothing'),
  at: fc.nat(20),
  isBound: fc.boolean(),
});
type Event = typeof eventArbitrary extends fc.Arbitrary<infer Value> ? Value : never;

function begin(): FleetSnapshot {
  const clusters = CLUSTERS.map((name) => cluster(name, { nodes: [node('n0', 2), node('n1', 2, undefined, DISK)] }));
  return fleet({ clusters, deployments: [deployment('chat', { replicas: 2 }), deployment('code', { replicas: 1 })] });
}

const DISK = { labels: { disk: 'nvme' } };

/** Everything that does not change stays the same object. */
function next(snapshot: FleetSnapshot, { kind, at, isBound }: Event, round: number): FleetSnapshot {
  const { clusters, deployments, placements, reservations } = snapshot;
  const clusterId = CLUSTERS[at % CLUSTERS.length]!;
  const devices: NodeDevices[] | null = isBound ? [{ node: `n${at % 2}`, deviceIds: [`n${at % 2}-0`] }] : null;
  const changed = <Row>(rows: readonly Row[], change: (row: Row) => Row) =>
    rows.map((row, index) => (index === at % rows.length ? change(row) : row));
  switch (kind) {
    case 'place': {
      const sketch = { devices, createdSecondsAgo: 100 - round };
      const { placement } = placed(`p${round}`, deployments[at % 2]!.id, clusterId, sketch);
      return { ...snapshot, placements: [...placements, placement] };
    }
    case 'remove':
      return { ...snapshot, placements: placements.filter((_each, index) => index !== at % placements.length) };
    case 'drain':
      return { ...snapshot, placements: changed(placements, (each) => ({ ...each, phase: 'Draining' })) };
    case 'start': {
      const task: Reservation = { clusterId, holderId: `t${round}`, claim: claim(), devices };
      return {
        ...snapshot,
        reservations: new Map(reservations).set(clusterId, [...(reservations.get(clusterId) ?? []), task]),
      };
    }
    case 'end':
      return {
        ...snapshot,
        reservations: new Map(reservations).set(clusterId, (reservations.get(clusterId) ?? []).slice(1)),
      };
    case 'nodes':
      return {
        ...snapshot,
        clusters: changed(clusters, (state) => ({
          ...state,
          report: state.report && { ...state.report, nodes: [node('n0', at % 4), node('n1', 2, undefined, DISK)] },
        })),
      };
    case 'scale':
      return { ...snapshot, deployments: changed(deployments, (each) => ({ ...each, replicas: at % 5 })) };
    case 'labels': {
      const nodes = { required: isBound ? DISK.labels : {}, preferred: {} };
      const serving = { ...DEFAULT_DEPLOYMENT_SERVING, nodes };
      return { ...snapshot, deployments: changed(deployments, (each) => ({ ...each, serving })) };
    }
    case 'leave':
      return clusters.length === 1 ? begin() : { ...snapshot, clusters: clusters.slice(1) };
    case 'nothing':
      return snapshot;
  }
}

describe('a planner of one fleet', () => {
  it('plans every snapshot as if it were the first', () => {
    fc.assert(
      fc.property(fc.array(eventArbitrary, { minLength: 5, maxLength: 40 }), (events) => {
        const planner = new DeploymentPlanner();
        let snapshot = begin();
        for (const [round, event] of events.entries()) {
          snapshot = next(snapshot, event, round);
          expect(planner.plan(snapshot)).toEqual(planFleet(snapshot));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('F11 gives in the next plan again what was not committed of the last one', () => {
    const planner = new DeploymentPlanner();
    const clusters = [cluster('a', { devices: 1 })];
    const snapshot = fleet({ clusters, deployments: [deployment('chat'), deployment('code')] });
    for (const _turn of [1, 2]) expect(planner.plan(snapshot).map(words)).toEqual([['+a'], []]);
  });
});
