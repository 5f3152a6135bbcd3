import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { DesiredState } from '#domain';
import { until } from '../../test/temporary-folder.ts';
import { silentMetrics } from '../metrics.ts';
import { DesiredKeeper, type DesiredKeeperOptions } from './desired-keeper.ts';

const clusterId = '01900000-0000-7000-8000-00000000c001';
const other = '01900000-0000-7000-8000-00000000c002';
const stateOf = (epoch: number, revision: number, cluster = clusterId): DesiredState => ({
  clusterId: cluster,
  epoch,
  revision,
  versions: [],
  replicas: [],
  tasks: [],
});

function keeperWith(stored: DesiredState | null, answers: unknown[], change: Partial<DesiredKeeperOptions> = {}) {
  const seen = { written: [] as unknown[], applied: [] as number[], refused: [] as string[], asked: [] as unknown[] };
  const keeper = new DesiredKeeper({
    clusterId,
    document: {
      read: () => Promise.resolve(stored as never),
      write: (state) => Promise.resolve(void seen.written.push(state.revision)),
    },
    request: (have) => {
      seen.asked.push(have);
      const answer = answers.shift();
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
    apply: ({ revision }) => void seen.applied.push(revision),
    log: pino({ level: 'silent' }),
    metrics: { ...silentMetrics, desiredRefused: (reason) => void seen.refused.push(reason) },
    ...change,
  });
  return { keeper, seen };
}

const blobs = { url: 'http://127.0.0.1:1/blobs', token: 't', expiresInSeconds: 900 };
const reply = (state: DesiredState | null) => ({ state, blobs });

describe('the fence of the desired document (invariant 4)', () => {
  const cases = [
    { name: 'a higher revision is applied', have: stateOf(2, 5), comes: stateOf(2, 6), want: [5, 6] },
    { name: 'a lower revision of the same epoch is refused', have: stateOf(2, 5), comes: stateOf(2, 4), want: [5] },
    { name: 'an older epoch is refused, whatever its revision', have: stateOf(2, 5), comes: stateOf(1, 99), want: [5] },
    { name: 'a newer epoch is applied, with any revision', have: stateOf(2, 5), comes: stateOf(3, 1), want: [5, 1] },
    { name: 'the same again changes nothing', have: stateOf(2, 5), comes: stateOf(2, 5), want: [5] },
    { name: 'another cluster’s document is refused', have: stateOf(2, 5), comes: stateOf(9, 9, other), want: [5] },
    { name: 'the first document is applied', have: null, comes: stateOf(1, 0), want: [0] },
    { name: 'a first document of another cluster is refused', have: null, comes: stateOf(1, 1, other), want: [] },
  ];
  it.each(cases)('$name', async ({ have, comes, want }) => {
    const { keeper, seen } = keeperWith(have, [reply(comes)]);
    await keeper.open();
    await keeper.fetch();
    expect(seen.applied).toEqual(want);
    expect(keeper.state?.revision).toBe(want.at(-1));
  });

  it.each<[string, DesiredState | null, unknown, number]>([
    ['the same document', stateOf(2, 5), reply(stateOf(2, 5)), 1],
    ['a newer one, once it is applied', stateOf(2, 5), reply(stateOf(2, 6)), 1],
    ['none, where there was none', null, reply(null), 1],
    ['none, though we have one', stateOf(2, 5), reply(null), 0],
    ['an older one', stateOf(2, 5), reply(stateOf(1, 9)), 0],
    ['nothing', stateOf(2, 5), new Error('timeout'), 0],
  ])('X01: an answer is contact when what it says is what is applied: %s', async (_case, have, answer, want) => {
    const contacts: number[] = [];
    const { keeper } = keeperWith(have, [answer], { onContact: (agoMs) => void contacts.push(agoMs) });
    await keeper.open();
    await keeper.fetch();
    expect(contacts).toHaveLength(want);
  });

  it('X01: a document that could not be stored is no contact', async () => {
    const contacts: number[] = [];
    const { keeper } = keeperWith(null, [reply(stateOf(1, 1))], {
      document: { read: async () => null, write: () => Promise.reject(new Error('ENOSPC')) },
      onContact: (agoMs) => void contacts.push(agoMs),
    });
    await keeper.open();
    await keeper.fetch();
    expect(contacts).toEqual([]);
  });

  it('R7: no answer, a refusal or no document changes nothing', async () => {
    const { keeper, seen } = keeperWith(stateOf(2, 5), [new Error('timeout'), reply(null), { nonsense: true }]);
    await keeper.open();
    for (let round = 0; round < 3; round += 1) await keeper.fetch();
    expect([seen.applied, seen.written, seen.refused]).toEqual([[5], [], ['malformed']]);
  });

  it('R5: a fetch that nobody answered is tried again within two seconds', async () => {
    const { keeper, seen } = keeperWith(stateOf(2, 5), [new Error('no responders'), reply(stateOf(2, 6))]);
    await keeper.open();
    keeper.start();
    await keeper.fetch();
    await until(() => seen.applied.length === 2, 'the document is applied', 2_000);
    await keeper.stop();
  });

  it('R4: is durable before it is applied', async () => {
    const order: string[] = [];
    const keeper = new DesiredKeeper({
      clusterId,
      document: { read: () => Promise.resolve(null), write: () => Promise.resolve(void order.push('written')) },
      request: () => Promise.resolve(reply(stateOf(1, 1))),
      apply: () => void order.push('applied'),
      log: pino({ level: 'silent' }),
      metrics: silentMetrics,
    });
    await keeper.fetch();
    expect(order).toEqual(['written', 'applied']);
  });

  it('R4: what cannot be stored is not applied, is told, and is tried again', async () => {
    const told: string[] = [];
    const applied: number[] = [];
    let isFull = true;
    const keeper = new DesiredKeeper({
      clusterId,
      document: {
        read: () => Promise.resolve(null),
        write: () => (isFull ? Promise.reject(new Error('ENOSPC')) : Promise.resolve()),
      },
      request: () => Promise.resolve(reply(stateOf(1, 1))),
      apply: ({ revision }) => void applied.push(revision),
      log: pino({ level: 'silent' }),
      metrics: { ...silentMetrics, desiredRefused: (reason) => void told.push(reason) },
    });
    await keeper.fetch();
    expect([applied, told, keeper.position.revision]).toEqual([[], ['not-stored'], 0]);
    isFull = false;
    await keeper.fetch();
    expect(applied).toEqual([1]);
  });

  it('R4: keeps the key that proves neighbours: at once, on disk, and when an answer names none', async () => {
    const stored: unknown[] = [];
    const keyDocument = {
      read: () => Promise.resolve({ verifyingKey: 'of the last start' }),
      write: (key: object) => Promise.resolve(void stored.push(key)),
    };
    const withKey = { ...reply(null), blobs: { ...blobs, verifyingKey: 'rotated' } };
    const { keeper, seen } = keeperWith(null, [reply(null), withKey, withKey, reply(null)], { keyDocument });
    await keeper.open();
    const keys = [keeper.verifyingKey];
    for (let round = 0; round < 4; round += 1) {
      await keeper.fetch();
      keys.push(keeper.verifyingKey);
    }
    expect(keys).toEqual(['of the last start', 'of the last start', 'rotated', 'rotated', 'rotated']);
    expect([stored, seen.applied]).toEqual([[{ verifyingKey: 'rotated' }], []]);
  });

  it('a key that cannot be stored counts all the same', async () => {
    const keyDocument = { read: () => Promise.resolve(null), write: () => Promise.reject(new Error('ENOSPC')) };
    const { keeper } = keeperWith(null, [{ ...reply(null), blobs: { ...blobs, verifyingKey: 'new' } }], {
      keyDocument,
    });
    await keeper.open();
    await keeper.fetch();
    expect(keeper.verifyingKey).toBe('new');
  });

  it('asks for the key when it is doubted, however often that is only once in a while', async () => {
    const { keeper, seen } = keeperWith(null, [reply(null), reply(null)]);
    for (let round = 0; round < 5; round += 1) keeper.keyDoubted();
    await until(() => seen.asked.length === 1, 'it asked');
    await keeper.stop();
    expect(seen.asked).toHaveLength(1);
  });

  it('hands on when to verify, with every answer that says it', async () => {
    const told: unknown[] = [];
    const verification = { mode: 'sample', dueInSeconds: 7 };
    const onVerification = (asked: unknown) => void told.push(asked);
    const { keeper } = keeperWith(null, [{ ...reply(null), verification }, reply(null)], { onVerification });
    await keeper.fetch();
    await keeper.fetch();
    expect(told).toEqual([verification]);
  });

  describe('R5: what was not changed is not sent again', () => {
    const replica = (id: string) => ({
      replicaId: `01900000-0000-7000-8000-0000000000${id}`,
      deploymentId: other,
      deploymentName: 'chat',
      servedModel: 'chat',
      versionDigest: 'a'.repeat(64),
      claim: { deviceType: 'cpu' as const, count: 1, schedulingPolicy: { topologyScope: 'node' as const } },
      epoch: 1,
      draining: false,
    });
    const [first, second, third] = [replica('01'), replica('02'), replica('03')];
    const have = { ...stateOf(2, 5), replicas: [first, second] };
    const delta = (replicas: unknown[]) => ({
      state: null,
      delta: { clusterId, epoch: 2, revision: 6, versions: [], replicas, tasks: [] },
    });

    it('an unchanged document is contact, and is not written', async () => {
      const contacts: number[] = [];
      const { keeper, seen } = keeperWith(have, [{ state: null, unchanged: true }], {
        onContact: (agoMs) => void contacts.push(agoMs),
      });
      await keeper.open();
      await keeper.fetch();
      expect([contacts.length, seen.written, seen.applied]).toEqual([1, [], [5]]);
    });

    it('a difference makes the document of what is here', async () => {
      const comes = delta([{ keep: { from: 1, count: 1 } }, { put: [third] }]);
      const { keeper, seen } = keeperWith(have, [{ state: null, outlineWanted: true }, comes]);
      await keeper.open();
      await keeper.fetch();
      expect([keeper.state?.replicas, seen.written]).toEqual([[second, third], [6]]);
      expect(seen.asked).toMatchObject([{ held: { digest: expect.any(String), needsBlobs: true } }, {}]);
      expect((seen.asked[0] as { held: object }).held).not.toHaveProperty('outline');
      expect((seen.asked[1] as { held: object }).held).toHaveProperty('outline');
    });

    it('a difference to another document changes nothing', async () => {
      const { keeper, seen } = keeperWith(have, [delta([{ keep: { from: 1, count: 2 } }])]);
      await keeper.open();
      await keeper.fetch();
      expect([keeper.state, seen.applied, seen.refused]).toEqual([have, [5], ['malformed']]);
    });

    it.each<[string, unknown[]]>([
      ['is to another document', [{ keep: { from: 1, count: 2 } }]],
      ['makes more than a document may have', Array.from({ length: 5_001 }, () => ({ keep: { from: 0, count: 2 } }))],
    ])('R21: after a difference that %s all is asked for, and then differences again', async (_case, parts) => {
      const whole = { ...stateOf(2, 6), replicas: [third] };
      const { keeper, seen } = keeperWith(have, [delta(parts), reply(whole), { state: null, unchanged: true }]);
      await keeper.open();
      for (let round = 0; round < 3; round += 1) await keeper.fetch();
      const held = expect.any(Object);
      expect(seen.asked).toEqual([
        { epoch: 2, revision: 5, held },
        { epoch: 2, revision: 5 },
        expect.objectContaining({ held }),
      ]);
      expect(keeper.state).toEqual(whole);
    });

    it.each<[string, object, boolean]>([
      ['what an earlier release of this agent did not keep', { engine: 'gpu', adapters: [] }, true],
      ['R20: another document at its place', { versionDigest: 'b'.repeat(64), engine: 'gpu' }, false],
      ['the very document', {}, false],
    ])('R21: at the same revision is applied or not: %s', async (_case, change, isApplied) => {
      const incoming = { ...have, replicas: [{ ...first, ...change }, second] };
      const { keeper, seen } = keeperWith(have, [reply(incoming)]);
      await keeper.open();
      await keeper.fetch();
      expect([seen.applied, seen.written]).toEqual(isApplied ? [[5, 5], [5]] : [[5], []]);
      expect(keeper.state?.replicas).toEqual(isApplied ? incoming.replicas : have.replicas);
    });

    it('a hint asks for the difference at once', async () => {
      const { keeper, seen } = keeperWith(have, [delta([{ keep: { from: 0, count: 2 } }])]);
      await keeper.open();
      keeper.hinted({ epoch: 2, revision: 6 });
      await keeper.fetch();
      expect((seen.asked[0] as { held: object }).held).toHaveProperty('outline');
      await keeper.stop();
    });
  });

  it('asks for a new blob token only when the present one was refused', async () => {
    const { keeper, seen } = keeperWith(null, [reply(null), { ...reply(null), blobs: { ...blobs, token: 'second' } }]);
    expect((await keeper.blobSource(false)).token).toBe('t');
    expect((await keeper.blobSource(false)).token).toBe('t');
    expect((await keeper.blobSource(true)).token).toBe('second');
    expect(seen.asked).toHaveLength(2);
  });
});
