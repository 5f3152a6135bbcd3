import { beforeEach, describe, expect, it } from '@jest/globals';
import type { LeaseAnswer, LeaseGrant, LeaseWish } from '#domain';
import { LeaseBook, type Reservation } from './lease-book.ts';
import { leaseBookSnapshotSchema } from './lease-book-snapshot.ts';

const HOUR = 3_600_000;
let made: number;
const options = { newId: () => `id-${made++}`, horizonMs: 24 * HOUR, idleMs: 12 * HOUR, wantsStandby: true };
let book: LeaseBook;

beforeEach(() => {
  made = 0;
  book = new LeaseBook(options);
  book.expect([{ budgetId: 'b', title: 'budget "b"' }], 0);
});

const answer = (change: Partial<LeaseAnswer> = {}): LeaseAnswer => ({ grants: [], refusals: [], ended: [], ...change });
const asked = (nowMs: number, of = book) => of.wishes(nowMs) ?? { wishes: [], returns: [] };

/** Asks, and is granted what is wished for, with a life of 48 hours. */
function grantAll(nowMs: number, change: Partial<LeaseGrant> = {}, of = book): LeaseWish[] {
  const { wishes } = asked(nowMs, of);
  const grants = wishes.map(({ requestId, budgetId, leaseId, tokens }) => ({
    ...{ requestId, budgetId, leaseId: leaseId ?? `lease-${requestId}`, grantedTokens: tokens },
    ...{ expiresInSeconds: 48 * 3_600, ...change },
  }));
  of.granted(answer({ grants }), nowMs);
  return wishes;
}

function reserved(tokens: number, nowMs: number, budgets = ['b'], of = book): Reservation {
  const found = of.reserve(budgets, tokens, nowMs);
  if ('refused' in found) throw new Error(found.reason);
  return found;
}

describe('what it asks for', () => {
  it('is a minimal standby lease before anything is spent, and then nothing for a while', () => {
    expect(grantAll(0)).toEqual([{ requestId: 'id-0', budgetId: 'b', leaseId: null, tokens: 4_000, standby: true }]);
    expect(book.wishes(1 * HOUR)).toBeNull();
  });

  it('keeps its request id until there is an answer', () => {
    expect(asked(0)).toEqual(asked(5 * HOUR));
    book.granted(answer({ grants: [{ ...aGrant, requestId: 'of somebody else' }] }), 0);
    expect(asked(0).wishes).toMatchObject([{ requestId: 'id-0' }]);
  });

  const aGrant = { requestId: 'id-0', budgetId: 'b', leaseId: 'x', grantedTokens: 9, expiresInSeconds: 60 };

  it('is a later end after an eighth of the life, so that 42 of 48 hours are left when contact is lost', () => {
    grantAll(0);
    expect(book.wishes(6 * HOUR - 1)).toBeNull();
    expect(grantAll(6 * HOUR, { grantedTokens: 4_000 })).toMatchObject([{ leaseId: 'lease-id-0', tokens: 0 }]);
    expect(book.standing(6 * HOUR)).toMatchObject([{ leftTokens: 4_000, expiresInSeconds: 48 * 3_600 }]);
  });

  it('is more from half of what it wants on, sized to last a day at the rate of the last hours', () => {
    grantAll(0);
    for (let minute = 0; minute < 120; minute += 1) {
      const nowMs = minute * 60_000;
      book.settle(reserved(15, nowMs), 15, nowMs);
    }
    const { wishes } = asked(2 * HOUR);
    expect(wishes).toMatchObject([{ leaseId: 'lease-id-0' }]);
    // 900 tokens an hour, and 2,200 are left.
    expect(wishes[0]!.tokens).toBeGreaterThan(24 * 900 * 0.9 - 2_200);
    expect(wishes[0]!.tokens).toBeLessThan(24 * 900 * 1.1 - 2_200);
  });

  it('has room for the largest request that was refused', () => {
    grantAll(0);
    expect(book.reserve(['b'], 90_000, 1)).toMatchObject({ refused: 'no-budget', retryAfterSeconds: 2 });
    expect(asked(1).wishes).toMatchObject([{ tokens: 90_000 + 0 - 4_000 }]);
  });

  it('is, for a lease that its period ends, another one on the next period', () => {
    grantAll(0, { endsWithPeriod: true });
    const ahead = asked(1);
    expect(ahead.wishes).toMatchObject([{ leaseId: null, ahead: true, tokens: 4_000 }]);
    const { requestId } = ahead.wishes[0]!;
    const times = { startsInSeconds: 10, expiresInSeconds: 20, endsWithPeriod: true };
    const grant = { requestId, budgetId: 'b', leaseId: 'next', grantedTokens: 7, ...times };
    book.granted(answer({ grants: [grant] }), 0);
    expect(reserved(5, 9_999).leaseIds).toEqual(['lease-id-0']);
    expect(book.wishes(2)).toBeNull();
    book.granted(answer({ ended: ['lease-id-0'] }), 0);
    expect(book.reserve(['b'], 5, 9_999)).toMatchObject({ refused: 'no-budget' });
    expect(reserved(5, 10_000).leaseIds).toEqual(['next']);
    expect(book.reserve(['b'], 1, 20_000)).toMatchObject({ refused: 'no-budget' });
  });

  it('waits as long as it was told when it is refused, and tells why', () => {
    expect(book.reserve(['b'], 10, 0)).toMatchObject({ mayHaveMore: true });
    const { requestId } = asked(0).wishes[0]!;
    const refusal = { requestId, budgetId: 'b', reason: 'it is spent', retryAfterSeconds: 60 };
    book.granted(answer({ refusals: [refusal] }), 0);
    expect(book.reserve(['b'], 10, 20_000)).toEqual({
      ...{ refused: 'no-budget', budgetId: 'b', retryAfterSeconds: 40, mayHaveMore: false },
      reason: 'budget "b": 0 tokens are left here, and this request may need 10; it is spent',
    });
    expect(book.wishes(59_999)).toBeNull();
    expect(asked(60_000).wishes).toMatchObject([{ leaseId: null }]);
  });

  it('is asked at once when the budget was changed meanwhile', () => {
    const { requestId } = asked(0).wishes[0]!;
    book.granted(answer({ refusals: [{ requestId, budgetId: 'b', reason: 'spent', retryAfterSeconds: 600 }] }), 0);
    book.expect([{ budgetId: 'b', title: 'budget "b", raised' }], 1);
    expect(asked(1).wishes).toHaveLength(1);
  });

  it('is not asked again and again for what was granted in part', () => {
    book.reserve(['b'], 90_000, 0);
    grantAll(0, { grantedTokens: 5_000 });
    book.reserve(['b'], 90_000, 1);
    expect(book.wishes(1)).toBeNull();
    expect(asked(30_000).wishes).toHaveLength(1);
  });
});

describe('a reservation', () => {
  it('takes from a lease of each budget, or from none', () => {
    const two = ['b', 'c'].map((budgetId) => ({ budgetId, title: budgetId }));
    book.expect(two, 0);
    grantAll(0);
    expect(reserved(4_000, 1, ['b', 'c', 'b']).leaseIds).toHaveLength(2);
    expect(book.reserve(['b', 'c'], 1, 1)).toMatchObject({ refused: 'no-budget', budgetId: 'b' });
    book.expect([...two, { budgetId: 'd', title: 'd' }], 2);
    const before = book.standing(2);
    expect(book.reserve(['d', 'b'], 1, 2)).toMatchObject({ budgetId: 'd' });
    expect(book.standing(2)).toEqual(before);
    expect(book.reserve([], 1_000_000, 2)).toMatchObject({ leaseIds: [] });
  });

  it('is settled once, by what it came to', () => {
    grantAll(0);
    const reservation = reserved(1_000, 1);
    expect(book.open()).toEqual([reservation]);
    expect([book.settle(reservation, 300, 2), book.settle(reservation, 300, 2)]).toEqual([true, false]);
    expect(book.standing(2)).toMatchObject([{ leftTokens: 3_700, spentTokens: 300 }]);
  });

  it('that came to more than is left is counted, and nothing is left', () => {
    grantAll(0);
    book.settle(reserved(4_000, 1), 9_000, 2);
    expect(book.standing(2)).toMatchObject([{ leftTokens: 0, spentTokens: 9_000 }]);
    expect(book.reserve(['b'], 1, 3)).toMatchObject({ refused: 'no-budget' });
  });

  it('is never of a lease that is over by the holder’s own clock', () => {
    grantAll(0, { expiresInSeconds: 10 });
    expect(reserved(1, 9_999)).toMatchObject({ leaseIds: ['lease-id-0'] });
    expect(book.reserve(['b'], 1, 10_000)).toMatchObject({ refused: 'no-budget' });
  });
});

describe('a lease that is over', () => {
  it('is given back once nothing of it is reserved, until the centre has it', () => {
    grantAll(0, { expiresInSeconds: 10 });
    const open = reserved(100, 1);
    expect(asked(10_000).returns).toEqual([]);
    book.settle(open, 70, 10_001);
    const { returns, wishes } = asked(10_002);
    expect(returns).toEqual([{ leaseId: 'lease-id-0', spentTokens: 70 }]);
    expect(asked(10_003).returns).toEqual(returns);
    expect(wishes).toMatchObject([{ leaseId: null }]);
    book.granted(answer({ ended: ['lease-id-0'] }), 10_004);
    expect(asked(10_005).returns).toEqual([]);
  });

  it('for its budget is charged to no key here is given back as well', () => {
    grantAll(0);
    book.expect([], 1);
    expect(asked(1)).toEqual({ wishes: [], returns: [{ leaseId: 'lease-id-0', spentTokens: 0 }] });
    book.granted(answer({ ended: ['lease-id-0'] }), 1);
    book.expect([], 2);
    expect([book.wishes(2), book.standing(2)]).toEqual([null, []]);
  });

  it('because the centre says so is spent from no more, and forgotten once it is settled', () => {
    grantAll(0);
    const open = reserved(100, 1);
    book.granted(answer({ ended: ['lease-id-0'] }), 2);
    expect(book.reserve(['b'], 1, 3)).toMatchObject({ refused: 'no-budget' });
    book.settle(open, 100, 4);
    expect(book.standing(4)).toMatchObject([{ leases: 0 }]);
  });

  it('at the end of the process all are given back', () => {
    grantAll(0);
    book.close();
    expect(asked(1).returns).toEqual([{ leaseId: 'lease-id-0', spentTokens: 0 }]);
  });
});

describe('across a restart', () => {
  const restart = (nowMs: number, elapsedMs: number, thenMs: number) => {
    const snapshot = leaseBookSnapshotSchema.parse(JSON.parse(JSON.stringify(book.snapshot(nowMs))));
    return LeaseBook.restore(snapshot, elapsedMs, thenMs, options);
  };

  it('R4: leases go on, shorter by the time that passed, whatever the new clock says', () => {
    grantAll(1_000_000);
    const restored = restart(1_000_000, 40 * HOUR, 5);
    expect(restored.standing(5)).toMatchObject([
      { title: 'budget "b"', leftTokens: 4_000, expiresInSeconds: 8 * 3_600 },
    ]);
    expect(restart(1_000_000, 48 * HOUR, 5).reserve(['b'], 1, 5)).toMatchObject({ refused: 'no-budget' });
  });

  it('what was reserved still is, until it is settled', () => {
    grantAll(0);
    const open = reserved(1_000, 1);
    const restored = restart(2, 0, 2);
    expect(restored.open()).toEqual([open]);
    expect(restored.standing(2)).toMatchObject([{ leftTokens: 3_000 }]);
    restored.settle(open, open.tokens, 3);
    expect(restored.standing(3)).toMatchObject([{ leftTokens: 3_000, spentTokens: 1_000 }]);
  });

  it('R1: a wish that was not answered is asked again under its id', () => {
    const { wishes } = asked(0);
    expect(asked(9, restart(1, 8, 9)).wishes).toEqual(wishes);
  });

  it('what a journal knows beyond the snapshot can be added', () => {
    grantAll(0);
    const restored = restart(1, 0, 1);
    restored.spend(['lease-id-0', 'gone'], 500, 2);
    expect(restored.standing(2)).toMatchObject([{ leftTokens: 3_500, spentTokens: 500 }]);
  });
});

it('asks in pieces when there are more budgets than one request takes', () => {
  const many = Array.from({ length: 1_200 }, (_, index) => ({ budgetId: `b${index}`, title: 'one of many' }));
  book.expect(many, 0);
  const counts: number[] = [];
  while (counts.length < 10 && book.wishes(0) !== null) counts.push(grantAll(0).length);
  // A budget may add two wishes at once.
  expect(counts).toEqual([499, 499, 202]);
  expect(reserved(1, 0, ['b1199']).leaseIds).toHaveLength(1);
});
