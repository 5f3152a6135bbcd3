import { zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import { headers as createHeaders, errors as nats } from '@nats-io/transport-node';
import { assessDurability } from './durability.ts';
import { MessagingError, translateNatsError } from './errors.ts';
import { Intake } from './intake.ts';
import { decodeJson, encodeJson } from './payload.ts';
import { MessageContext } from './strategy.ts';

function zstdHeaders() {
  const headers = createHeaders();
  headers.set('content-encoding', 'zstd');
  return headers;
}

describe('payload', () => {
  it.each([
    ['small stays plain', { a: 1 }, false],
    ['large is compressed', { text: 'x'.repeat(5000) }, true],
    ['nothing is empty', undefined, false],
  ])('%s', async (_name, value, wantCompressed) => {
    const { bytes, headers } = encodeJson(value);
    expect(headers !== undefined).toBe(wantCompressed);
    expect(await decodeJson({ data: bytes, headers })).toEqual(value);
  });

  const bomb = zstdCompressSync(Buffer.alloc(1_000_000, 0x20));
  it.each([
    ['not JSON', { data: Buffer.from('{"a":') }, 'malformed'],
    ['too large on the wire', { data: Buffer.alloc(2001, 0x20) }, 'too-large'],
    ['a zstd bomb', { data: bomb, headers: zstdHeaders() }, 'too-large'],
    ['not zstd', { data: Buffer.from('plain'), headers: zstdHeaders() }, 'undecodable'],
  ])('S11: %s is refused', async (_name, message, wantReason) => {
    await expect(decodeJson(message, { bytesMax: 2000, bytesMaxDecoded: 10_000 })).rejects.toMatchObject({
      name: 'PayloadError',
      reason: wantReason,
    });
  });

  it('holds a report of every task that a desired document can name, with the longest words on each', async () => {
    // Characters that zstd finds nothing in.
    const words = (from: number) =>
      Array.from({ length: 500 }, (_, at) =>
        String.fromCodePoint(0x4e00 + (((from + at) * 2_654_435_761) % 20_000)),
      ).join('');
    const id = '01900000-0000-7000-8000-0000000f0001';
    const tasks = Array.from({ length: 2_300 }, (_, rank) => ({
      ...{ taskId: `${id}/${rank}`, attemptId: id, jobId: id, rank, epoch: 1, phase: 'Stopping', ranSeconds: rank / 7 },
      ...{ reason: words(rank * 1_500), progress: words(rank * 1_500 + 500), processId: 4_194_304 },
      checkpoint: {
        ...{ sequence: 1, manifestDigest: 'a'.repeat(64), sizeBytes: 1, ranSeconds: rank / 9 },
        progress: words(rank * 1_500 + 1_000),
      },
    }));
    const { bytes, headers } = encodeJson({ tasks });
    expect(await decodeJson({ data: bytes, headers })).toEqual({ tasks });
  });

  it('refuses to send what nobody would take', () => {
    expect(() => encodeJson('x'.repeat(33 * 1024 * 1024))).toThrow('beyond the bound');
  });
});

describe('message context', () => {
  it('names the cluster of the subject', () => {
    const context = new MessageContext('atoll.v1.c1.hb', 'atoll.v1.*.hb', false);
    expect([context.clusterToken, context.header('x')]).toEqual(['c1', undefined]);
    expect(new MessageContext('atoll.v1.routes.fetch', 'atoll.v1.routes.fetch', true).clusterToken).toBeUndefined();
  });
});

describe('intake', () => {
  function build(atBound: 'drop-oldest' | 'refuse-newest') {
    const started: number[] = [];
    const shed: number[] = [];
    const finish: (() => void)[] = [];
    const intake = new Intake<number>({
      concurrencyMax: 2,
      pendingMax: 2,
      atBound,
      onShed: (item) => shed.push(item),
      run: (item) => {
        started.push(item);
        return new Promise((resolve) => finish.push(resolve));
      },
    });
    return { intake, started, shed, finish };
  }

  it.each([
    { atBound: 'drop-oldest' as const, wantShed: [3], wantOrder: [1, 2, 4, 5] },
    { atBound: 'refuse-newest' as const, wantShed: [5], wantOrder: [1, 2, 3, 4] },
  ])('sheds by $atBound at its bound and finishes the rest', async ({ atBound, wantShed, wantOrder }) => {
    const { intake, started, shed, finish } = build(atBound);
    for (const item of [1, 2, 3, 4, 5]) intake.push(item);
    expect(started).toEqual([1, 2]);
    expect(shed).toEqual(wantShed);
    const idle = intake.whenIdle();
    while (finish.length > 0) {
      finish.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await idle;
    expect(started).toEqual(wantOrder);
  });
});

describe('errors', () => {
  const cases: [unknown, MessagingError['failure']][] = [
    [new nats.PermissionViolationError('x', 'publish', 'a.b'), 'forbidden'],
    [new nats.AuthorizationError('Authorization Violation'), 'unauthorized'],
    [new nats.UserAuthenticationExpiredError('user authentication expired'), 'unauthorized'],
    [new nats.ProtocolError('User Authentication Revoked'), 'unauthorized'],
    [new nats.RequestError('x', { cause: new nats.NoRespondersError('a.b') }), 'no-responder'],
    [new nats.TimeoutError(), 'timeout'],
    [new nats.ClosedConnectionError(), 'closed'],
    [new nats.ConnectionError('connection refused'), 'unreachable'],
    [new Error('connect ECONNREFUSED 127.0.0.1:1'), 'unreachable'],
    ['something', 'unknown'],
  ];
  it.each(cases)('%s is advice of kind %s', (cause, want) => {
    const error = translateNatsError(cause, 'a.b');
    expect(error.failure).toBe(want);
    expect(error.cause).toBe(cause);
    expect(translateNatsError(error)).toBe(error);
  });
});

describe('R3: durability', () => {
  it.each([
    { version: '2.9.10', isSyncAlways: undefined, wantLoss: true, wantText: 'Upgrade' },
    { version: '2.9.10', isSyncAlways: true, wantLoss: true, wantText: 'Upgrade' },
    { version: '2.10.27', isSyncAlways: true, wantLoss: false, wantText: 'syncs every' },
    { version: '2.10.27', isSyncAlways: false, wantLoss: true, wantText: 'sync_interval: always' },
    { version: '2.14.0-RC.1', isSyncAlways: true, wantLoss: false, wantText: 'syncs every' },
    { version: '3.0.0', isSyncAlways: undefined, wantLoss: true, wantText: 'did not say' },
    { version: 'garbage', isSyncAlways: true, wantLoss: true, wantText: 'Upgrade' },
  ])('$version with sync=$isSyncAlways: loss possible $wantLoss', ({ version, isSyncAlways, wantLoss, wantText }) => {
    const durability = assessDurability(version, isSyncAlways);
    expect(durability.couldLoseAckedWrites).toBe(wantLoss);
    expect(durability.message).toContain(wantText);
  });
});
