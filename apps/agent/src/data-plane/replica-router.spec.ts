// The agent's router on what it is told of its replicas: the desired document, the inventory, and the engines themselves.
import { describe, expect, it } from '@jest/globals';
import type { DesiredState, Node } from '#domain';
import type { EngineLoad } from '../engines/engine-adapter.ts';
import type { Replica } from '../engines/replica.ts';
import type { Prompt } from './prompt.ts';
import { ReplicaRouter } from './replica-router.ts';

const NOW_MS = 5_000;

/** On `gpu-<id>` of node `n-<id>`, 8 GB, as a process unless it is told otherwise. */
const replica = (id: string, change: Partial<Replica> & { readonly says?: EngineLoad } = {}): Replica => {
  const { says = null, ...rest } = change;
  return {
    ...{ replicaId: id, deploymentId: 'd1', versionDigest: 'v1', phase: 'Ready', engine: 'vllm' },
    ...{ instance: { instanceId: `${id}-1`, processId: 7 }, inflightOfLate: 0, adapters: new Set(), slots: undefined },
    devices: [{ node: `n-${id}`, deviceIds: [`gpu-${id}`] }],
    load: (nowMs: number) => (nowMs === NOW_MS ? says : null),
    ...rest,
  } as unknown as Replica;
};
const node = (id: string, tier: string): Node => ({
  name: `n-${id}`,
  labels: { tier },
  devices: [{ id: `gpu-${id}`, deviceType: 'nvidia.com/gpu', memoryBytes: 8e9 }],
});
const attached = {
  instance: { instanceId: 'i', processId: undefined },
  devices: undefined,
} as unknown as Partial<Replica>;

const prompt = (change: Partial<Prompt> = {}): Prompt => ({
  ...{ sessionId: null, blocks: [], promptTokens: 1_000, isStream: true, model: 'chat' },
  ...change,
});

interface Case {
  readonly name: string;
  readonly replicas: readonly Replica[];
  /** Of each replica in the document. */
  readonly wishes?: object;
  readonly asks?: Partial<Prompt>;
  /** Replica → milliseconds of work that it was given just now, at 0.1 ms a token. */
  readonly busy?: Readonly<Record<string, number>>;
  /** Undefined: nobody. */
  readonly want: string | undefined;
}

const lora = { adapters: [{ name: 'lora', versionDigest: 'a1' }] };
const withLora = { adapters: new Set(['lora']) };
const preferringGold = { nodes: { required: {}, preferred: { tier: 'gold' } } };

const cases: Case[] = [
  {
    name: 'A05 an adapter where it is loaded, however long the queue is there',
    replicas: [replica('a'), replica('b', withLora)],
    wishes: lora,
    asks: { model: 'lora' },
    busy: { b: 9_000 },
    want: 'b',
  },
  {
    name: 'A05 and its base wherever it is soonest',
    replicas: [replica('a'), replica('b', withLora)],
    wishes: lora,
    busy: { b: 9_000 },
    want: 'a',
  },
  {
    name: 'A05 while none has loaded it, none answers in its name',
    replicas: [replica('a'), replica('b')],
    wishes: lora,
    asks: { model: 'lora' },
    want: undefined,
  },
  {
    name: 'A05 nor the only one',
    replicas: [replica('a')],
    wishes: lora,
    asks: { model: 'lora' },
    want: undefined,
  },
  {
    name: 'A05 one that is loaded and not in the document any more is an adapter still',
    replicas: [replica('a'), replica('b', withLora)],
    asks: { model: 'lora' },
    busy: { b: 9_000 },
    want: 'b',
  },
  {
    name: 'A12 the node with the preferred label, within the bound',
    replicas: [replica('a'), replica('b')],
    wishes: preferringGold,
    busy: { b: 80 },
    want: 'b',
  },
  {
    name: 'A12 and not beyond',
    replicas: [replica('a'), replica('b')],
    wishes: preferringGold,
    busy: { b: 400 },
    want: 'a',
  },
  { name: 'A12 nobody asks for labels', replicas: [replica('a'), replica('b')], busy: { b: 80 }, want: 'a' },
  {
    name: 'A10 a long prompt not where its cache has no room, though that is sooner',
    replicas: [replica('a', { says: { cacheUsage: 0.1 } }), replica('b', { says: { cacheUsage: 0.9 } })],
    asks: { promptTokens: 100_000 },
    busy: { a: 9_000 },
    want: 'a',
  },
  {
    name: 'A10 a short one does',
    replicas: [replica('a', { says: { cacheUsage: 0.1 } }), replica('b', { says: { cacheUsage: 0.9 } })],
    busy: { a: 9_000 },
    want: 'b',
  },
  {
    name: 'A10 where no cache has room, the soonest: readings refuse nobody',
    replicas: [replica('a', { says: { cacheUsage: 0.95 } }), replica('b', { says: { cacheUsage: 0.9 } })],
    asks: { promptTokens: 100_000 },
    busy: { b: 9_000 },
    want: 'a',
  },
  {
    name: 'A06 not where others wait at a shared engine',
    replicas: [
      replica('a', { ...attached, engine: 'one', says: { running: 8, waiting: 4 } }),
      replica('b', { ...attached, engine: 'two', says: { running: 8, waiting: 0 } }),
    ],
    busy: { b: 200 },
    want: 'b',
  },
  {
    name: 'A06 what waits there of ours is in the ledger and counts once',
    replicas: [
      replica('a', { ...attached, engine: 'one', inflightOfLate: 12, says: { running: 8, waiting: 4 } }),
      replica('b', { ...attached, engine: 'two', says: { running: 8, waiting: 0 } }),
    ],
    busy: { b: 200 },
    want: 'a',
  },
];

describe('the router of an agent', () => {
  it.each(cases)('$name', ({ replicas, wishes = {}, asks, busy = {}, want }) => {
    const desired = {
      replicas: replicas.map(({ replicaId }) => ({ replicaId, deploymentId: 'd1', versionDigest: 'v1', ...wishes })),
    } as unknown as DesiredState;
    const router = new ReplicaRouter({
      replicas: { all: () => replicas, find: (id) => replicas.find(({ replicaId }) => replicaId === id) },
      desired: () => desired,
      nodes: () => [node('a', 'iron'), node('b', 'gold')],
      random: () => 0.5,
      nowMs: () => NOW_MS,
    });
    for (const each of replicas) {
      const ms = busy[each.replicaId];
      if (ms !== undefined) router.dispatched(each, prompt({ promptTokens: ms * 10 }));
    }
    expect(router.choose(router.standInsOf('a'), prompt(asks))?.replica.replicaId).toBe(want);
  });

  it.each([
    ['one', [replica('a')], {}, false],
    ['one that has adapters', [replica('a')], lora, true],
    ['two', [replica('a'), replica('b')], {}, true],
  ])('reads the prompts of %s: %#', (_name, replicas, wishes, want) => {
    const desired = { replicas: [{ replicaId: 'a', deploymentId: 'd1', versionDigest: 'v1', ...wishes }] };
    const shelf = { all: () => replicas, find: () => undefined };
    const router = new ReplicaRouter({ replicas: shelf, desired: () => desired as unknown as DesiredState });
    expect(router.readsPrompt(replicas)).toBe(want);
  });
});
