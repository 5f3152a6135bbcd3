import { beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { LeaseAnswer, LeaseReturn, LeaseWish } from '#domain';
import { LeaseKeeper, type StoredLeases } from './lease-keeper.ts';

const BUDGET = { budgetId: '01900000-0000-7000-8000-00000000b001', title: 'budget "all"' };
const MINUTE = 60_000;

interface Asked {
  readonly wishes: LeaseWish[];
  readonly returns: LeaseReturn[];
}

let asked: Asked[];
let stored: StoredLeases | null;
let elapsedMs: number;
let wallMs: number;
/** Holds the centre's answers back while there is one. */
let pause: PromiseWithResolvers<void> | null;

beforeEach(() => {
  [asked, stored, elapsedMs, wallMs, pause] = [[], null, 1_000 * MINUTE, 50_000_000 * MINUTE, null];
});

/** Grants all that is asked for, as one lease of five minutes. */
async function answer(request: Asked): Promise<LeaseAnswer> {
  asked.push(request);
  await pause?.promise;
  const grants = request.wishes.map(({ requestId, budgetId }) => ({
    ...{ requestId, budgetId, leaseId: 'lease', grantedTokens: 4_000, expiresInSeconds: 300 },
  }));
  return { grants, refusals: [], ended: request.returns.map(({ leaseId }) => leaseId) };
}

async function open(machineBootId: string, isConnected = true): Promise<LeaseKeeper> {
  const keeper: LeaseKeeper = new LeaseKeeper({
    holder: 'gateway',
    document: {
      read: async () => stored,
      write: async (value) => {
        stored = value;
      },
    },
    journal: { currentOrder: 1, seal: async (onSwitch = () => keeper.snapshot()) => onSwitch()() },
    request: answer,
    isConnected: () => isConnected,
    clock: { elapsedMs: () => elapsedMs, wallMs: () => wallMs },
    machineBootId,
    log: pino({ level: 'silent' }),
  });
  await keeper.open([]);
  keeper.expect([BUDGET]);
  return keeper;
}

const outcomeOf = (keeper: LeaseKeeper, tokens: number) => {
  const found = keeper.reserve([BUDGET.budgetId], tokens);
  return 'refused' in found ? 'refused' : 'reserved';
};

describe('a holder that ends', () => {
  it('gives back what it holds', async () => {
    const keeper = await open('boot');
    await keeper.reserveSoon([BUDGET.budgetId], 100).then((found) => keeper.settle(found as never, 60));
    await keeper.giveBack();
    expect(asked.at(-1)).toEqual({ wishes: [], returns: [{ leaseId: 'lease', spentTokens: 60 }] });
    expect(keeper.standing()[0]).toMatchObject({ leases: 0 });
  });

  it('gives back also the lease that it was asking for', async () => {
    const keeper = await open('boot');
    outcomeOf(keeper, 100); // nobody has a lease yet: it is to be asked for
    pause = Promise.withResolvers();
    const asking = keeper.ask();
    const givingBack = keeper.giveBack();
    pause.resolve();
    await Promise.all([asking, givingBack]);
    expect(asked.map(({ returns }) => returns)).toEqual([[], [{ leaseId: 'lease', spentTokens: 0 }]]);
  });

  it('asks for nothing while nobody can be asked', async () => {
    const keeper = await open('boot', false);
    await keeper.giveBack();
    expect(asked).toEqual([]);
  });
});

describe('a holder that comes back while nobody can be asked', () => {
  /** One that has a lease, spent 1,000 of it, and was killed with 100 reserved. */
  async function diedWithLease(): Promise<void> {
    const keeper = await open('boot');
    const found = await keeper.reserveSoon([BUDGET.budgetId], 1_000);
    keeper.settle(found as never, 1_000);
    outcomeOf(keeper, 100);
    await keeper.snapshot()();
  }

  const cases: { name: string; boot: string; laterMs: number; wallOffMs?: number; tokens: number; want: string }[] = [
    { name: 'what is left', boot: 'boot', laterMs: MINUTE, tokens: 3_000, want: 'reserved' },
    { name: 'no more than that', boot: 'boot', laterMs: MINUTE, tokens: 3_001, want: 'refused' },
    {
      name: 'whatever the wall clock says',
      boot: 'boot',
      laterMs: MINUTE,
      wallOffMs: 1e9,
      tokens: 9,
      want: 'reserved',
    },
    { name: 'nothing after its end', boot: 'boot', laterMs: 5 * MINUTE, tokens: 1, want: 'refused' },
    { name: 'nothing after the machine was started anew', boot: 'next', laterMs: 0, tokens: 1, want: 'refused' },
    { name: 'nothing where the kernel names no boot', boot: '', laterMs: 0, tokens: 1, want: 'refused' },
  ];
  it.each(cases)('spends $name', async ({ boot, laterMs, wallOffMs = 0, tokens, want }) => {
    await diedWithLease();
    elapsedMs += laterMs;
    wallMs += laterMs + wallOffMs;
    expect(outcomeOf(await open(boot, false), tokens)).toBe(want);
  });
});
