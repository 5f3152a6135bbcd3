import { beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { AdapterKeeper } from './adapter-keeper.ts';
import type { EngineInstance } from './engine-adapter.ts';

const french = { name: 'french', versionDigest: 'a1', path: '/a1' };
const german = { name: 'german', versionDigest: 'b1', path: '/b1' };

describe('adapters beside a base that serves', () => {
  let calls: string[];
  let failure: string | undefined;
  let nowMs: number;
  let remarks: string[];
  let keeper: AdapterKeeper;
  beforeEach(() => {
    [calls, failure, nowMs, remarks] = [[], undefined, 0, []];
    const setAdapters = async (_instance: EngineInstance, wanted: readonly { name: string }[]) => {
      calls.push(wanted.map(({ name }) => name).join());
      if (failure !== undefined) throw new Error(failure);
    };
    keeper = new AdapterKeeper({ setAdapters }, pino({ level: 'silent' }), () => nowMs);
  });
  const replicaOf = (isProven = false, phase: 'Ready' | 'Starting' = 'Ready') => ({
    replicaId: 'r1',
    adapters: new Set<string>(),
    phase,
    instance: { instanceId: 'i1', isProven } as EngineInstance,
    remark: (reason: string) => void remarks.push(reason),
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));

  it('are loaded once, in whatever order they are named, and unloaded when they are wanted no more', async () => {
    const replica = replicaOf();
    keeper.keep(replica, [french, german]);
    keeper.keep(replica, [german, french]);
    await settle();
    keeper.keep(replica, [german, french]);
    keeper.keep(replica, []);
    await settle();
    keeper.keep(replica, []);
    expect(calls).toEqual(['french,german', '']);
  });

  it('are not asked for before the base serves, nor where none are wanted', () => {
    keeper.keep(replicaOf(false, 'Starting'), [french]);
    keeper.keep(replicaOf(), []);
    expect(calls).toEqual([]);
  });

  it('of an adopted engine are made what is wanted once', async () => {
    const replica = replicaOf(true);
    keeper.keep(replica, []);
    await settle();
    keeper.keep(replica, []);
    expect(calls).toEqual(['']);
  });

  it('that cannot be loaded are the remark of a replica that serves on, and are tried again later', async () => {
    const replica = replicaOf();
    failure = 'rank 64 is more than the engine takes';
    keeper.keep(replica, [french]);
    await settle();
    keeper.keep(replica, [french]);
    expect([calls, remarks]).toEqual([['french'], [failure]]);
    [failure, nowMs] = [undefined, 30_001];
    keeper.keep(replica, [french]);
    await settle();
    expect([calls, remarks.at(-1)]).toEqual([['french', 'french'], '']);
  });

  it('A05: are held from when they are loaded; one of another version is not while it comes, nor when that fails', async () => {
    const replica = replicaOf();
    const held = () => [...replica.adapters].sort();
    keeper.keep(replica, [french, german]);
    expect(held()).toEqual([]);
    await settle();
    expect(held()).toEqual(['french', 'german']);
    failure = 'rank 64 is more than the engine takes';
    keeper.keep(replica, [{ ...french, versionDigest: 'a2' }, german]);
    expect(held()).toEqual(['german']);
    await settle();
    expect(held()).toEqual(['german']);
  });

  it('A05: are not held by an engine that came in the place of the one that loaded them', async () => {
    const replica = replicaOf();
    keeper.keep(replica, [french]);
    Object.assign(replica, { instance: { instanceId: 'i2' }, adapters: new Set() });
    await settle();
    expect(replica.adapters.size).toBe(0);
  });

  it('of a new instance are loaded anew', async () => {
    keeper.keep(replicaOf(), [french]);
    await settle();
    keeper.keep(replicaOf(), [french]);
    expect(calls).toEqual(['french', 'french']);
  });
});
