import { describe, expect, it } from '@jest/globals';
import type { Node, NodeDevices } from '#domain';
import { capacityOf, GPU, type Held, memory } from './capacity.builders.ts';
import { Capacity } from './capacity.ts';
import type { Placed } from './ports.ts';
import type { WorkloadCluster } from './snapshot.ts';
import {
  binding,
  claim,
  GIGABYTE,
  gang,
  gpuCluster,
  on,
  type PendingSketch,
  request,
  within,
} from './workloads.builders.ts';

/** Members as words: `c1-n1:0+1` is devices 0 and 1 of that node; of several nodes joined by `&`. */
function membersOf(placed: Placed | null): string[] | null {
  const word = ({ node, deviceIds }: NodeDevices) =>
    `${node}:${deviceIds.map((id) => id.slice(node.length + 1)).join('+')}`;
  return placed?.tasks.map(({ clusterId, devices }) => devices?.map(word).join('&') ?? clusterId) ?? null;
}

const sized = (memories: readonly number[]) => (node: Node) => ({
  ...node,
  devices: node.devices.map((device, index) => ({ ...device, memoryBytes: memories[index]! * GIGABYTE })),
});
const linkedAs = (links: readonly (string | undefined)[]) => (node: Node) => ({
  ...node,
  devices: node.devices.map((device, index) => ({ ...device, linkDomain: links[index] })),
});
const racks = (nodes: number, nodesPerRack: number, sketch = {}) =>
  gpuCluster('c1', nodes, 4, { nodesPerRack, ...sketch });

interface Case {
  readonly name: string;
  readonly clusters: readonly WorkloadCluster[];
  readonly held?: Held;
  readonly asks: PendingSketch;
  readonly want: readonly string[] | null;
  readonly wantScope?: Placed['scope'];
}

const cases: Case[] = [
  { name: 'T01 two of one node', clusters: [gpuCluster('c1', 2, 2)], asks: { devices: 2 }, want: ['c1-n1:0+1'] },
  {
    name: 'T01 one and one are not two of one node',
    clusters: [gpuCluster('c1', 2, 2)],
    held: [
      ['c1', on('c1-n1', 1)],
      ['c1', on('c1-n2', 1)],
    ],
    asks: { devices: 2 },
    want: null,
  },
  {
    name: 'T02 a rack that is required is not made of two',
    clusters: [racks(4, 2)],
    asks: { gang: gang(3, within('rack')), devices: 4 },
    want: null,
  },
  {
    name: 'T02 a gang within the rack that can take it',
    clusters: [racks(4, 2)],
    held: [['c1', on('c1-n1', 1)]],
    asks: { gang: gang(2, within('rack')), devices: 4 },
    want: ['c1-n3:0+1+2+3', 'c1-n4:0+1+2+3'],
    wantScope: 'rack',
  },
  {
    name: 'T03 a rack is preferred, only the zone fits',
    clusters: [racks(4, 1, { racksPerZone: 2 })],
    held: [['c1', on('c1-n1', 1)]],
    asks: { gang: gang(2, within('rack', false)), devices: 4 },
    want: ['c1-n3:0+1+2+3', 'c1-n4:0+1+2+3'],
    wantScope: 'zone',
  },
  {
    name: 'T03 a rack is preferred, and one fits',
    clusters: [racks(4, 2, { racksPerZone: 2 })],
    asks: { gang: gang(2, within('rack', false)), devices: 4 },
    want: ['c1-n1:0+1+2+3', 'c1-n2:0+1+2+3'],
    wantScope: 'rack',
  },
  {
    name: 'T03 not even the zone fits: the cluster',
    clusters: [racks(2, 1, { racksPerZone: 1 })],
    asks: { gang: gang(2, within('rack', false)), devices: 3 },
    want: ['c1-n1:0+1+2', 'c1-n2:0+1+2'],
    wantScope: 'cluster',
  },
  {
    name: 'T04 the node with the least room that is enough',
    clusters: [gpuCluster('c1', [8, 2, 4])],
    asks: { devices: 2 },
    want: ['c1-n2:0+1'],
    wantScope: 'node',
  },
  {
    name: 'T04 the rack with the least room that is enough, whole nodes of it',
    clusters: [racks(5, 3)],
    asks: { claim: claim(8, GPU, 'rack') },
    want: ['c1-n4:0+1+2+3&c1-n5:0+1+2+3'],
    wantScope: 'rack',
  },
  {
    name: 'T04 what may spread over the cluster stays in a node that has room',
    clusters: [racks(4, 2)],
    asks: { claim: claim(4, GPU, 'cluster') },
    want: ['c1-n1:0+1+2+3'],
    wantScope: 'node',
  },
  {
    name: 'T04 fewer racks before fewer nodes',
    clusters: [racks(4, 2)],
    held: [
      ['c1', on('c1-n1', 2)],
      ['c1', on('c1-n2', 2)],
      ['c1', on('c1-n4', 3)],
    ],
    asks: { gang: gang(4) },
    want: ['c1-n3:0', 'c1-n3:1', 'c1-n3:2', 'c1-n3:3'],
    wantScope: 'node',
  },
  {
    name: 'T04 two nodes of one rack, not one node of each of two',
    clusters: [racks(4, 2)],
    held: [
      ['c1', on('c1-n1', 1)],
      ['c1', on('c1-n2', 1)],
      ['c1', on('c1-n4', 4)],
    ],
    asks: { gang: gang(6) },
    want: ['c1-n1:1', 'c1-n1:2', 'c1-n1:3', 'c1-n2:1', 'c1-n2:2', 'c1-n2:3'],
    wantScope: 'rack',
  },
  {
    name: 'T04 the fullest node first, for the rest the tightest that is enough',
    clusters: [racks(3, 3)],
    held: [
      ['c1', on('c1-n2', 1)],
      ['c1', on('c1-n3', 2)],
    ],
    asks: { gang: gang(6) },
    want: ['c1-n1:0', 'c1-n1:1', 'c1-n1:2', 'c1-n1:3', 'c1-n3:2', 'c1-n3:3'],
    wantScope: 'rack',
  },
  {
    name: 'T05 a linked pair is preferred',
    clusters: [gpuCluster('c1', 1, 4, { eachNode: linkedAs(['x', undefined, undefined, 'x']) })],
    asks: { devices: 2 },
    want: ['c1-n1:0+3'],
    wantScope: 'link',
  },
  {
    name: 'T05 without a free pair any two will do',
    clusters: [gpuCluster('c1', 1, 3, { eachNode: linkedAs(['x', 'y', 'x']) })],
    held: [['c1', on('c1-n1', 1)]],
    asks: { devices: 2 },
    want: ['c1-n1:2+1'],
    wantScope: 'node',
  },
  {
    name: 'T05 a pair that is required is waited for',
    clusters: [gpuCluster('c1', 1, 3, { eachNode: linkedAs(['x', 'y', 'x']) })],
    held: [['c1', on('c1-n1', 1)]],
    asks: { claim: claim(2, GPU, 'link') },
    want: null,
  },
  {
    name: 'T05 a pair that is required, in the second node',
    clusters: [gpuCluster('c1', 2, 4, { devicesPerLink: 2 })],
    held: [
      ['c1', on('c1-n1', 1)],
      ['c1', on('c1-n1', 1, 2)],
    ],
    asks: { claim: claim(2, GPU, 'link') },
    want: ['c1-n2:0+1'],
    wantScope: 'link',
  },
  {
    name: 'T05 a single device leaves pairs whole',
    clusters: [gpuCluster('c1', 1, 3, { eachNode: linkedAs(['x', 'x', 'y']) })],
    asks: { devices: 1 },
    want: ['c1-n1:2'],
  },
  {
    name: 'T05 a gang in one link domain',
    clusters: [gpuCluster('c1', 1, 8, { devicesPerLink: 4 })],
    held: [['c1', on('c1-n1', 1)]],
    asks: { gang: gang(2, within('link')), devices: 2 },
    want: ['c1-n1:4+5', 'c1-n1:6+7'],
    wantScope: 'link',
  },
  {
    name: 'T06 another type is no substitute',
    clusters: [gpuCluster('c1', 1, 8)],
    asks: { claim: claim(1, 'cambricon.com/mlu') },
    want: null,
  },
  {
    name: 'T07 four and four are not eight of one node',
    clusters: [gpuCluster('c1', 2)],
    held: [
      ['c1', on('c1-n1', 4)],
      ['c1', on('c1-n2', 4)],
    ],
    asks: { devices: 8 },
    want: null,
  },
  {
    name: 'T09 the least memory that suffices',
    clusters: [gpuCluster('c1', 1, 3, { eachNode: sized([80, 24, 48]) })],
    asks: memory(1, 40),
    want: ['c1-n1:2'],
  },
  {
    name: 'T09 small devices first, though the node of large ones is tighter',
    clusters: [gpuCluster('c1', [4, 1], 0, { eachNode: (node, index) => sized(Array(4).fill(index ? 80 : 24))(node) })],
    asks: { devices: 1 },
    want: ['c1-n1:0'],
  },
  {
    name: 'T09 too little memory is no room',
    clusters: [gpuCluster('c1', 1, 2, { eachNode: sized([24, 80]) })],
    asks: memory(2, 40),
    want: null,
  },
  {
    name: 'T09 sizes are mixed when no one size is enough',
    clusters: [gpuCluster('c1', 1, 2, { eachNode: sized([24, 80]) })],
    asks: { devices: 2 },
    want: ['c1-n1:0+1'],
  },
  {
    name: 'G01 three of four fit: none is placed',
    clusters: [gpuCluster('c1', 3, 2)],
    asks: { gang: gang(4), devices: 2 },
    want: null,
  },
  {
    name: 'G02 three of four fit, two would do: three',
    clusters: [gpuCluster('c1', 3, 2)],
    asks: { gang: gang(4, { minimum: 2 }), devices: 2 },
    want: ['c1-n1:0+1', 'c1-n2:0+1', 'c1-n3:0+1'],
  },
  {
    name: 'G02 the whole gang is preferred to a better place for a part of it',
    clusters: [gpuCluster('c1', 1, 2), gpuCluster('c2', 2, 2)],
    asks: { gang: gang(3, { minimum: 2 }), preferredClusterIds: ['c1'] },
    want: ['c2-n1:0', 'c2-n1:1', 'c2-n2:0'],
  },
  {
    name: 'G02 below the minimum nothing is placed',
    clusters: [gpuCluster('c1', 1, 2)],
    asks: { gang: gang(4, { minimum: 2 }), devices: 2 },
    want: null,
  },
  {
    name: 'G07 a gang is in one cluster',
    clusters: [gpuCluster('c1', 1, 2), gpuCluster('c2', 1, 2)],
    asks: { gang: gang(3) },
    want: null,
  },
  {
    name: 'G07 unless it may span them',
    clusters: [gpuCluster('c1', 1, 2), gpuCluster('c2', 1, 2)],
    asks: { gang: gang(3, { spansClusters: true }) },
    want: ['c1-n1:0', 'c1-n1:1', 'c2-n1:0'],
    wantScope: 'fleet',
  },
  {
    name: 'G07 and does not when one is enough',
    clusters: [gpuCluster('c1', 1, 2), gpuCluster('c2', 1, 3)],
    asks: { gang: gang(3, { spansClusters: true }) },
    want: ['c2-n1:0', 'c2-n1:1', 'c2-n1:2'],
    wantScope: 'node',
  },
  {
    name: 'G07 a domain that is required is never in two clusters',
    clusters: [gpuCluster('c1', 1, 2), gpuCluster('c2', 1, 2)],
    asks: { gang: gang(3, { spansClusters: true, ...within('cluster') }) },
    want: null,
  },
  {
    name: 'an edge cluster binds by itself',
    clusters: [gpuCluster('e1', 1, 2, { kind: 'edge' })],
    asks: { gang: gang(2) },
    want: ['e1', 'e1'],
  },
  {
    name: 'the cluster that has its data, though another is tighter',
    clusters: [gpuCluster('c1', 1, 1), gpuCluster('c2', 1, 8)],
    asks: { preferredClusterIds: ['c2'] },
    want: ['c2-n1:0'],
  },
  {
    name: 'the tighter of two clusters',
    clusters: [gpuCluster('c1', 1, 8), gpuCluster('c2', 1, 2)],
    asks: { devices: 2 },
    want: ['c2-n1:0+1'],
  },
  {
    name: 'the cluster in which the gang is closer together',
    clusters: [gpuCluster('c1', [1, 1]), gpuCluster('c2', [8])],
    asks: { gang: gang(2) },
    want: ['c2-n1:0', 'c2-n1:1'],
  },
  {
    name: 'of equal places the one in the emptier cluster',
    clusters: [gpuCluster('c1', [4, 4]), gpuCluster('c2', [4, 4])],
    held: [['c1', on('c1-n1', 4)]],
    asks: { devices: 4 },
    want: ['c2-n1:0+1+2+3'],
  },
];

describe('where a workload fits', () => {
  it.each(cases)('$name', ({ clusters, held, asks, want, wantScope }) => {
    const placed = capacityOf(clusters, held).find(request(asks));
    expect([membersOf(placed), wantScope === undefined ? undefined : placed?.scope]).toEqual([want, wantScope]);
  });

  it('ranks are 0, 1, 2 … over all clusters', () => {
    const capacity = capacityOf([gpuCluster('c1', 1, 2), gpuCluster('c2', 1, 2)]);
    const placed = capacity.find(request({ gang: gang(4, { spansClusters: true }) }));
    expect(placed?.tasks.map(({ rank }) => rank)).toEqual([0, 1, 2, 3]);
  });

  it('only among the clusters that are asked about', () => {
    const capacity = capacityOf([gpuCluster('c1', 1, 1), gpuCluster('c2', 1, 8)]);
    expect(membersOf(capacity.find(request(), new Set(['c2'])))).toEqual(['c2-n1:0']);
  });

  it('ties are broken by the workload, not always for the same cluster', () => {
    const capacity = capacityOf(Array.from({ length: 8 }, (_, index) => gpuCluster(`c${index}`, 1, 1)));
    const chosen = Array.from({ length: 64 }, (_, index) => capacity.find(request({}, `job${index}`))!.clusterId);
    expect(new Set(chosen).size).toBeGreaterThanOrEqual(6);
  });

  it('says what the chosen place scored', () => {
    expect(
      capacityOf([gpuCluster('c1', 2, 4)]).find(request({ devices: 2, preferredClusterIds: ['c1'] }))?.scores,
    ).toEqual({
      whole: 16,
      preferred: 4,
      near: 2,
      tight: 0.5,
      spread: 0.05,
    });
  });
});

describe('taking and giving back', () => {
  const free = (capacity: Capacity) => capacity.free(GPU);

  it('takes bound devices as they are, passes over what vanished, and leaves what is held to its first holder', () => {
    const capacity = capacityOf([gpuCluster('c1', 1, 4)], [['c1', on('c1-n1', 1)]]);
    capacity.take('runs', claim(4), [binding(0, 'c1', [on('c1-n1', 2), on('c1-n1', 1, 7), on('gone', 1)])]);
    capacity.release('held0');
    expect([free(capacity), membersOf(capacity.find(request({ devices: 3 })))]).toEqual([3, ['c1-n1:0+2+3']]);
  });

  it('packs what is not bound', () => {
    const capacity = capacityOf([gpuCluster('e1', [4, 2], 0, { kind: 'edge' })]);
    capacity.take('runs', claim(2), [binding(0, 'e1')]);
    expect(capacity.find(request({ devices: 4 }))?.clusterId).toBe('e1');
  });

  it('counts what runs where it no longer fits', () => {
    const capacity = capacityOf([gpuCluster('e1', [1, 1], 0, { kind: 'edge' })]);
    capacity.take('runs', claim(3), [binding(0, 'e1')]);
    expect(free(capacity)).toBe(0);
  });

  it('counts the members of a gang that still fit, and takes what is left for the others', () => {
    const capacity = capacityOf([gpuCluster('e1', [3, 2], 0, { kind: 'edge' })]);
    capacity.take('runs', claim(2), [binding(0, 'e1'), binding(1, 'e1'), binding(2, 'e1')]);
    expect(free(capacity)).toBe(0);
  });

  it('what runs in a cluster that is gone holds nothing', () => {
    const capacity = capacityOf([gpuCluster('c1', 1, 2)]);
    capacity.take('runs', claim(1), [binding(0, 'gone', [on('c1-n1', 1)]), binding(1, 'gone')]);
    expect(free(capacity)).toBe(2);
  });

  const tries: { name: string; tasks: ReturnType<typeof binding>[]; want: boolean; wantFree: number }[] = [
    { name: 'all there and free', tasks: [binding(0, 'c1', [on('c1-n1', 2, 1)])], want: true, wantFree: 1 },
    { name: 'one is held', tasks: [binding(0, 'c1', [on('c1-n1', 2)])], want: false, wantFree: 3 },
    { name: 'one is gone', tasks: [binding(0, 'c1', [on('c1-n1', 2, 3)])], want: false, wantFree: 3 },
    {
      name: 'one is bound twice',
      tasks: [binding(0, 'c1', [on('c1-n1', 1, 1)]), binding(1, 'c1', [on('c1-n1', 1, 1)])],
      want: false,
      wantFree: 3,
    },
    { name: 'unbound, with room', tasks: [binding(0, 'c1')], want: true, wantFree: 1 },
    { name: 'unbound, without', tasks: [binding(0, 'c1'), binding(1, 'c1')], want: false, wantFree: 3 },
    { name: 'its cluster is gone', tasks: [binding(0, 'gone')], want: false, wantFree: 3 },
  ];
  it.each(tries)('takes all or nothing: $name', ({ tasks, want, wantFree }) => {
    const capacity = capacityOf([gpuCluster('c1', 1, 4)], [['c1', on('c1-n1', 1)]]);
    expect([capacity.tryTake('new', claim(2), tasks), free(capacity)]).toEqual([want, wantFree]);
  });

  it('a device that is told twice is one', () => {
    const twice = (node: Node): Node => ({ ...node, devices: [...node.devices, ...node.devices] });
    const capacity = capacityOf([gpuCluster('c1', 1, 2, { eachNode: twice })]);
    expect([capacity.total(GPU), capacity.find(request({ devices: 3 }))]).toEqual([2, null]);
  });

  it('G05 of two gangs that each fit, but not both, the first one holds and the second holds nothing', () => {
    const capacity = capacityOf([gpuCluster('c1', 3, 2)]);
    const asked = request({ gang: gang(2), devices: 2 });
    capacity.take('first', asked.claim, capacity.find(asked)!.tasks);
    expect([capacity.find(asked), free(capacity), capacity.holdersIn('c1', GPU)]).toEqual([null, 2, ['first']]);
  });
});

describe('a large fleet', () => {
  const cluster = gpuCluster('c1', 2_100, 8, { nodesPerRack: 10, racksPerZone: 7 });

  it('is filled to the last device, whole nodes and parts of nodes', () => {
    const capacity = new Capacity([cluster]);
    const sizes = [8, 3, 5, 1, 2, 4, 1];
    let placed = 0;
    for (let at = 0; capacity.free(GPU) > 0; at += 1) {
      const asked = request({ devices: sizes[at % sizes.length]! });
      const found = capacity.find(asked) ?? capacity.find(request());
      capacity.take(`job${at}`, asked.claim, found!.tasks);
      placed += found!.tasks[0]!.devices![0]!.deviceIds.length;
    }
    expect([placed, capacity.find(request())]).toEqual([2_100 * 8, null]);
  });

  it('takes a gang of many nodes into as few racks as hold it', () => {
    const placed = new Capacity([cluster]).find(request({ devices: 8, gang: gang(130) }))!;
    const nodes = placed.tasks.map(({ devices }) => Number(devices![0]!.node.slice('c1-n'.length)) - 1);
    const racksUsed = new Set(nodes.map((index) => Math.floor(index / 10)));
    expect([new Set(nodes).size, racksUsed.size]).toEqual([130, 13]);
  });
});

describe('undo', () => {
  it('gives back what was taken and takes back what was given, nested', () => {
    const capacity = capacityOf([gpuCluster('c1', 1, 4)], [['c1', on('c1-n1', 2)]]);
    const outer = capacity.mark();
    capacity.release('held0');
    const inner = capacity.mark();
    capacity.take('whole', claim(4), capacity.find(request({ devices: 4 }))!.tasks);
    capacity.rollback(inner);
    const afterInner = capacity.free(GPU);
    capacity.rollback(outer);
    expect([afterInner, capacity.free(GPU), membersOf(capacity.find(request({ devices: 2 })))]).toEqual([
      4,
      2,
      ['c1-n1:2+3'],
    ]);
  });

  it('a mark is used once', () => {
    const capacity = capacityOf([gpuCluster('c1', 1, 4)]);
    const outer = capacity.mark();
    capacity.take('one', claim(1), [binding(0, 'c1')]);
    const inner = capacity.mark();
    capacity.rollback(outer);
    expect(() => capacity.rollback(inner)).toThrow('rolled back already');
  });
});
