import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { V1Node } from '@kubernetes/client-node';
import pino from 'pino';
import { nodeSchema } from '#contracts';
import type { Node } from '#domain';
import { type AnyObject, KubernetesApiFixture } from '../../test/kubernetes-api.fixture.ts';
import { until } from '../../test/temporary-folder.ts';
import { KubernetesApi } from './api.ts';
import { type NodeReading, nodeReadingSchema, resourceNamesSchema } from './configuration.ts';
import { ownershipLabels } from './names.ts';
import { nodesOf, quantityOf } from './node-reading.ts';
import { KubernetesNodes } from './nodes.ts';

const READY = [{ type: 'Ready', status: 'True' }];
const reading = (change: Partial<NodeReading> = {}): NodeReading => ({
  ...nodeReadingSchema.parse({}),
  ...change,
});
const node = (
  name: string,
  { labels = {}, allocatable = {}, spec = {}, conditions = READY as AnyObject[] } = {} as AnyObject,
): V1Node & AnyObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels },
  spec,
  status: { allocatable: { cpu: '2', memory: '4Gi', ...allocatable }, conditions },
});
const read = (given: V1Node, occupied: string[] = [], change: Partial<NodeReading> = {}) =>
  nodesOf([given], new Set(occupied), reading(change));
const ids = ([first]: Node[]) => first?.devices.map(({ id }) => id);

describe('nodes of Kubernetes', () => {
  it('says of a node what its labels and its device plugin say', () => {
    const labels = {
      'topology.kubernetes.io/rack': 'r1',
      'topology.kubernetes.io/zone': 'z1',
      'nvidia.com/gpu.memory': '81559',
      'nvidia.com/gpu.clique': 'cluster.7',
    };
    expect(read(node('a', { labels, allocatable: { 'nvidia.com/gpu': '1', cpu: '1900m' } }))).toEqual([
      {
        name: 'a',
        rack: 'r1',
        zone: 'z1',
        labels,
        devices: [
          { id: 'gpu-0', deviceType: 'nvidia.com/gpu', memoryBytes: 81_559 * 1_048_576, linkDomain: 'cluster.7' },
          { id: 'cpu-0', deviceType: 'cpu', memoryBytes: 4 * 2 ** 30 },
        ],
      },
    ]);
  });

  it.each([
    { resource: 'huawei.com/Ascend910', names: {}, want: ['npu-0', 'npu-1', 'cpu-0', 'cpu-1'] },
    { resource: 'cambricon.com/mlu', names: {}, want: ['mlu-0', 'mlu-1', 'cpu-0', 'cpu-1'] },
    {
      resource: 'huawei.com/Ascend310P',
      names: { 'huawei.com/ascend-npu': 'huawei.com/Ascend310P' },
      want: ['npu-0', 'npu-1', 'cpu-0', 'cpu-1'],
    },
    { resource: 'example.com/other', names: {}, want: ['cpu-0', 'cpu-1'] },
  ])('T06: devices of $resource', ({ resource, names, want }) => {
    const given = node('a', { allocatable: { [resource]: '2' } });
    expect(ids(read(given, [], { resourceNames: resourceNamesSchema.parse(names) }))).toEqual(want);
  });

  const taint = { key: 'gpu', value: 'yes', effect: 'NoSchedule' };
  it.each([
    { name: 'cordoned', given: node('a', { spec: { unschedulable: true } }), wantOpen: false },
    { name: 'not ready', given: node('a', { conditions: [{ type: 'Ready', status: 'Unknown' }] }), wantOpen: false },
    { name: 'tainted', given: node('a', { spec: { taints: [taint] } }), wantOpen: false },
    {
      name: 'tainted softly',
      given: node('a', { spec: { taints: [{ ...taint, effect: 'PreferNoSchedule' }] } }),
      wantOpen: true,
    },
    {
      name: 'a taint that is tolerated',
      given: node('a', { spec: { taints: [taint] } }),
      tolerations: [{ key: 'gpu', operator: 'Exists' as const }],
      wantOpen: true,
    },
    {
      name: 'a taint of another value',
      given: node('a', { spec: { taints: [taint] } }),
      tolerations: [{ key: 'gpu', operator: 'Equal' as const, value: 'no' }],
      wantOpen: false,
    },
  ])('A08: $name', ({ given, tolerations = [], wantOpen }) => {
    expect(read(given, [], { tolerations }).length).toBe(wantOpen ? 1 : 0);
    const [kept] = read(given, ['a'], { tolerations });
    expect(kept!.labels!['atoll.dev/cordoned']).toBe(wantOpen ? undefined : 'true');
    expect(kept!.devices).toHaveLength(2);
  });

  it('R21: what it says of the oddest node can be reported', () => {
    const odd = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`label-${index}`, 'x']));
    const given = node('a', {
      labels: { ...odd, 'bad value': 'x', long: 'x'.repeat(64), 'topology.kubernetes.io/rack': 'r'.repeat(63) },
      allocatable: { 'nvidia.com/gpu': '70', cpu: '256', memory: 'nonsense' },
      spec: { unschedulable: true },
    });
    const [made] = read(given, ['a']);
    expect(nodeSchema.safeParse(made).success).toBe(true);
  });

  it.each<[string | undefined, number | null]>([
    ['8', 8],
    ['63500m', 63.5],
    ['1Gi', 1_073_741_824],
    ['1e3', 1_000],
    ['12k', 12_000],
    ['', null],
    ['eight', null],
    [undefined, null],
  ])('quantity %j is %j', (text, want) => {
    expect(quantityOf(text)).toBe(want);
  });
});

describe('the source of nodes', () => {
  let server: KubernetesApiFixture;
  let remembered: readonly Node[] | null;
  let changes: number;
  let source: KubernetesNodes;
  const open = (openMs = 5_000) => {
    const api = new KubernetesApi({
      connection: server.connection(),
      namespace: 'models',
      agent: 'UAGENT',
      retryMs: 1,
    });
    const memory = {
      read: () => Promise.resolve(remembered),
      write: (nodes: readonly Node[]) => {
        remembered = nodes;
        return Promise.resolve();
      },
    };
    const onChange = () => {
      changes += 1;
    };
    source = new KubernetesNodes({ api, reading: reading(), memory, openMs, onChange, log: pino({ level: 'silent' }) });
    return source.open();
  };
  const names = () => source.nodes.map(({ name }) => name);

  beforeEach(async () => {
    server = await new KubernetesApiFixture().start();
    [remembered, changes] = [null, 0];
    server.put(node('a'));
    server.put(node('b'));
  });
  afterEach(async () => {
    await source.stop();
    await server.stop();
  });

  it('tells of changes once, and not of what no report shows', async () => {
    await open();
    await until(() => server.watching === 2, 'both watches flow');
    expect([names(), changes]).toEqual([['a', 'b'], 1]);
    server.put({ ...server.get('nodes', 'a'), spec: { podCIDR: '10.0.0.0/24' } });
    server.put(node('c'));
    await until(() => names().includes('c'), 'it sees the third');
    expect(changes).toBe(2);
  });

  it('A08: a node that is cordoned stays while something of ours is there', async () => {
    server.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', namespace: 'models', labels: ownershipLabels('UAGENT') },
      spec: { nodeName: 'a' },
    });
    await open();
    await until(() => server.watching === 2, 'both watches flow');
    server.put(node('a', { spec: { unschedulable: true } }));
    server.put(node('b', { spec: { unschedulable: true } }));
    await until(() => names().join() === 'a', 'the other is left out');
    server.drop('pods', 'p');
    await until(() => names().length === 0, 'nothing is left there');
  });

  it('R7: while the API server is away, also at a start, what was last seen stays', async () => {
    await open();
    await until(() => remembered?.length === 2, 'it is remembered');
    server.isAway = true;
    server.cutWatches();
    expect(names()).toEqual(['a', 'b']);
    await source.stop();
    await open(20);
    expect(names()).toEqual(['a', 'b']);
  });
});
