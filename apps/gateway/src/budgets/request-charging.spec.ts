import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Charge, NoRoom, OpenAiError, Reservation, SpentTokens, UsageAmount, UsageSubject } from '#inference';
import { createMetrics, Registry } from '#telemetry';
import { type GatewayCharge, RequestCharging } from './request-charging.ts';

const KEY = { publicId: 'mine', tenantId: 't', budgetIds: ['b'] };
const REQUEST = { deploymentId: 'd', servedModel: 'm', versionDigest: 'v', promptTokens: 10, reservedTokens: 100 };
const ROOM: Reservation = { id: 'r', tokens: 100, leaseIds: ['l'] };
const NONE: NoRoom = {
  ...{ refused: 'no-budget', budgetId: 'b', reason: 'budget "b" is spent', retryAfterSeconds: 9, mayHaveMore: false },
};
const SPENT: SpentTokens = { promptTokens: 7, completionTokens: 5, isEstimated: false };

let counted: (Partial<UsageSubject> & UsageAmount)[];
let settled: number[];
let ended: string[];
beforeEach(() => {
  [counted, settled, ended] = [[], [], []];
});

/** What is found at once, and later; a journal on a disk that takes nothing where `isFull`. */
interface World {
  readonly now: Reservation | NoRoom;
  readonly later: Reservation | NoRoom;
  readonly isConnected: boolean;
  readonly contact: Promise<void> | null;
  readonly isFull: boolean;
  /** Of the journal. */
  readonly begin: () => Promise<void>;
}

function chargingOf({
  now = ROOM,
  later = now,
  isConnected = true,
  contact = null,
  isFull = false,
  begin = () => (isFull ? Promise.reject(new Error('no space left')) : Promise.resolve()),
}: Partial<World> = {}) {
  return new RequestCharging({
    leases: {
      reserve: () => now,
      reserveSoon: () => Promise.resolve(later),
      settle: (_reservation, tokens) => void settled.push(tokens),
    },
    journal: {
      begin,
      end: (id, amount) => void ended.push(`${id}: ${amount?.completionTokens ?? 'nothing'}`),
      count: ({ leaseIds, versionDigest }, amount) => void counted.push({ leaseIds, versionDigest, ...amount }),
    },
    newId: () => 'id',
    isConnected: () => isConnected,
    firstContact: () => contact,
    metrics: createMetrics('gateway', new Registry()),
  });
}

const endOf = (begun: Charge | OpenAiError) => (begun as Charge).end;
const messageOf = (begun: Charge | OpenAiError) => (begun as OpenAiError).body.error.message;

describe('what a request through the gateway is charged', () => {
  it('is settled once, by what it came to', async () => {
    const end = endOf(await chargingOf().begin(KEY, REQUEST));
    for (const spent of [SPENT, SPENT, null]) end(spent);
    expect({ settled, ended, counted }).toEqual({ settled: [12], ended: ['id: 5'], counted: [] });
  });

  it('is nothing where nothing came of it', async () => {
    endOf(await chargingOf().begin(KEY, REQUEST))(null);
    expect({ settled, ended, counted }).toEqual({ settled: [0], ended: ['id: nothing'], counted: [] });
  });

  it('is counted at its end where its begin could not be written', async () => {
    const end = endOf(await chargingOf({ isFull: true }).begin(KEY, REQUEST));
    await Promise.resolve();
    end(SPENT, { versionDigest: 'w' });
    expect({ settled, ended }).toEqual({ settled: [12], ended: [] });
    expect(counted).toMatchObject([{ leaseIds: ['l'], versionDigest: 'w', completionTokens: 5 }]);
  });

  it('is on disk before the client gets anything, or cannot be', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const charge = (await chargingOf({ begin: () => promise }).begin(KEY, REQUEST)) as GatewayCharge;
    let isSendable = false;
    const sendable = charge.untilNoted()!.then(() => {
      isSendable = true;
    });
    await new Promise(setImmediate);
    expect(isSendable).toBe(false);
    resolve();
    await sendable;
    expect(charge.untilNoted()).toBeNull();
    const onFullDisk = (await chargingOf({ isFull: true }).begin(KEY, REQUEST)) as GatewayCharge;
    await onFullDisk.untilNoted();
    expect(onFullDisk.untilNoted()).toBeNull();
    const free = (await chargingOf().begin({ ...KEY, budgetIds: [] }, REQUEST)) as GatewayCharge;
    expect(free.untilNoted()).toBeNull();
  });

  it('is summed where no budget asks for it', async () => {
    const charging = chargingOf();
    for (const spent of [SPENT, { ...SPENT, isEstimated: true }, null]) {
      endOf(await charging.begin({ ...KEY, budgetIds: [] }, REQUEST))(spent);
    }
    for (let time = 0; time < 2; time += 1) charging.flush();
    expect(counted).toMatchObject([{ leaseIds: [], requests: 2, estimatedRequests: 1, promptTokens: 14 }]);
    expect(settled).toEqual([]);
  });

  it.each<[string, Partial<World>, string | null]>([
    ['refused when there is no room', { now: NONE }, 'budget "b" is spent.'],
    ['served when the centre gives more in time', { now: { ...NONE, mayHaveMore: true }, later: ROOM }, null],
    [
      'served when it had to wait for the first contact after a start',
      { now: { ...NONE, mayHaveMore: true }, later: ROOM, isConnected: false, contact: Promise.resolve() },
      null,
    ],
    [
      'refused at once while nobody can be asked',
      { now: { ...NONE, mayHaveMore: true }, later: ROOM, isConnected: false },
      'budget "b" is spent; the control plane cannot be asked for more now.',
    ],
  ])('%s', async (_name, world, want) => {
    const begun = await chargingOf(world).begin(KEY, REQUEST);
    if (want === null) expect(begun).toHaveProperty('end');
    else {
      expect(begun).toMatchObject({ kind: 'insufficient_quota', status: 429, retryAfterSeconds: 9 });
      expect(messageOf(begun)).toBe(want);
    }
  });
});
