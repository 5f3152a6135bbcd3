/** A12: required labels of nodes filter, preferred ones score, in the choice of a cluster and of devices. */
import { describe, expect, it } from '@jest/globals';
import { DEFAULT_DEPLOYMENT_SERVING, type Labels } from '#domain';
import { DeviceLedger } from './device-ledger.ts';
import { claim, cluster, deployment, fleet, node, placed, words } from './fleet.builders.ts';
import { planFleet } from './plan-deployment.ts';

const gpu = (name: string, labels: Labels, devices = 1) => node(name, devices, 'nvidia.com/gpu', { labels });
const wants = (required: Labels, preferred: Labels = {}) => ({
  serving: { ...DEFAULT_DEPLOYMENT_SERVING, nodes: { required, preferred } },
});
const plan = (snapshot: Parameters<typeof planFleet>[0]) => planFleet(snapshot)[0]!;

describe('A12: clusters by the labels of their nodes', () => {
  const clusters = [
    cluster('plain', { nodes: [gpu('p1', {}, 8)] }),
    cluster('fast', { nodes: [gpu('f1', { disk: 'nvme' }), gpu('f2', {}, 8)] }),
  ];

  it.each([
    ['none: the emptier one', wants({}), ['+plain']],
    ['required: the one that has it', wants({ disk: 'nvme' }), ['+fast']],
    ['preferred: rather the one that has it', wants({}, { disk: 'nvme' }), ['+fast']],
    ['preferred and nowhere: no harm', wants({}, { disk: 'tape' }), ['+plain']],
    ['required and nowhere: none', wants({ disk: 'tape' }), []],
  ])('%s', (_name, serving, want) => {
    const held = cluster('plain', { nodes: [gpu('p1', {}, 8)], held: ['v1'] });
    const snapshot = fleet({ clusters: [held, clusters[1]!], deployments: [deployment('chat', serving)] });
    expect(words(plan(snapshot))).toEqual(want);
  });

  it('says which label is missing, and which devices are busy, in one sentence', () => {
    const first = deployment('first', wants({ disk: 'nvme' }));
    const second = deployment('second', {
      ...wants({ disk: 'nvme' }),
      createdAt: new Date(first.createdAt.getTime() + 1),
    });
    const [, waiting] = planFleet(fleet({ clusters, deployments: [first, second] }));
    expect(waiting!.decision.outcome).toBe(
      'placed 0/1; 0/2 clusters fit: 1 has no free nvidia.com/gpu ×1 in one node on nodes labelled disk=nvme, 1 without a node labelled disk=nvme',
    );
  });

  it('X02: what runs stays where it is when labels change', () => {
    const snapshot = fleet({
      clusters: [clusters[0]!],
      deployments: [deployment('chat', wants({ disk: 'nvme' }))],
      placed: [placed('r1', 'chat', 'plain')],
    });
    expect(words(plan(snapshot))).toEqual([]);
  });

  it('packs what may not be on every node first: an older replica that may be anywhere does not take its place', () => {
    const snapshot = fleet({
      clusters: [cluster('one', { nodes: [gpu('a', { disk: 'nvme' }), gpu('b', {}, 2)] })],
      deployments: [deployment('any'), deployment('choosy', wants({ disk: 'nvme' })), deployment('third')],
      placed: [placed('r1', 'any', 'one', { createdSecondsAgo: 9 }), placed('r2', 'choosy', 'one')],
    });
    expect(planFleet(snapshot).flatMap(words)).toEqual(['+one']);
  });
});

describe('A12: devices by the labels of their nodes', () => {
  const nodes = [gpu('a', { disk: 'hdd' }), gpu('b', { disk: 'nvme' }, 4), gpu('c', { disk: 'nvme', room: 'cold' }, 8)];
  const nodeOf = (required: Labels, preferred: Labels) =>
    new DeviceLedger(nodes).bind('holder', claim(), { required, preferred })?.map(({ node: name }) => name) ?? null;

  it.each([
    ['no wish: the smallest domain', {}, {}, ['a']],
    ['required: the smallest of those that have it', { disk: 'nvme' }, {}, ['b']],
    ['preferred goes before small', {}, { room: 'cold' }, ['c']],
    ['the more of the preferred the better', {}, { room: 'cold', disk: 'nvme' }, ['c']],
    ['required beats preferred', { disk: 'hdd' }, { room: 'cold' }, ['a']],
    ['required of nobody', { disk: 'tape' }, {}, null],
  ])('%s', (_name, required, preferred, want) => expect(nodeOf(required as Labels, preferred as Labels)).toEqual(want));

  it('tells too few on the allowed nodes from too few at all', () => {
    const ledger = new DeviceLedger(nodes);
    const any = { required: {}, preferred: {} };
    expect(ledger.misfit(claim(8), any)).toBeNull();
    expect(ledger.misfit(claim(8), { required: { disk: 'hdd' }, preferred: {} })).toBe('too-few');
  });
});
