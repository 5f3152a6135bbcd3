import { describe, expect, it } from '@jest/globals';
import { AffinityLedger, type DispatchedWork, type Ticket } from './affinity-ledger.ts';

const work = (workMs: number, rest: Partial<DispatchedWork> = {}): DispatchedWork => ({
  uncachedTokens: workMs * 10,
  workMs,
  prefillMs: workMs,
  tellsFirstToken: true,
  ...rest,
});

/** Where there is always a slot. */
const queuedMs = (ledger: AffinityLedger, id: string, nowMs: number) => ledger.queuedMs(id, 256, nowMs);

describe('the ledger', () => {
  it('predicts what is queued: all that was given, less what was worked since', () => {
    const ledger = new AffinityLedger();
    expect(queuedMs(ledger, 'a', 0)).toBe(0);
    ledger.dispatched('a', work(100), 0);
    ledger.dispatched('a', work(200), 10);
    expect([10, 60].map((nowMs) => queuedMs(ledger, 'a', nowMs))).toEqual([290, 240]);
    expect([queuedMs(ledger, 'b', 10), ledger.outstanding('a', 10), ledger.outstanding('b', 10)]).toEqual([0, 2, 0]);
  });

  it('expects of what takes longer than predicted a quarter more of what it took, so that a hung engine is avoided', () => {
    const ledger = new AffinityLedger();
    ledger.dispatched('a', work(100), 0);
    ledger.dispatched('a', work(200), 0);
    const queued = [80, 100, 400, 60_000].map((nowMs) => queuedMs(ledger, 'a', nowMs));
    expect(queued).toEqual([220, 225, 300, 15_200]);
  });

  it.each(['cancelled', 'failed'] as const)(
    'a hung engine is seen to hang while who waits behind it leaves: %s',
    (outcome) => {
      const ledger = new AffinityLedger();
      ledger.dispatched('a', work(100), 0);
      for (const nowMs of [1_000, 2_000, 4_000]) {
        const behind = ledger.dispatched('a', work(200), nowMs - 900);
        ledger.finished(behind, outcome, nowMs);
        expect(queuedMs(ledger, 'a', nowMs)).toBe(nowMs / 4);
      }
    },
  );

  it('waits for a slot as long as answers take, once as many are under way as there are slots', () => {
    const ledger = new AffinityLedger();
    const tickets = [0, 0, 0].map((nowMs) => ledger.dispatched('a', work(1), nowMs));
    for (const ticket of tickets) ledger.firstToken(ticket, 10);
    expect(ledger.queuedMs('a', 2, 10)).toBe(0);
    ledger.finished(tickets[0]!, 'answered', 1_010);
    // Two are under way: one ends every 1,000 ms ÷ slots, and one or two must.
    expect([3, 2, 1].map((slots) => ledger.queuedMs('a', slots, 1_010))).toEqual([0, 500, 2_000]);
    ledger.dispatched('a', work(3_000), 1_010);
    expect([3, 2, 1].map((slots) => ledger.queuedMs('a', slots, 1_010))).toEqual([3_000, 3_000, 3_000]);
  });

  it('adds what others gave a shared engine: who waits is a prompt ahead, each has a slot, and nothing is taken off', () => {
    const ledger = new AffinityLedger();
    const queued = (running: number, waiting: number, slots = 256) =>
      ledger.queuedMs('a', slots, 1_100, { running, waiting });
    // Nothing is measured yet: 1,000 tokens at 0.1 ms each.
    expect([queued(0, 0), queued(9, 0), queued(9, 3)]).toEqual([0, 0, 300]);
    const measured = ledger.dispatched('b', work(200, { uncachedTokens: 500 }), 0);
    ledger.firstToken(measured, 100);
    ledger.finished(measured, 'answered', 1_100);
    expect([queued(0, 3), queued(4, 0, 4), queued(4, 1, 4)]).toEqual([300, 250, 500]);
    ledger.dispatched('a', work(50), 1_100);
    expect([queued(0, 0), queued(0, 3), queued(4, 0, 4)]).toEqual([50, 350, 500]);
  });

  it('corrects itself by every first token', () => {
    const ledger = new AffinityLedger();
    const first = ledger.dispatched('a', work(100), 0);
    const second = ledger.dispatched('a', work(200), 0);
    ledger.firstToken(first, 150);
    expect([150, 250].map((nowMs) => queuedMs(ledger, 'a', nowMs))).toEqual([200, 100]);
    ledger.firstToken(second, 300);
    expect([queuedMs(ledger, 'a', 300), ledger.outstanding('a', 300)]).toEqual([0, 2]);
  });

  it('counts what it is told twice, or after the end, once', () => {
    const ledger = new AffinityLedger();
    const ticket = ledger.dispatched('a', work(100), 0);
    const other = ledger.dispatched('a', work(50), 0);
    for (const nowMs of [100, 110, 120]) ledger.firstToken(ticket, nowMs);
    for (const nowMs of [200, 210]) ledger.finished(ticket, 'answered', nowMs);
    ledger.firstToken(ticket, 220);
    expect([queuedMs(ledger, 'a', 110), ledger.outstanding('a', 220), ledger.latencyMs('a', 220)]).toEqual([
      40, 1, 200,
    ]);
    ledger.finished(other, 'failed', 230);
    expect([queuedMs(ledger, 'a', 230), ledger.outstanding('a', 230), ledger.latencyMs('a', 230)]).toEqual([0, 0, 200]);
  });

  it('takes answers in one piece to be prefilled as predicted', () => {
    const ledger = new AffinityLedger();
    for (const workMs of [100, 50, 30]) ledger.dispatched('a', work(workMs, { tellsFirstToken: false }), 0);
    expect([0, 120, 170, 200].map((nowMs) => queuedMs(ledger, 'a', nowMs))).toEqual([180, 60, 10, 0]);
    expect(ledger.outstanding('a', 200)).toBe(3);
  });

  it('learns how fast all are, and that one is not as the others', () => {
    const ledger = new AffinityLedger();
    expect(ledger.prefillMsPerToken('a', 0)).toBe(0.1);
    teach(ledger, 'a', 0.5, 50);
    expect(['a', 'b'].map((id) => ledger.prefillMsPerToken(id, 0))).toEqual([expect.closeTo(0.5), expect.closeTo(0.5)]);
    teach(ledger, 'b', 0.1, 200);
    expect(ledger.prefillMsPerToken('a', 0)).toBeGreaterThan(0.4);
    expect(ledger.prefillMsPerToken('b', 0)).toBeLessThan(0.25);
  });

  it('is not spoilt by the first request, in which engines compile', () => {
    const ledger = new AffinityLedger();
    ledger.firstToken(ledger.dispatched('a', work(100, { uncachedTokens: 1_000 }), 0), 60_000);
    expect(ledger.prefillMsPerToken('a', 0)).toBe(0.4);
    teach(ledger, 'a', 0.1, 20);
    expect(ledger.prefillMsPerToken('a', 0)).toBeLessThan(0.13);
  });

  it('learns within twenty requests that an engine is a hundred times slower than assumed', () => {
    const ledger = new AffinityLedger();
    teach(ledger, 'a', 10, 20);
    expect(ledger.prefillMsPerToken('a', 0)).toBeGreaterThan(7);
  });

  it('does not believe differences below a factor of 1.6: they are mostly chance, and feed on themselves', () => {
    const ledger = new AffinityLedger();
    teach(ledger, 'b', 0.1, 100);
    teach(ledger, 'a', 0.14, 100);
    expect(ledger.prefillMsPerToken('a', 0)).toBe(ledger.prefillMsPerToken('b', 0));
  });

  it('learns the same where two prompts are computed at once', () => {
    const ledger = new AffinityLedger();
    for (let index = 0; index < 100; index += 1) {
      const nowMs = index * 1_000;
      const [long, short] = [900, 100].map((uncachedTokens) => {
        const prefillMs = uncachedTokens * ledger.prefillMsPerToken('a', nowMs);
        return ledger.dispatched('a', { uncachedTokens, prefillMs, workMs: prefillMs, tellsFirstToken: true }, nowMs);
      }) as [Ticket, Ticket];
      // At 0.2 ms a token each has half of the device until the short one is done.
      ledger.firstToken(short, nowMs + 40);
      ledger.firstToken(long, nowMs + 200);
    }
    expect(ledger.prefillMsPerToken('a', 100_000)).toBeCloseTo(0.2, 2);
  });

  it('one hiccup counts for four times what was predicted at most', () => {
    const ledger = new AffinityLedger();
    teach(ledger, 'a', 0.1, 20);
    const ticket = ledger.dispatched('a', work(100), 0);
    ledger.firstToken(ticket, 60_000);
    expect(ledger.prefillMsPerToken('a', 60_000)).toBeLessThan(0.14);
  });

  it('R8 one that was slow is taken to be as the others again after a while without a measurement', () => {
    const ledger = new AffinityLedger();
    teach(ledger, 'b', 0.1, 300);
    teach(ledger, 'a', 0.4, 50);
    const later = [0, 10_000, 120_000].map((nowMs) => ledger.prefillMsPerToken('a', nowMs));
    expect(later[0]).toBeGreaterThan(0.3);
    expect(later[1]).toBeLessThan(later[0]!);
    expect(later[2]).toBe(ledger.prefillMsPerToken('b', 120_000));
  });

  it('does not learn from starts, from fetching, from whole caches or from answers in one piece', () => {
    const ledger = new AffinityLedger();
    teach(ledger, 'a', 0.1, 20);
    const told = (rest: Partial<DispatchedWork>, tookMs: number) => {
      ledger.firstToken(ledger.dispatched('a', { ...work(100), ...rest }, 0), tookMs);
    };
    told({ workMs: 5_100 }, 5_100);
    told({ uncachedTokens: 0, prefillMs: 0, workMs: 0 }, 900);
    told({ tellsFirstToken: false }, 900);
    expect(ledger.prefillMsPerToken('a', 0)).toBeCloseTo(0.1, 6);
  });

  it('R8 a latency of more than ten seconds ago is none', () => {
    const ledger = new AffinityLedger();
    ledger.finished(ledger.dispatched('a', work(1), 0), 'answered', 500);
    ledger.finished(ledger.dispatched('a', work(1), 500), 'answered', 1_500);
    ledger.finished(ledger.dispatched('a', work(1), 1_500), 'cancelled', 9_000);
    expect([1_500, 11_500, 11_501].map((nowMs) => ledger.latencyMs('a', nowMs))).toEqual([600, 600, null]);
  });

  it('smooths the load by what is in flight at every second', () => {
    const ledger = new AffinityLedger({ loadAlpha: 0.8 });
    const tickets = [0, 0].map((nowMs) => ledger.dispatched('a', work(1), nowMs));
    expect([999, 1_000, 2_500].map((nowMs) => ledger.load('a', nowMs))).toEqual([0, 1.6, expect.closeTo(1.92)]);
    for (const ticket of tickets) ledger.finished(ticket, 'answered', 2_600);
    expect([ledger.load('a', 3_000), ledger.load('b', 3_000)]).toEqual([expect.closeTo(0.384), 0]);
  });

  it('forgets an engine that started anew; what is told of its requests later counts nothing', () => {
    const ledger = new AffinityLedger();
    const lost = ledger.dispatched('a', work(100), 0);
    ledger.forget('a');
    const next = ledger.dispatched('a', work(50), 10);
    ledger.firstToken(lost, 20);
    ledger.finished(lost, 'answered', 20);
    expect([queuedMs(ledger, 'a', 20), ledger.outstanding('a', 20), ledger.latencyMs('a', 20)]).toEqual([40, 1, null]);
    ledger.finished(next, 'answered', 60);
    ledger.retain(new Set());
    expect(ledger.latencyMs('a', 60)).toBeNull();
  });

  it('keeps the account of a replica that is gone until its last request is', () => {
    const ledger = new AffinityLedger();
    const ticket = ledger.dispatched('a', work(100), 0);
    ledger.retain(new Set());
    expect(ledger.outstanding('a', 0)).toBe(1);
    ledger.finished(ticket, 'failed', 1);
    ledger.retain(new Set());
    expect(ledger.outstanding('a', 1)).toBe(0);
  });

  it('a request of which nothing is heard for an hour is lost', () => {
    const ledger = new AffinityLedger();
    const lost = ledger.dispatched('a', work(100), 0);
    expect(ledger.outstanding('a', 3_599_999)).toBe(1);
    expect([ledger.outstanding('a', 3_600_000), queuedMs(ledger, 'a', 3_600_000)]).toEqual([0, 0]);
    ledger.finished(lost, 'answered', 3_600_001);
    expect([ledger.outstanding('a', 3_600_001), ledger.latencyMs('a', 3_600_001)]).toEqual([0, null]);
  });

  it('a clock that goes back makes nothing negative', () => {
    const ledger = new AffinityLedger();
    const ticket = ledger.dispatched('a', work(100), 1_000);
    expect(queuedMs(ledger, 'a', 500)).toBe(100);
    ledger.firstToken(ticket, 400);
    ledger.finished(ticket, 'answered', 300);
    expect([queuedMs(ledger, 'a', 300), ledger.latencyMs('a', 300)]).toEqual([0, 0]);
    expect(ledger.prefillMsPerToken('a', 300)).toBeGreaterThan(0);
  });
});

/** So many prompts of 1,000 tokens, one after the other, at so many milliseconds a token, as predicted then. */
function teach(ledger: AffinityLedger, replicaId: string, msPerToken: number, count: number): void {
  for (let index = 0; index < count; index += 1) {
    const prefillMs = 1_000 * ledger.prefillMsPerToken(replicaId, 0);
    const ticket = ledger.dispatched(replicaId, work(prefillMs, { uncachedTokens: 1_000 }), 0);
    // The prompt before it ended at the same moment, so that this is what it took.
    ledger.firstToken(ticket, 1_000 * msPerToken);
    ledger.finished(ticket, 'cancelled', 0);
  }
}
