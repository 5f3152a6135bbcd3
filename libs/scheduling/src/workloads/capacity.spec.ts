import { describe, expect, it } from '@jest/globals';
import type { Node, NodeDevices } from '#domain';
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

const GPU = 'nvidia.com/gpu';

/** Who holds what before the question: `[cluster, devices]`. */
type Held = readonly (readonly [string, NodeDevices])[];

function capacityOf(clusters: readonly WorkloadCluster[], held: Held = []): Capacity {
  const capacity = new Capacity(clusters);
  held.forEach(([clusterId, devices], index) => {
    capacity.take(`held${index}`, claim(devices.deviceIds.length), [binding(0, clusterId, [devices])]);
  });
  return capacity;
}

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
const memory = (devices: number, gigabytes: number) => ({
  claim: { ...claim(devices), memoryBytesPerDevice: gigabytes * GIGABYTE },
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

describe('why not', () => {
  const table: {
    name: string;
    clusters: readonly WorkloadCluster[];
    held?: Held;
    asks: PendingSketch;
    want: { by: string; because: string; summary: string; couldFit: boolean };
  }[] = [
    {
      name: 'names',
      clusters: [gpuCluster('c1')],
      asks: { selector: { clusterNames: ['c2'] } },
      want: {
        by: 'names',
        because: 'the selector names only c2',
        summary: 'not named by the selector',
        couldFit: false,
      },
    },
    {
      name: 'kind',
      clusters: [gpuCluster('c1')],
      asks: { selector: { kinds: ['edge'] } },
      want: {
        by: 'kind',
        because: 'its kind is central, the selector wants edge',
        summary: 'not of kind edge',
        couldFit: false,
      },
    },
    {
      name: 'region',
      clusters: [gpuCluster('c1')],
      asks: { selector: { regions: ['eu'] } },
      want: {
        by: 'region',
        because: 'its region is cn, the selector wants eu',
        summary: 'outside region eu',
        couldFit: false,
      },
    },
    {
      name: 'labels',
      clusters: [gpuCluster('c1')],
      asks: { selector: { labels: { tier: 'gold' } } },
      want: {
        by: 'labels',
        because: 'its label tier is absent, the selector wants gold',
        summary: 'without label tier=gold',
        couldFit: false,
      },
    },
    {
      name: 'closed, and would fit once it is open',
      clusters: [gpuCluster('c1', 1, 8, { closed: 'it is Unknown' })],
      asks: {},
      want: { by: 'closed', because: 'it is Unknown', summary: 'it is Unknown', couldFit: true },
    },
    {
      name: 'closed, and would not fit either way',
      clusters: [gpuCluster('c1', 1, 8, { closed: 'it is Unknown' })],
      asks: { devices: 9 },
      want: { by: 'closed', because: 'it is Unknown', summary: 'it is Unknown', couldFit: false },
    },
    {
      name: 'avoided',
      clusters: [gpuCluster('c1')],
      asks: { avoidClusterIds: ['c1'] },
      want: {
        by: 'failures',
        because: 'it lately failed to start here',
        summary: 'where it lately failed',
        couldFit: true,
      },
    },
    {
      name: 'T06 unknown device type',
      clusters: [gpuCluster('c1')],
      asks: { claim: claim(2, 'huawei.com/ascend-npu') },
      want: {
        by: 'devices',
        because: 'it has no huawei.com/ascend-npu',
        summary: 'lack huawei.com/ascend-npu ×2 in one node',
        couldFit: false,
      },
    },
    {
      name: 'T09 too little memory',
      clusters: [gpuCluster('c1')],
      asks: memory(1, 96),
      want: {
        by: 'devices',
        because: 'no nvidia.com/gpu here has 96000000000 bytes of memory, the largest has 80000000000',
        summary: 'lack nvidia.com/gpu ×1 of 96000000000 bytes in one node',
        couldFit: false,
      },
    },
    {
      name: 'too few',
      clusters: [gpuCluster('c1', 1, 4)],
      asks: { devices: 8 },
      want: {
        by: 'devices',
        because: 'it has only 4 of 8 nvidia.com/gpu',
        summary: 'lack nvidia.com/gpu ×8 in one node',
        couldFit: false,
      },
    },
    {
      name: 'T01 enough, but never in one node',
      clusters: [gpuCluster('c1', 2, 4)],
      asks: { devices: 8 },
      want: {
        by: 'topology',
        because: 'its nvidia.com/gpu are never together like that: node c1-n1 has 4 of 8, the cluster has 8 of 8',
        summary: 'lack nvidia.com/gpu ×8 in one node',
        couldFit: false,
      },
    },
    {
      name: 'T02 a rack that is required is too small: counts of each level',
      clusters: [gpuCluster('c1', [4, 4, 4, 4, 4, 0, 4], 4, { nodesPerRack: 3, racksPerZone: 2 })],
      asks: { claim: claim(16, GPU, 'rack') },
      want: {
        by: 'topology',
        because:
          'its nvidia.com/gpu are never together like that: rack r1 has 12 of 16, zone z1 has 20 of 16, the cluster has 24 of 16',
        summary: 'lack nvidia.com/gpu ×16 in one rack',
        couldFit: false,
      },
    },
    {
      name: 'T02 a rack that is required by a gang is busy: counts of each level',
      clusters: [gpuCluster('c1', 4, 4, { nodesPerRack: 2, racksPerZone: 2 })],
      held: [
        ['c1', on('c1-n1', 1)],
        ['c1', on('c1-n3', 3)],
      ],
      asks: { devices: 2, gang: gang(4, within('rack')) },
      want: {
        by: 'topology',
        because:
          'enough are free for 4 members of nvidia.com/gpu ×2 in one node, all in one rack, but not together: rack r1 has room for 3 of 4, zone z1 has room for 5 of 4',
        summary: 'have no room for 4 members of nvidia.com/gpu ×2 in one node, all in one rack',
        couldFit: true,
      },
    },
    {
      name: 'busy',
      clusters: [gpuCluster('c1', 1, 8)],
      held: [['c1', on('c1-n1', 5)]],
      asks: { devices: 4 },
      want: {
        by: 'devices',
        because: 'others hold its nvidia.com/gpu, 3 of 4 are free: node c1-n1 has 3 of 4',
        summary: 'have no free nvidia.com/gpu ×4 in one node',
        couldFit: true,
      },
    },
    {
      name: 'T07 four and four',
      clusters: [gpuCluster('c1', 2)],
      held: [
        ['c1', on('c1-n1', 4)],
        ['c1', on('c1-n2', 4)],
      ],
      asks: { devices: 8 },
      want: {
        by: 'topology',
        because:
          'enough are free for nvidia.com/gpu ×8 in one node, but not together: node c1-n1 has 4 of 8, the cluster has 8 of 8',
        summary: 'have no free nvidia.com/gpu ×8 in one node',
        couldFit: true,
      },
    },
    {
      name: 'T05 free, but not linked',
      clusters: [gpuCluster('c1', 1, 4, { devicesPerLink: 2 })],
      held: [
        ['c1', on('c1-n1', 1)],
        ['c1', on('c1-n1', 1, 2)],
      ],
      asks: { claim: claim(2, GPU, 'link') },
      want: {
        by: 'topology',
        because:
          'enough are free for nvidia.com/gpu ×2 in one link domain, but not together: a link domain has 1 of 2, node c1-n1 has 2 of 2',
        summary: 'have no free nvidia.com/gpu ×2 in one link domain',
        couldFit: true,
      },
    },
  ];
  it.each(table)('$name', ({ clusters, held, asks, want }) => {
    const rejections = capacityOf(clusters, held).explain(request(asks));
    expect(rejections).toEqual([{ clusterId: 'c1', clusterName: 'c1', ...want }]);
  });

  it('a cluster that has a place is not among the reasons', () => {
    const capacity = capacityOf([gpuCluster('c1', 1, 1), gpuCluster('c2', 1, 2)]);
    expect(capacity.explain(request({ devices: 2 })).map(({ clusterId }) => clusterId)).toEqual(['c1']);
  });
});

describe('the largest that could ever fit', () => {
  const table: {
    name: string;
    clusters: WorkloadCluster[];
    asks: PendingSketch;
    want: ReturnType<Capacity['largest']>;
  }[] = [
    {
      name: 'a gang that is too large',
      clusters: [gpuCluster('c1', 2, 4), gpuCluster('c2', 3, 4)],
      asks: { devices: 3, gang: gang(9) },
      want: { members: 3, devicesPerMember: 3, clusterName: 'c2' },
    },
    {
      name: 'a member that is too large',
      clusters: [gpuCluster('c1', 2, 4), gpuCluster('c2', 1, 2)],
      asks: { devices: 16 },
      want: { members: 1, devicesPerMember: 4, clusterName: 'c1' },
    },
    {
      name: 'a member that is too large for a rack',
      clusters: [gpuCluster('c1', 5, 4, { nodesPerRack: 3 })],
      asks: { claim: claim(16, GPU, 'rack') },
      want: { members: 1, devicesPerMember: 12, clusterName: 'c1' },
    },
    {
      name: 'a member that is too large for a link domain',
      clusters: [gpuCluster('c1', 1, 8, { devicesPerLink: 4 })],
      asks: { claim: claim(8, GPU, 'link') },
      want: { members: 1, devicesPerMember: 4, clusterName: 'c1' },
    },
    {
      name: 'a gang that may span clusters',
      clusters: [gpuCluster('c1', 2, 4), gpuCluster('c2', 3, 4)],
      asks: { devices: 4, gang: gang(9, { spansClusters: true }) },
      want: { members: 5, devicesPerMember: 4, clusterName: 'c2' },
    },
    {
      name: 'a cluster that is not meant is not counted',
      clusters: [gpuCluster('c1', 2, 4), gpuCluster('c2', 3, 4)],
      asks: { devices: 4, gang: gang(9), selector: { clusterNames: ['c1'] } },
      want: { members: 2, devicesPerMember: 4, clusterName: 'c1' },
    },
    { name: 'no such device', clusters: [gpuCluster('c1')], asks: { claim: claim(1, 'cpu') }, want: null },
  ];
  it.each(table)('$name', ({ clusters, asks, want }) => {
    const capacity = capacityOf(clusters, [['c1', on('c1-n1', 1)]]);
    expect(capacity.largest(request(asks))).toEqual(want);
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

describe('who is where', () => {
  const held: Held = [
    ['c1', on('c1-n1', 3)],
    ['c1', on('c1-n1', 1, 3)],
    ['c1', on('c1-n3', 2)],
  ];
  const table: { name: string; asks: PendingSketch; want: [string, number, number, Record<string, number>][] }[] = [
    {
      name: 'nodes, for a claim within one',
      asks: { devices: 4 },
      want: [
        ['node c1-n1', 0, 4, { held0: 3, held1: 1 }],
        ['node c1-n2', 4, 4, {}],
        ['node c1-n3', 2, 4, { held2: 2 }],
      ],
    },
    {
      name: 'racks, for a gang within one',
      asks: { devices: 4, gang: gang(2, within('rack')) },
      want: [['rack r1', 4, 8, { held0: 3, held1: 1 }]],
    },
    {
      name: 'the cluster, for a gang within it',
      asks: { devices: 4, gang: gang(2) },
      want: [['the cluster', 6, 12, { held0: 3, held1: 1, held2: 2 }]],
    },
    {
      name: 'link domains, for a claim within one',
      asks: { claim: claim(2, GPU, 'link') },
      want: [
        ['node c1-n1, link domain 1', 0, 2, { held0: 2 }],
        ['node c1-n1, link domain 2', 0, 2, { held0: 1, held1: 1 }],
        ['node c1-n2, link domain 1', 2, 2, {}],
        ['node c1-n2, link domain 2', 2, 2, {}],
        ['node c1-n3, link domain 1', 0, 2, { held2: 2 }],
        ['node c1-n3, link domain 2', 2, 2, {}],
      ],
    },
    { name: 'none is large enough', asks: { devices: 5 }, want: [] },
    { name: 'none of that type', asks: { claim: claim(1, 'cpu') }, want: [] },
  ];
  it.each(table)('$name', ({ asks, want }) => {
    const capacity = capacityOf([gpuCluster('c1', 3, 4, { nodesPerRack: 2, devicesPerLink: 2 })], held);
    const domains = capacity.domains('c1', request(asks));
    expect(
      domains.map(({ name, freeDevices, totalDevices, holders }) => [
        name,
        freeDevices,
        totalDevices,
        Object.fromEntries(holders),
      ]),
    ).toEqual(want);
  });

  it('says it anew for domains that changed, and only for those', () => {
    const capacity = capacityOf([gpuCluster('c1', 2, 4)], [['c1', on('c1-n1', 1)]]);
    const before = capacity.domains('c1', request());
    capacity.release('held0');
    const after = capacity.domains('c1', request());
    expect([after[0]!.freeDevices, after[1] === before[1]]).toEqual([4, true]);
  });

  it('clusters in which room could be made: open, meant, and large enough', () => {
    const capacity = capacityOf(
      [gpuCluster('c1'), gpuCluster('c2', 1, 2), gpuCluster('c3', 1, 8, { closed: 'cordoned' }), gpuCluster('c4')],
      [['c1', on('c1-n1', 8)]],
    );
    const eligible = capacity.eligible(request({ devices: 4, avoidClusterIds: ['c4'] }));
    expect(eligible).toEqual([{ clusterId: 'c1', clusterName: 'c1' }]);
  });
});

describe('T08 a worker whose node failed', () => {
  /** Three workers of 4 ran in rack r1 on n1 to n3; n2 is gone. */
  const cluster = gpuCluster('c1', 6, 4, {
    nodesPerRack: 4,
    eachNode: (node, index) => (index === 1 ? { ...node, devices: [] } : node),
  });
  const stay = [binding(0, 'c1', [on('c1-n1', 4)]), binding(2, 'c1', [on('c1-n3', 4)])];
  const place = (required: boolean, held: Held = []) => {
    const capacity = capacityOf([cluster], held);
    capacity.take('gang', claim(4), stay);
    const asked = request({ devices: 4, gang: gang(3, within('rack', required)) });
    return capacity.findReplacement(asked, stay, 1);
  };

  it('is replaced in the same rack, with its rank', () => {
    expect(place(true)).toEqual(binding(1, 'c1', [on('c1-n4', 4)]));
  });

  it('is not replaced outside a rack that is required', () => {
    expect(place(true, [['c1', on('c1-n4', 1)]])).toBeNull();
  });

  it('is replaced elsewhere when the rack is only preferred', () => {
    expect(place(false, [['c1', on('c1-n4', 1)]])).toEqual(binding(1, 'c1', [on('c1-n5', 4)]));
  });

  it('beside the others where the cluster binds by itself', () => {
    const capacity = capacityOf([gpuCluster('e1', 1, 4, { kind: 'edge' })]);
    const others = [binding(0, 'e1')];
    capacity.take('gang', claim(2), others);
    expect(capacity.findReplacement(request({ devices: 2, gang: gang(2) }), others, 1)).toEqual(binding(1, 'e1'));
  });

  it('not in a cluster that takes nothing new', () => {
    const capacity = capacityOf([gpuCluster('c1', 1, 4, { closed: 'draining' })]);
    expect(capacity.findReplacement(request({ gang: gang(2) }), [binding(0, 'c1')], 1)).toBeNull();
  });
});
