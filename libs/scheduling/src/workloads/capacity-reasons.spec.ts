/** What the device account tells of what does not fit: reasons, the largest that could, who is where. */
import { describe, expect, it } from '@jest/globals';
import { capacityOf, GPU, type Held, memory } from './capacity.builders.ts';
import type { Capacity } from './capacity.ts';
import type { WorkloadCluster } from './snapshot.ts';
import { claim, gang, gpuCluster, on, type PendingSketch, request, within } from './workloads.builders.ts';

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
        because: 'no nvidia.com/gpu here has 89.41 GiB of memory, the largest has 74.5 GiB',
        summary: 'lack nvidia.com/gpu ×1 of 89.41 GiB in one node',
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
      name: 'busy, and one is free',
      clusters: [gpuCluster('c1', 1, 8)],
      held: [['c1', on('c1-n1', 7)]],
      asks: { devices: 4 },
      want: {
        by: 'devices',
        because: 'others hold its nvidia.com/gpu, 1 of 4 is free: node c1-n1 has 1 of 4',
        summary: 'have no free nvidia.com/gpu ×4 in one node',
        couldFit: true,
      },
    },
    {
      name: 'full',
      clusters: [gpuCluster('c1', 1, 8)],
      held: [['c1', on('c1-n1', 8)]],
      asks: {},
      want: {
        by: 'devices',
        because: 'others hold all 8 of its nvidia.com/gpu',
        summary: 'have no free nvidia.com/gpu ×1 in one node',
        couldFit: true,
      },
    },
    {
      name: 'full, but for what has too little memory',
      clusters: [
        gpuCluster('c1', 1, 8, {
          eachNode: (node) => ({
            ...node,
            devices: node.devices.map((each, at) => ({ ...each, memoryBytes: (at === 0 ? 80 : 24) * 1e9 })),
          }),
        }),
      ],
      held: [['c1', on('c1-n1', 1)]],
      asks: memory(1, 48),
      want: {
        by: 'devices',
        because: 'others hold its only nvidia.com/gpu of 44.71 GiB or more',
        summary: 'have no free nvidia.com/gpu ×1 of 44.71 GiB in one node',
        couldFit: true,
      },
    },
    {
      name: 'full, for a gang',
      clusters: [gpuCluster('c1', 2, 8)],
      held: [
        ['c1', on('c1-n1', 8)],
        ['c1', on('c1-n2', 8)],
      ],
      asks: { gang: gang(50, { minimum: 2 }) },
      want: {
        by: 'devices',
        because: 'others hold all 16 of its nvidia.com/gpu',
        summary: 'have no room for 2 members of nvidia.com/gpu ×1 in one node',
        couldFit: true,
      },
    },
    {
      name: 'some are free, but for not one member of a gang',
      clusters: [gpuCluster('c1', 2, 8)],
      held: [
        ['c1', on('c1-n1', 5)],
        ['c1', on('c1-n2', 5)],
      ],
      asks: { devices: 4, gang: gang(3) },
      want: {
        by: 'devices',
        because: 'others hold its nvidia.com/gpu, 6 of 12 are free: there is room for none of 3',
        summary: 'have no room for 3 members of nvidia.com/gpu ×4 in one node',
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
      want: { members: 3, devicesPerMember: 3, memoryBytes: null, clusterName: 'c2' },
    },
    {
      name: 'a member that is too large',
      clusters: [gpuCluster('c1', 2, 4), gpuCluster('c2', 1, 2)],
      asks: { devices: 16 },
      want: { members: 1, devicesPerMember: 4, memoryBytes: null, clusterName: 'c1' },
    },
    {
      name: 'a member that is too large for a rack',
      clusters: [gpuCluster('c1', 5, 4, { nodesPerRack: 3 })],
      asks: { claim: claim(16, GPU, 'rack') },
      want: { members: 1, devicesPerMember: 12, memoryBytes: null, clusterName: 'c1' },
    },
    {
      name: 'a member that is too large for a link domain',
      clusters: [gpuCluster('c1', 1, 8, { devicesPerLink: 4 })],
      asks: { claim: claim(8, GPU, 'link') },
      want: { members: 1, devicesPerMember: 4, memoryBytes: null, clusterName: 'c1' },
    },
    {
      name: 'a gang that may span clusters',
      clusters: [gpuCluster('c1', 2, 4), gpuCluster('c2', 3, 4)],
      asks: { devices: 4, gang: gang(9, { spansClusters: true }) },
      want: { members: 5, devicesPerMember: 4, memoryBytes: null, clusterName: 'c2' },
    },
    {
      name: 'a cluster that is not meant is not counted',
      clusters: [gpuCluster('c1', 2, 4), gpuCluster('c2', 3, 4)],
      asks: { devices: 4, gang: gang(9), selector: { clusterNames: ['c1'] } },
      want: { members: 2, devicesPerMember: 4, memoryBytes: null, clusterName: 'c1' },
    },
    {
      name: 'T09 more memory than any has: with the most of which there are enough',
      clusters: [gpuCluster('c1', 1, 2, { memoryBytes: 80e9 }), gpuCluster('c2', 1, 8, { memoryBytes: 40e9 })],
      asks: memory(4, 96),
      want: { members: 2, devicesPerMember: 4, memoryBytes: 40e9, clusterName: 'c2' },
    },
    {
      name: 'T09 more memory than any has, and more devices: as many as there are',
      clusters: [gpuCluster('c1', 1, 2, { memoryBytes: 80e9 }), gpuCluster('c2', 1, 8, { memoryBytes: 40e9 })],
      asks: memory(9, 96),
      want: { members: 1, devicesPerMember: 8, memoryBytes: 40e9, clusterName: 'c2' },
    },
    { name: 'no such device', clusters: [gpuCluster('c1')], asks: { claim: claim(1, 'cpu') }, want: null },
  ];
  it.each(table)('$name', ({ clusters, asks, want }) => {
    const capacity = capacityOf(clusters, [['c1', on('c1-n1', 1)]]);
    expect(capacity.largest(request(asks))).toEqual(want);
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
