import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { JoinReply } from '#contracts';
import { until } from '../../test/temporary-folder.ts';
import { ClusterRemovedError, ControlPlaneProblemError, JoinRefusedError } from '../errors.ts';
import { CredentialKeeper, type CredentialKeeperOptions, type Membership } from './credentials.ts';

const clusterId = '01900000-0000-7000-8000-00000000c001';
const granted = (jwt: string): JoinReply => ({
  clusterId,
  clusterName: 'edge',
  phase: 'Ready',
  retryAfterSeconds: null,
  credentials: { jwt, expiresInSeconds: 86_400, natsServers: ['nats://127.0.0.1:1'], account: 'A' },
});
const left: JoinReply = { ...granted(''), phase: 'Left', credentials: null };
const refused = new ControlPlaneProblemError(403, 'forbidden', 'The token is used.');
const gone = new ControlPlaneProblemError(410, 'cluster-removed', 'Removed by an admin.');

type Step = JoinReply | Error;

function keeperWith(setup: {
  stored?: Membership;
  isOld?: boolean;
  token?: string;
  join?: Step[];
  credentials?: Step[];
  isDiskFull?: boolean;
}) {
  const seen = {
    calls: [] as string[],
    written: [] as string[],
    removed: [] as string[],
    renewed: [] as string[],
    marked: [] as (boolean | undefined)[],
  };
  const play = (name: string, steps: Step[] = []) => {
    seen.calls.push(name);
    const step = steps.shift() ?? new Error('no network');
    return step instanceof Error ? Promise.reject(step) : Promise.resolve(step);
  };
  const options: CredentialKeeperOptions = {
    client: {
      join: () => play('join', setup.join),
      credentials: () => play('credentials', setup.credentials),
    },
    document: {
      read: () => Promise.resolve(setup.stored ?? null),
      write: ({ jwt, isRemoved }) => {
        seen.written.push(jwt);
        seen.marked.push(isRemoved);
        return setup.isDiskFull ? Promise.reject(new Error('ENOSPC')) : Promise.resolve();
      },
    },
    identity: { publicKey: 'U', seed: 'S', isOld: setup.isOld ?? false },
    joinToken: setup.token === undefined ? undefined : () => setup.token!,
    log: pino({ level: 'silent' }),
    onRenewed: ({ jwt }) => void seen.renewed.push(jwt),
    onRemoved: ({ message }) => void seen.removed.push(message),
    renewalGapMs: 20,
  };
  return { keeper: new CredentialKeeper(options), seen };
}

const stored = (ageMs: number): Membership => ({
  ...granted('old').credentials!,
  clusterId,
  clusterName: 'edge',
  obtainedAtMs: Date.now() - ageMs,
});
const never = new AbortController().signal;

describe('joining', () => {
  it('spends the token with a new key', async () => {
    const { keeper, seen } = keeperWith({ token: 't', join: [granted('one')] });
    expect((await keeper.open(never)).jwt).toBe('one');
    expect([seen.calls, seen.written]).toEqual([['join'], ['one']]);
  });

  it('asks nobody when credentials are on disk (R4)', async () => {
    const { keeper, seen } = keeperWith({ stored: stored(0) });
    expect((await keeper.open(never)).jwt).toBe('old');
    expect(seen.calls).toEqual([]);
  });

  it('recovers with its old key when its documents are lost, without a token', async () => {
    const { keeper, seen } = keeperWith({ isOld: true, credentials: [granted('again')] });
    expect((await keeper.open(never)).jwt).toBe('again');
    expect(seen.calls).toEqual(['credentials']);
  });

  it('a token that this very key has spent already is no refusal', async () => {
    const { keeper, seen } = keeperWith({ token: 't', join: [refused], credentials: [granted('mine')] });
    expect((await keeper.open(never)).jwt).toBe('mine');
    expect(seen.calls).toEqual(['join', 'credentials']);
  });

  it('a refused token ends with the reason', async () => {
    const { keeper } = keeperWith({ token: 't', join: [refused], credentials: [refused] });
    await expect(keeper.open(never)).rejects.toThrow(
      new JoinRefusedError('The control plane refused the join: The token is used.'),
    );
  });

  it.each([
    { name: 'offline it waits', credentials: [], join: [], token: undefined, want: 'waits' },
    { name: 'told again, it ends', credentials: [gone], join: [], token: undefined, want: 'removed' },
    {
      name: 'nor does a new token help this key',
      credentials: [gone, gone],
      join: [refused],
      token: 't',
      want: 'removed',
    },
    {
      name: 'taken back by the centre, it goes on',
      credentials: [granted('again')],
      join: [],
      token: 't',
      want: 'again',
    },
  ])('S2: a removed cluster serves nothing after a restart: $name', async ({ credentials, join, token, want }) => {
    const removed = { ...stored(0), isRemoved: true };
    const { keeper } = keeperWith({ stored: removed, isOld: true, credentials, join, ...(token ? { token } : {}) });
    const stop = new AbortController();
    const opened = keeper.open(stop.signal).then(
      ({ jwt }) => jwt,
      (cause: unknown) => (cause instanceof ClusterRemovedError ? 'removed' : 'waits'),
    );
    const timer = setTimeout(() => stop.abort(), want === 'waits' ? 20 : 5_000);
    expect(await opened).toBe(want);
    clearTimeout(timer);
  });

  it('without token and without being known it says what to do', async () => {
    const { keeper } = keeperWith({ credentials: [refused] });
    await expect(keeper.open(never)).rejects.toThrow(/set joinTokenFile/);
  });

  it.each([
    { name: 'phase Left', step: left },
    { name: '410', step: gone },
    {
      name: 'in words',
      step: new ControlPlaneProblemError(403, 'forbidden', 'cluster "edge" was removed; join again with a new key'),
    },
  ])('a removed cluster is told so: $name', async ({ step }) => {
    const { keeper } = keeperWith({ isOld: true, credentials: [step] });
    await expect(keeper.open(never)).rejects.toThrow(ClusterRemovedError);
  });
});

describe('renewal', () => {
  async function runUntil(
    setup: Parameters<typeof keeperWith>[0],
    isDone: (seen: ReturnType<typeof keeperWith>['seen']) => boolean,
  ) {
    const { keeper, seen } = keeperWith(setup);
    await keeper.open(never);
    const stop = new AbortController();
    const running = keeper.run(stop.signal);
    await until(() => isDone(seen), 'it happened');
    stop.abort();
    await running;
    return { keeper, seen };
  }

  it('is done at once for a JWT that was written long ago, expired or not', async () => {
    const { keeper } = await runUntil(
      { stored: stored(90_000_000), credentials: [granted('new')] },
      ({ written }) => written.length === 1,
    );
    expect(keeper.membership.jwt).toBe('new');
  });

  it('R22: is done at once when the clock went back behind the JWT', async () => {
    await runUntil(
      { stored: stored(-3_600_000), credentials: [granted('new')] },
      ({ written }) => written.length === 1,
    );
  });

  it('R7: that nobody answers changes nothing', async () => {
    const { keeper, seen } = await runUntil({ stored: stored(90_000_000) }, ({ calls }) => calls.length >= 1);
    expect([keeper.membership.jwt, seen.removed]).toEqual(['old', []]);
  });

  it('is done soon when NATS doubts the credentials', async () => {
    const { keeper, seen } = keeperWith({ stored: stored(0), credentials: [granted('new')] });
    await keeper.open(never);
    const stop = new AbortController();
    const running = keeper.run(stop.signal);
    keeper.renewSoon();
    await until(() => seen.written.length === 1, 'it renewed');
    stop.abort();
    await running;
  });

  it('S2: a doubt of NATS that comes in the middle of a renewal is not lost', async () => {
    const { keeper, seen } = keeperWith({ stored: stored(90_000_000), credentials: [granted('new'), gone] });
    await keeper.open(never);
    const running = keeper.run(never);
    await until(() => seen.written.length === 1, 'it renewed');
    keeper.renewSoon();
    await running;
    expect(seen.removed).toEqual([expect.stringContaining('Removed by an admin.')]);
  });

  it('new credentials count also when the disk is full, and are not asked for again and again', async () => {
    const { keeper, seen } = await runUntil(
      { stored: stored(90_000_000), credentials: [granted('new')], isDiskFull: true },
      ({ renewed }) => renewed.length === 1,
    );
    expect([keeper.membership.jwt, seen.calls]).toEqual(['new', ['credentials']]);
  });

  it('R20: a centre that has never heard of us changes nothing', async () => {
    const unknown = new ControlPlaneProblemError(403, 'forbidden', 'no cluster has joined with this key');
    const { seen } = await runUntil(
      { stored: stored(90_000_000), credentials: [unknown] },
      ({ calls }) => calls.length === 1,
    );
    expect(seen.removed).toEqual([]);
  });

  it('an explicit removal is told once, and ends it', async () => {
    const { keeper, seen } = keeperWith({ stored: stored(90_000_000), credentials: [gone] });
    await keeper.open(never);
    await keeper.run(never);
    expect(seen.removed).toEqual([expect.stringContaining('Removed by an admin.')]);
    expect(seen.marked).toEqual([true]);
  });
});
