import { describe, expect, it } from '@jest/globals';
import type { Device, Labels, Node } from '#domain';
import type { ReplicaFacts } from '#routing';
import type { EngineLoad } from '../engines/engine-adapter.ts';
import { type KnownReplica, replicaFacts } from './replica-facts.ts';

const replica = (change: Partial<KnownReplica> = {}): KnownReplica => ({
  replicaId: 'r1',
  deploymentId: 'd1',
  versionDigest: 'v1',
  adapters: new Set(),
  devices: undefined,
  engine: 'gpu',
  inflightOfLate: 0,
  instance: { processId: undefined } as KnownReplica['instance'],
  slots: undefined,
  ...change,
});
const gpu = (id: string, memoryBytes = 80e9): Device => ({ id, deviceType: 'nvidia.com/gpu', memoryBytes });
const node = (name: string, labels: Labels, ...devices: Device[]): Node => ({ name, labels, devices });
const on = (name: string, ...deviceIds: string[]) => ({ node: name, deviceIds });
const nodes = [
  node('n1', { tier: 'gold', zone: 'z1' }, gpu('gpu-0'), gpu('gpu-1', 40e9)),
  node('n2', { tier: 'gold', zone: 'z2' }, gpu('gpu-0'), gpu('gpu-9', 0)),
];
const byName = new Map(nodes.map((each) => [each.name, each]));
const aProcess = { processId: 7 } as KnownReplica['instance'];

interface Case {
  readonly name: string;
  readonly of?: Partial<KnownReplica>;
  readonly load?: EngineLoad;
  /** What else is here. */
  readonly others?: readonly Partial<KnownReplica>[];
  /** Beside what is so of each. */
  readonly want: Partial<ReplicaFacts>;
}

const cases: Case[] = [
  { name: 'one of which nothing is known', want: {} },
  { name: 'A05: what it has loaded', of: { adapters: new Set(['french']) }, want: { holds: new Set(['french']) } },
  { name: 'A04: how many it answers at once', of: { slots: 4 }, want: { slots: 4 } },
  {
    name: 'A12: the labels of the node that its devices are of',
    of: { devices: [on('n2', 'gpu-0')] },
    want: { labels: { tier: 'gold', zone: 'z2' } },
  },
  {
    name: 'A12: of several nodes what they have in common',
    of: { devices: [on('n1', 'gpu-0'), on('n2', 'gpu-0')] },
    want: { labels: { tier: 'gold' } },
  },
  { name: 'A12: none of a node that is gone', of: { devices: [on('n3', 'gpu-0')] }, want: {} },
  {
    name: 'A10: the memory of its devices, less what its cache takes',
    of: { devices: [on('n1', 'gpu-0', 'gpu-1')], instance: aProcess },
    load: { running: 3, cacheUsage: 0.75 },
    want: { labels: { tier: 'gold', zone: 'z1' }, memoryBytes: 120e9, freeMemoryBytes: 30e9 },
  },
  {
    name: 'A10, E07: no memory where the engine does not say how full its cache is',
    of: { devices: [on('n1', 'gpu-0')], instance: aProcess },
    load: { running: 3 },
    want: { labels: { tier: 'gold', zone: 'z1' } },
  },
  {
    name: 'A10: no memory where that of a device is not known',
    of: { devices: [on('n2', 'gpu-0', 'gpu-9')] },
    load: { cacheUsage: 0.5 },
    want: { labels: { tier: 'gold', zone: 'z2' } },
  },
  { name: 'A10: no memory of an engine without devices of ours', load: { cacheUsage: 1 }, want: {} },
  {
    name: 'A06: requests of others, as they are split in all',
    of: { inflightOfLate: 2 },
    load: { running: 6, waiting: 2 },
    want: { foreign: { running: 4.5, waiting: 1.5 } },
  },
  {
    name: 'A06, E07: of a number that is missing nothing',
    load: { waiting: 2 },
    want: { foreign: { running: 0, waiting: 2 } },
  },
  { name: 'A06: all of them are ours', of: { inflightOfLate: 4 }, load: { running: 3, waiting: 1 }, want: {} },
  { name: 'A06: less than we sent takes nothing off', of: { inflightOfLate: 9 }, load: { running: 1 }, want: {} },
  {
    name: 'A06: what went there through a stand-in is ours too',
    of: { inflightOfLate: 1 },
    others: [{ replicaId: 'r2', inflightOfLate: 2 }],
    load: { running: 4 },
    want: { foreign: { running: 1, waiting: 0 } },
  },
  {
    name: 'A06: of other deployments, versions and engines no ledger here knows, so theirs are those of others',
    of: { inflightOfLate: 1 },
    others: [
      { deploymentId: 'd2', inflightOfLate: 9 },
      { versionDigest: 'v2', inflightOfLate: 9 },
      { engine: 'npu', inflightOfLate: 9 },
    ],
    load: { running: 4 },
    want: { foreign: { running: 3, waiting: 0 } },
  },
  { name: 'A06: nobody else asks a process of our own', of: { instance: aProcess }, load: { running: 9 }, want: {} },
];

describe('what is known of a replica', () => {
  it.each(cases)('$name', ({ of, load = null, others = [], want }) => {
    const one = replica(of);
    const all = [one, ...others.map(replica)];
    const known = { id: 'r1', isCordoned: false, labels: {}, isLoaded: true, coldStartMs: 0, holds: new Set() };
    expect(replicaFacts(one, load, byName, () => all)).toEqual({ ...known, ...want });
  });
});
