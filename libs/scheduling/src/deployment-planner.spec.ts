/** A planner that keeps what it counted plans as one that counts all anew, whatever the fleet does meanwhile. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DEFAULT_DEPLOYMENT_SERVING, type NodeDevices } from '#domain';
import {
  claim,
  cluster,
  deployment,
  fleet,
  NOW_MS,
  node,
  type PlacementSketch,
  placed,
  words,
} from './fleet.builders.ts';
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

interface World {
  /** Labels of the nodes where `chat` may be. */
  readonly required: Readonly<Record<string, string>>;
  /** Of `chat`. */
  readonly replica: PlacementSketch | null;
  readonly tasks: readonly Reservation[];
  /** On the node with a disk. */
  readonly devices: number;
}

/** All that is not named is the same objects in every world. */
function worldOf({ required, replica = CHAT, tasks = NO_TASKS, devices = 1 }: Partial<World>): FleetSnapshot {
  const nodes = devices === 1 ? NODES : [NODES[0]!, node('n1', devices, undefined, DISK)];
  const chat = deployment('chat', { replicas: replica === null ? 0 : 1 });
  const of = fleet({
    clusters: [cluster('a', { nodes })],
    deployments: [required === undefined ? chat : { ...chat, serving: onNodes(required) }, CODE],
    placed: replica === null ? [] : [placed('x', 'chat', 'a', replica)],
  });
  return { ...of, reservations: new Map([['a', tasks]]) };
}

function onNodes(required: World['required']) {
  return { ...DEFAULT_DEPLOYMENT_SERVING, nodes: { required, preferred: {} } };
}

function on(name: string): NodeDevices[] {
  return [{ node: name, deviceIds: [`${name}-0`] }];
}

const CLAIM = claim();
const CHAT: PlacementSketch = { claim: CLAIM };
const NO_TASKS: readonly Reservation[] = [];
const NODES = [node('n0', 1), node('n1', 1, undefined, DISK)];
const CODE = deployment('code', { serving: onNodes(DISK.labels), createdAt: new Date(NOW_MS) });

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

  /** `code` waits for the one device on a node with a disk, which is taken; then it is free. */
  it.each<[string, Partial<World>, Partial<World>]>([
    ['a replica may be elsewhere', { required: DISK.labels }, { required: {} }],
    [
      'a replica is bound to others',
      { replica: { ...CHAT, devices: on('n1') } },
      { replica: { ...CHAT, devices: on('n0') } },
    ],
    [
      'a replica claims something else',
      { required: DISK.labels },
      { required: DISK.labels, replica: { claim: claim(1, 'cpu') } },
    ],
    ['a replica is gone', { replica: { ...CHAT, devices: on('n1') } }, { replica: null }],
    ['a job ends', { tasks: [{ clusterId: 'a', holderId: 't', claim: claim(), devices: on('n1') }] }, { tasks: [] }],
    ['the node has another device', { required: DISK.labels }, { required: DISK.labels, devices: 2 }],
  ])('counts anew when %s', (_name, before, after) => {
    const planner = new DeploymentPlanner();
    const planned = [before, after].map((world) => planner.plan(worldOf(world)).flatMap(words));
    expect(planned).toEqual([[], ['+a']]);
  });

  it('F11 gives in the next plan again what was not committed of the last one', () => {
    const planner = new DeploymentPlanner();
    const clusters = [cluster('a', { devices: 1 })];
    const snapshot = fleet({ clusters, deployments: [deployment('chat'), deployment('code')] });
    for (const _turn of [1, 2]) expect(planner.plan(snapshot).map(words)).toEqual([['+a'], []]);
  });
});
