import { describe, expect, it } from '@jest/globals';
import type { DesiredReplica, DesiredState, DeviceHolding, LocalScaling, Node, ResourceClaim } from '#domain';
import { type ExtraReplica, type ExtrasInput, type HereReplica, planExtras, withExtras } from './extra-replicas.ts';

const GPU = 'nvidia.com/gpu' as const;
const scaling: LocalScaling = { replicasMax: 4, rule: 'target-tracking', targetInflight: 4 };
const claimOf = (deviceType: ResourceClaim['deviceType'], count = 1): ResourceClaim => ({
  deviceType,
  count,
  schedulingPolicy: { topologyScope: 'node' },
});
const placed = (replicaId: string, change: Partial<DesiredReplica> = {}): DesiredReplica => ({
  replicaId,
  deploymentId: 'chat',
  deploymentName: 'chat',
  servedModel: 'chat',
  versionDigest: 'v1',
  claim: claimOf(GPU),
  epoch: 1,
  draining: false,
  localScaling: scaling,
  ...change,
});
const extra = (replicaId: string, change: Partial<ExtraReplica> = {}): ExtraReplica => ({
  replicaId,
  deploymentId: 'chat',
  versionDigest: 'v1',
  ...change,
});
const gpus = (count: number): Node => ({
  name: 'n',
  devices: Array.from({ length: count }, (_, index) => ({ id: `gpu-${index}`, deviceType: GPU, memoryBytes: 1 })),
});
const cpus = (count: number): Node => ({
  name: 'c',
  devices: Array.from({ length: count }, (_, index) => ({ id: `cpu-${index}`, deviceType: 'cpu', memoryBytes: 1 })),
});
const here = (replicaId: string, index: number, isStopping = false): HereReplica => ({
  replicaId,
  isStopping,
  devices: [{ node: 'n', deviceIds: [`gpu-${index}`] }],
});
const task = (node: string, ...deviceIds: string[]): DeviceHolding => ({
  holder: 'task t',
  devices: [{ node, deviceIds }],
});

interface Case extends Partial<Omit<ExtrasInput, 'desired' | 'needed'>> {
  readonly name: string;
  readonly replicas: DesiredReplica[];
  readonly need?: number;
  readonly want: string[];
}

const cases: Case[] = [
  { name: 'load asks for none', replicas: [placed('p')], need: 1, nodes: [gpus(4)], want: [] },
  { name: 'one start a turn', replicas: [placed('p')], need: 3, nodes: [gpus(4)], want: ['new-1'] },
  { name: 'what is not known asks for nothing', replicas: [placed('p')], nodes: [gpus(4)], want: [] },
  {
    name: 'what is not known ends nothing',
    replicas: [placed('p')],
    extras: [extra('e')],
    nodes: [gpus(4)],
    want: ['e'],
  },
  {
    name: 'no more than the maximum',
    replicas: [placed('p', { localScaling: { ...scaling, replicasMax: 2 } })],
    extras: [extra('e')],
    need: 9,
    nodes: [gpus(4)],
    want: ['e'],
  },
  {
    name: 'a maximum that was lowered ends the newest',
    replicas: [placed('p', { localScaling: { ...scaling, replicasMax: 2 } })],
    extras: [extra('e1'), extra('e2')],
    need: 9,
    nodes: [gpus(4)],
    want: ['e1'],
  },
  {
    name: 'no device is free',
    replicas: [placed('p')],
    need: 3,
    nodes: [gpus(1)],
    here: [here('p', 0)],
    want: [],
  },
  {
    name: 'load is gone',
    replicas: [placed('p')],
    extras: [extra('e1'), extra('e2')],
    need: 2,
    nodes: [gpus(4)],
    want: ['e1'],
  },
  {
    name: 'the centre places another one: it takes the place of an extra',
    replicas: [placed('p'), placed('q')],
    extras: [extra('e1'), extra('e2')],
    need: 3,
    nodes: [gpus(4)],
    want: ['e1'],
  },
  {
    name: 'the last placed one drains',
    replicas: [placed('p', { draining: true })],
    extras: [extra('e')],
    need: 2,
    nodes: [gpus(4)],
    want: [],
  },
  { name: 'the deployment is gone', replicas: [], extras: [extra('e')], need: 2, nodes: [gpus(4)], want: [] },
  {
    name: 'it scales by load no more',
    replicas: [placed('p', { localScaling: undefined })],
    extras: [extra('e')],
    need: 2,
    nodes: [gpus(4)],
    want: [],
  },
  {
    name: 'another version: those of the old one end with the last placed of it',
    replicas: [placed('p', { draining: true }), placed('q', { versionDigest: 'v2' })],
    extras: [extra('e')],
    need: 2,
    nodes: [gpus(4)],
    want: ['new-1 v2'],
  },
  {
    name: 'in the middle of a rollout both versions have theirs',
    replicas: [placed('p'), placed('q', { versionDigest: 'v2' })],
    extras: [extra('e')],
    need: 3,
    nodes: [gpus(4)],
    want: ['e'],
  },
  {
    name: 'where the centre binds devices there are none',
    replicas: [placed('p', { devices: [{ node: 'n', deviceIds: ['gpu-0'] }] })],
    need: 3,
    nodes: [gpus(4)],
    want: [],
  },
  {
    name: 'nor on an engine that takes no devices of ours',
    replicas: [placed('p', { engine: 'attached' })],
    extras: [extra('e')],
    need: 3,
    nodes: [gpus(4)],
    want: [],
  },
  {
    name: 'gives way to what waits, the newest first, as many as are needed',
    replicas: [placed('p')],
    extras: [extra('e1'), extra('e2'), extra('e3')],
    need: 4,
    nodes: [gpus(4)],
    here: [here('p', 0), here('e1', 1), here('e2', 2), here('e3', 3)],
    waiting: [claimOf(GPU, 2)],
    want: ['e1'],
  },
  {
    name: 'not twice for the same: one is on its way out',
    replicas: [placed('p')],
    extras: [extra('e1'), extra('e2')],
    need: 4,
    nodes: [gpus(4)],
    here: [here('p', 0), here('e1', 1), here('e2', 2), here('e3', 3, true)],
    waiting: [claimOf(GPU)],
    want: ['e1', 'e2'],
  },
  {
    name: 'not to what could not run without them either',
    replicas: [placed('p')],
    extras: [extra('e1')],
    need: 2,
    nodes: [gpus(4)],
    here: [here('p', 0), here('e1', 1)],
    waiting: [claimOf(GPU, 8)],
    want: ['e1'],
  },
  {
    name: 'not to what waits for devices of another type',
    replicas: [placed('p')],
    extras: [extra('e1')],
    need: 2,
    nodes: [gpus(2), cpus(2)],
    here: [here('p', 0), here('e1', 1)],
    waiting: [claimOf('cpu')],
    want: ['e1'],
  },
  {
    name: 'no more of them than what is free leaves missing',
    replicas: [placed('p')],
    extras: [extra('e1'), extra('e2')],
    need: 3,
    nodes: [gpus(4)],
    here: [here('p', 0), here('e1', 1), here('e2', 2)],
    waiting: [claimOf(GPU, 2)],
    want: ['e1'],
  },
  {
    name: 'none where what waits has room, and only not begun',
    replicas: [placed('p')],
    extras: [extra('e1')],
    need: 2,
    nodes: [gpus(3)],
    here: [here('p', 0), here('e1', 1)],
    waiting: [claimOf(GPU)],
    want: ['e1'],
  },
  {
    name: 'an older one, where the newest is on a node that does not help',
    replicas: [placed('p')],
    extras: [extra('e1'), extra('e2')],
    need: 3,
    nodes: [
      { ...gpus(2), labels: { pool: 'a' } },
      { ...gpus(1), name: 'm' },
    ],
    here: [
      here('p', 0),
      here('e1', 1),
      { replicaId: 'e2', isStopping: false, devices: [{ node: 'm', deviceIds: ['gpu-0'] }] },
    ],
    waiting: [{ ...claimOf(GPU), nodes: { required: { pool: 'a' }, preferred: {} } }],
    want: ['e2'],
  },
  {
    name: 'one that is not bound yet, and counts on what the other waits for',
    replicas: [placed('p')],
    extras: [extra('e1')],
    need: 2,
    nodes: [gpus(2)],
    here: [here('p', 0)],
    waiting: [claimOf(GPU)],
    want: [],
  },
  {
    name: 'two that wait for one device each, and two end',
    replicas: [placed('p')],
    extras: [extra('e1'), extra('e2'), extra('e3')],
    need: 4,
    nodes: [gpus(4)],
    here: [here('p', 0), here('e1', 1), here('e2', 2), here('e3', 3)],
    waiting: [claimOf(GPU), claimOf(GPU)],
    want: ['e1'],
  },
  {
    name: 'one that is not bound yet has what is free',
    replicas: [placed('p')],
    extras: [extra('e1')],
    need: 3,
    nodes: [gpus(2)],
    here: [here('p', 0)],
    want: ['e1'],
  },
  {
    name: 'cores: not twice for the same, while one is on its way out',
    replicas: [placed('p', { claim: claimOf('cpu', 1) })],
    extras: [extra('e1')],
    need: 3,
    nodes: [cpus(4)],
    here: [{ replicaId: 'e2', isStopping: true, devices: [] }],
    waiting: [claimOf('cpu', 2)],
    want: ['e1'],
  },
  {
    name: 'nothing starts while another waits for that type',
    replicas: [placed('p')],
    need: 2,
    nodes: [gpus(4)],
    here: [here('p', 0)],
    waiting: [claimOf(GPU, 8)],
    want: [],
  },
  {
    name: 'cores are counted: all that are claimed, and those of tasks',
    replicas: [placed('p', { claim: claimOf('cpu', 2) })],
    need: 2,
    nodes: [cpus(4)],
    tasks: [task('c', 'cpu-3')],
    want: [],
  },
  {
    name: 'cores are free',
    replicas: [placed('p', { claim: claimOf('cpu', 2) })],
    need: 2,
    nodes: [cpus(4)],
    want: ['new-1'],
  },
  {
    name: 'a task that waits for cores gets them',
    replicas: [placed('p', { claim: claimOf('cpu', 2) })],
    extras: [extra('e')],
    need: 2,
    nodes: [cpus(4)],
    waiting: [claimOf('cpu', 2)],
    want: [],
  },
];

const planOf = ({ replicas, need, name: _, want: __, ...rest }: Case) => {
  let made = 0;
  return planExtras({
    desired: { replicas },
    extras: [],
    needed: new Map(need === undefined ? [] : [['chat', need]]),
    nodes: [],
    here: [],
    tasks: [],
    waiting: [],
    isScaled: (engine) => engine === undefined,
    newId: () => {
      made += 1;
      return `new-${made}`;
    },
    ...rest,
  });
};

describe('replicas beside the placed ones', () => {
  it.each(cases)('$name', (each) => {
    const { extras, reasons } = planOf(each);
    const words = extras.map(({ replicaId, versionDigest }) =>
      versionDigest === 'v1' ? replicaId : `${replicaId} ${versionDigest}`,
    );
    expect(words).toEqual(each.want);
    const before = new Set((each.extras ?? []).map(({ replicaId }) => replicaId));
    const changes = [...before].filter((id) => !extras.some(({ replicaId }) => replicaId === id)).length;
    expect(reasons).toHaveLength(changes + extras.filter(({ replicaId }) => !before.has(replicaId)).length);
  });

  it('of two deployments do not count on the same free device in one turn', () => {
    const other = placed('q', { deploymentId: 'code' });
    const { extras } = planExtras({
      ...{ desired: { replicas: [placed('p'), other] }, extras: [], nodes: [gpus(3)], tasks: [], waiting: [] },
      needed: new Map([
        ['chat', 2],
        ['code', 2],
      ]),
      here: [here('p', 0), here('q', 1)],
      isScaled: () => true,
      newId: () => 'new',
    });
    expect(extras).toEqual([extra('new')]);
  });

  it('are in the document as copies, after those that were placed', () => {
    const desired: DesiredState = {
      clusterId: 'c',
      epoch: 1,
      revision: 1,
      versions: [],
      tasks: [],
      replicas: [placed('p'), placed('old', { versionDigest: 'v0', draining: true })],
    };
    expect(withExtras(desired, [extra('e'), extra('gone', { versionDigest: 'v0' })]).replicas).toEqual([
      ...desired.replicas,
      placed('e'),
    ]);
    expect(withExtras(desired, [])).toBe(desired);
  });
});

describe('on random clusters', () => {
  const randomOf = (seed: number) => {
    let state = seed;
    return (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
  };
  function clusterOf(seed: number): ExtrasInput {
    const random = randomOf(seed);
    const node = gpus(1 + random(8));
    const replicas = Array.from({ length: random(4) }, (_, index) =>
      placed(`p${index}`, {
        deploymentId: random(2) === 0 ? 'chat' : 'other',
        draining: random(5) === 0,
        versionDigest: random(4) === 0 ? 'v2' : 'v1',
        localScaling: random(6) === 0 ? undefined : { ...scaling, replicasMax: 1 + random(5) },
        claim: claimOf(GPU, 1 + random(2)),
      }),
    );
    const extras = Array.from({ length: random(4) }, (_, index) =>
      extra(`e${index}`, { deploymentId: random(2) === 0 ? 'chat' : 'other' }),
    );
    const held = [...replicas, ...extras].slice(0, node.devices.length);
    let made = 0;
    return {
      desired: { replicas },
      extras,
      needed: new Map([['chat', random(8)]]),
      nodes: [node],
      here: held.map(({ replicaId }, index) => here(replicaId, index, random(6) === 0)),
      tasks: [],
      waiting: random(3) === 0 ? [claimOf(GPU, 1 + random(3))] : [],
      isScaled: () => true,
      newId: () => {
        made += 1;
        return `new-${made}`;
      },
    };
  }

  it('never more than the maximum, never without a placed one, none begun while one waits, and stable', () => {
    for (let seed = 1; seed <= 2_000; seed += 1) {
      const input = clusterOf(seed);
      const { extras } = planExtras(input);
      const begun = extras.filter(({ replicaId }) => replicaId.startsWith('new-'));
      for (const { deploymentId, versionDigest } of extras) {
        const own = input.desired.replicas.filter(
          (each) => each.deploymentId === deploymentId && !each.draining && each.localScaling,
        );
        const maximum = own.at(-1)?.localScaling?.replicasMax ?? 0;
        const count = extras.filter((each) => each.deploymentId === deploymentId).length;
        expect([seed, own.some((each) => each.versionDigest === versionDigest)]).toEqual([seed, true]);
        expect([seed, count <= Math.max(0, maximum - own.length)]).toEqual([seed, true]);
      }
      expect([seed, input.waiting.length > 0 && begun.length > 0]).toEqual([seed, false]);
      expect([seed, begun.length <= 2]).toEqual([seed, true]);
      // Looked at again with nothing changed but what it decided, and nobody waiting, it ends none of them.
      const again = planExtras({ ...input, extras, waiting: [], nodes: [] });
      expect([seed, again.extras]).toEqual([seed, extras]);
    }
  });
});
