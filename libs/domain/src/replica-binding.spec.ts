import { describe, expect, it } from '@jest/globals';
import type { DesiredReplica, DesiredState } from './desired.ts';
import type { Device, Node, ResourceClaim, TopologyScope } from './devices.ts';
import type { NodeDevices } from './jobs.ts';
import { type LocalReplica, reconcileCluster } from './reconciliation.ts';
import type { DeviceBook } from './replica-binding.ts';

const GPU = 'nvidia.com/gpu';
const gpus = (count: number, rest: Partial<Device> = {}): Device[] =>
  Array.from({ length: count }, (_, index) => ({ id: `gpu-${index}`, deviceType: GPU, memoryBytes: 80, ...rest }));
const node = (name: string, devices: Device[], labels: Record<string, string> = {}): Node => ({
  name,
  devices,
  labels,
});
const claim = (count: number, topologyScope: TopologyScope = 'node', rest: Partial<ResourceClaim> = {}) => ({
  deviceType: GPU as ResourceClaim['deviceType'],
  count,
  schedulingPolicy: { topologyScope },
  ...rest,
});
const on = (name: string, ...indexes: number[]): NodeDevices[] => [
  { node: name, deviceIds: indexes.map((index) => `gpu-${index}`) },
];
const wants = (replicaId: string, rest: Partial<DesiredReplica> = {}): DesiredReplica => ({
  replicaId,
  deploymentId: 'd',
  deploymentName: 'chat',
  servedModel: 'chat',
  versionDigest: 'v1',
  claim: claim(1),
  epoch: 1,
  draining: false,
  ...rest,
});
const here = (replicaId: string, devices?: NodeDevices[], rest: Partial<LocalReplica> = {}): LocalReplica => ({
  replicaId,
  versionDigest: 'v1',
  phase: 'Ready',
  ...(devices === undefined ? {} : { devices }),
  ...rest,
});
const version = { versionId: 'v', modelName: 'm', number: 1, digest: 'v1', files: [] };

interface Case {
  readonly name: string;
  readonly nodes: Node[];
  readonly desired: DesiredReplica[];
  readonly here?: LocalReplica[];
  readonly tasks?: DeviceBook['tasks'];
  /** `<replica>: <devices>`, or `<replica> waits …`, `<replica> stops: …` */
  readonly want: string[];
}

const cases: Case[] = [
  {
    name: 'each gets its own',
    nodes: [node('a', gpus(2))],
    desired: [wants('r1'), wants('r2')],
    want: ['r1: a/gpu-0', 'r2: a/gpu-1'],
  },
  {
    name: 'nothing is free: it waits, and its report says for whom',
    nodes: [node('a', gpus(4))],
    desired: [wants('r1', { claim: claim(2) })],
    here: [here('r9', on('a', 0, 1))],
    tasks: [{ holder: 'task t1', devices: on('a', 3) }],
    want: ['r9 stops: no longer wanted', 'r1 waits for 2 nvidia.com/gpu: 1 of 4 is free, held by replica r9, task t1'],
  },
  {
    name: 'one that waits keeps nobody off that fits',
    nodes: [node('a', gpus(1))],
    desired: [wants('r1', { claim: claim(2) }), wants('r2')],
    want: ['r1 waits for 2 nvidia.com/gpu: 1 of 1 is free', 'r2: a/gpu-0'],
  },
  {
    name: 'no such device',
    nodes: [node('a', [])],
    desired: [wants('r1')],
    want: ['r1 waits for 1 nvidia.com/gpu: this cluster has none'],
  },
  {
    name: 'T01 one node or none',
    nodes: [node('a', gpus(1)), node('b', gpus(1))],
    desired: [wants('r1', { claim: claim(2) })],
    want: ['r1 waits for 2 nvidia.com/gpu: 2 of 2 are free, but not 2 within one node'],
  },
  {
    name: 'T05 a linked pair where there is one',
    nodes: [node('a', [...gpus(1), ...gpus(3, { linkDomain: 'x' }).slice(1)])],
    desired: [wants('r1', { claim: claim(2, 'link') })],
    want: ['r1: a/gpu-1 a/gpu-2'],
  },
  {
    name: 'T09 too little memory',
    nodes: [node('a', gpus(1))],
    desired: [wants('r1', { claim: claim(1, 'node', { memoryBytesPerDevice: 90 }) })],
    want: ['r1 waits for 1 nvidia.com/gpu: none has 90 bytes of memory'],
  },
  {
    name: 'A12 required labels filter',
    nodes: [node('a', gpus(2)), node('b', gpus(2), { disk: 'nvme' })],
    desired: [wants('r1', { nodes: { required: { disk: 'nvme' }, preferred: {} } })],
    want: ['r1: b/gpu-0'],
  },
  {
    name: 'A12 required labels that no node has',
    nodes: [node('a', gpus(2), { disk: 'sata' })],
    desired: [wants('r1', { nodes: { required: { disk: 'nvme' }, preferred: {} } })],
    want: ['r1 waits for 1 nvidia.com/gpu: no node that has any is labelled disk=nvme'],
  },
  {
    name: 'A12 preferred labels score, before the smallest place',
    nodes: [node('a', gpus(1)), node('b', gpus(4), { disk: 'nvme', room: '1' }), node('c', gpus(4), { disk: 'nvme' })],
    desired: [wants('r1', { nodes: { required: {}, preferred: { disk: 'nvme', room: '1' } } })],
    want: ['r1: b/gpu-0'],
  },
  {
    name: 'A12 preferred labels that no free node has cost nothing',
    nodes: [node('a', gpus(1)), node('b', gpus(1), { disk: 'nvme' })],
    desired: [wants('r1', { nodes: { required: {}, preferred: { disk: 'nvme' } } })],
    tasks: [{ holder: 'task t', devices: on('b', 0) }],
    want: ['r1: a/gpu-0'],
  },
  {
    name: 'an adopted one keeps its own',
    nodes: [node('a', gpus(2))],
    desired: [wants('r1'), wants('r2')],
    here: [here('r1', on('a', 1))],
    want: ['r2: a/gpu-0'],
  },
  {
    name: 'one that failed starts where it was',
    nodes: [node('a', gpus(3))],
    desired: [wants('r1')],
    here: [here('r1', on('a', 2), { phase: 'Failed' })],
    want: ['r1: a/gpu-2'],
  },
  {
    name: 'one whose device is not there any more gets another',
    nodes: [node('a', gpus(2))],
    desired: [wants('r1')],
    here: [here('r1', on('a', 7), { phase: 'Failed' })],
    want: ['r1: a/gpu-0'],
  },
  {
    name: 'what the centre bound is honoured, also by those before it',
    nodes: [node('a', gpus(2))],
    desired: [wants('r1'), wants('r2', { devices: on('a', 0) })],
    want: ['r1: a/gpu-1', 'r2: a/gpu-0'],
  },
  {
    name: 'what the centre bound is waited for while another has it',
    nodes: [node('a', gpus(1))],
    desired: [wants('r1', { devices: on('a', 0) })],
    here: [here('r0', on('a', 0), { phase: 'Stopping' })],
    want: ['r1 waits for device a/gpu-0, held by replica r0'],
  },
  {
    name: 'what the centre binds anew begins anew',
    nodes: [node('a', gpus(2))],
    desired: [wants('r1', { devices: on('a', 1) })],
    here: [here('r1', on('a', 0))],
    want: ['r1 stops: it was given other devices'],
  },
  {
    name: 'R5: one from before devices were noted runs on',
    nodes: [node('a', gpus(2))],
    desired: [wants('r1', { devices: on('a', 1) })],
    here: [here('r1')],
    want: [],
  },
  {
    name: 'R21: what an older agent started and noted no devices of has some all the same',
    nodes: [node('a', gpus(3))],
    desired: [wants('r1', { claim: claim(2) }), wants('r2'), wants('r3')],
    here: [here('r1')],
    want: ['r2: a/gpu-2', 'r3 waits for 1 nvidia.com/gpu: 0 of 3 are free, held by replica r1, replica r2'],
  },
  {
    name: 'cores are shared',
    nodes: [node('a', [{ id: 'cpu-0', deviceType: 'cpu', memoryBytes: 1 }])],
    desired: ['r1', 'r2', 'r3'].map((id) => wants(id, { claim: claim(4, 'node', { deviceType: 'cpu' }) })),
    want: ['r1: -', 'r2: -', 'r3: -'],
  },
  {
    name: 'an engine that binds by itself gets none of ours, and needs no files',
    nodes: [node('a', [])],
    desired: [wants('r1', { engine: 'elsewhere', versionDigest: 'not held' })],
    want: ['r1: -'],
  },
];

describe('replicas on devices, bound here', () => {
  it.each(cases)('$name', ({ nodes, desired, here: local = [], tasks = [], want }) => {
    const state: DesiredState = {
      clusterId: 'c',
      epoch: 1,
      revision: 1,
      versions: [version],
      replicas: desired,
      tasks: [],
    };
    const actions = reconcileCluster(
      state,
      {
        replicas: local,
        heldDigests: new Set(['v1']),
        fetchingDigests: new Set(),
        fetchRetryAtMs: new Map(),
        needsFiles: (engine) => engine !== 'elsewhere',
        book: { nodes, tasks, bindsDevices: (engine) => engine !== 'elsewhere' },
      },
      0,
    );
    expect(actions.map(words)).toEqual(want);
  });

  const words = (action: ReturnType<typeof reconcileCluster>[number]): string => {
    if (action.action === 'stop') return `${action.replicaId} stops: ${action.reason}`;
    if (action.action === 'wait') return `${action.replicaId} ${action.reason}`;
    if (action.action !== 'start') return action.action;
    const keys = action.devices?.flatMap(({ node: name, deviceIds }) => deviceIds.map((id) => `${name}/${id}`));
    return `${action.replica.replicaId}: ${keys?.join(' ') ?? '-'}`;
  };
});

describe('versions of engines that read no files of ours', () => {
  const wanting = (...engines: (string | undefined)[]): DesiredState => ({
    clusterId: 'c',
    epoch: 1,
    revision: 1,
    versions: [version, { ...version, digest: 'mirror' }],
    replicas: engines.map((engine, index) => wants(`r${index}`, engine === undefined ? {} : { engine })),
    tasks: [],
  });
  const fetched = (desired: DesiredState, refused: string[] = []) => {
    const local = {
      replicas: [],
      heldDigests: new Set<string>(),
      fetchingDigests: new Set<string>(),
      fetchRetryAtMs: new Map(),
    };
    const needs = {
      needsFiles: (engine: string | undefined) => engine === undefined,
      refusedDigests: new Set(refused),
    };
    return reconcileCluster(desired, { ...local, ...needs }, 0).map((each) => {
      return each.action === 'fetch' ? each.version.digest : each.action;
    });
  };

  it.each<[string, DesiredState, string[]]>([
    ['are not fetched and hold nothing up; mirrors are', wanting('attached'), ['mirror', 'start']],
    ['are fetched where another replica needs them', wanting('attached', undefined), ['v1', 'mirror', 'start']],
    ['are fetched where nobody asked for an engine', wanting(undefined), ['v1', 'mirror']],
  ])('%s', (_case, desired, want) => {
    expect(fetched(desired)).toEqual(want);
  });

  it('do not run where they may not', () => {
    expect(fetched(wanting('attached'), ['v1'])).toEqual(['mirror']);
  });
});
