import { describe, expect, it } from '@jest/globals';
import type { OutcomesMessage } from '#contracts';
import { MonotonicClock } from './fleet-liveness.ts';
import { NO_OUTCOMES, OutcomesMemory, outcomesSince } from './outcomes-memory.ts';

const DIGEST = 'a'.repeat(64);

function counts(requests: number, failures = 0, fast = requests) {
  return { requests, failures, firstByteCounts: [fast, ...NO_OUTCOMES.firstByteCounts.slice(1)] };
}

function said(sequence: number, requests: number, change: { gatewayId?: string; failures?: number } = {}) {
  const { gatewayId = 'g1', failures = 0 } = change;
  const entry = { deploymentId: 'd', versionDigest: DIGEST, ...counts(requests, failures) };
  return { gatewayId, sequence, entries: [entry] } satisfies OutcomesMessage;
}

class SetClock extends MonotonicClock {
  atMs = 0;

  override nowMs(): number {
    return this.atMs;
  }
}

function memory() {
  const clock = new SetClock();
  return { clock, memory: new OutcomesMemory(clock) };
}

describe('what gateways say of answers', () => {
  const cases: { name: string; messages: OutcomesMessage[]; want: [verdicts: string, requests: number] }[] = [
    { name: 'is added over gateways', messages: [said(1, 3), said(1, 4, { gatewayId: 'g2' })], want: ['tt', 7] },
    { name: 'is cumulative', messages: [said(1, 3), said(2, 5)], want: ['tt', 5] },
    { name: 'may be lost in between', messages: [said(1, 3), said(9, 30)], want: ['tt', 30] },
    { name: 'may be repeated', messages: [said(1, 3), said(2, 5), said(2, 5)], want: ['tts', 5] },
    { name: 'may be late', messages: [said(1, 3), said(3, 8), said(2, 5)], want: ['tts', 8] },
    {
      name: 'may leave a version out',
      messages: [said(1, 3), { ...said(2, 0), entries: [] }, said(3, 4)],
      want: ['ttt', 4],
    }, // prettier-ignore
    { name: 'may begin again at 0', messages: [said(1, 10), said(2, 2), said(3, 3)], want: ['ttt', 13] },
    { name: 'counts from when it was first heard', messages: [said(7, 1_000), said(8, 1_004)], want: ['tt', 4] },
  ];
  it.each(cases)('$name', ({ messages, want }) => {
    const { memory: outcomes } = memory();
    const verdicts = messages.map((message) => outcomes.take(message)[0]).join('');
    expect([verdicts, outcomes.of('d', DIGEST).requests]).toEqual(want);
  });

  it('keeps failures and times to the first byte apart by version and deployment', () => {
    const { memory: outcomes } = memory();
    outcomes.take(said(1, 4, { failures: 2 }));
    expect(outcomes.of('d', DIGEST)).toEqual(counts(4, 2));
    expect([outcomes.of('e', DIGEST), outcomes.of('d', 'b'.repeat(64))]).toEqual([NO_OUTCOMES, NO_OUTCOMES]);
  });

  it('stays counted when its gateway is forgotten, and is not counted twice when that one speaks again', () => {
    const { clock, memory: outcomes } = memory();
    outcomes.take(said(1, 10));
    clock.atMs = 600_001;
    outcomes.take(said(1, 1, { gatewayId: 'g2' }));
    expect(outcomes.of('d', DIGEST).requests).toBe(11);
    outcomes.take(said(2, 12));
    outcomes.take(said(3, 15));
    expect(outcomes.of('d', DIGEST).requests).toBe(14);
  });

  it('is bounded in gateways: the one heard of longest ago makes room', () => {
    const { memory: outcomes } = memory();
    for (let index = 0; index <= 1_000; index += 1) outcomes.take(said(1, 1, { gatewayId: `g${index}` }));
    expect(outcomes.take(said(1, 1, { gatewayId: 'g1' }))).toBe('stale');
    expect(outcomes.take(said(2, 1, { gatewayId: 'g0' }))).toBe('taken');
    expect(outcomes.of('d', DIGEST).requests).toBe(1_001);
  });

  it('is bounded in versions of one gateway: what it left out for longest makes room', () => {
    const { memory: outcomes } = memory();
    const tell = (sequence: number, deploymentId: string, requests: number) => {
      const message = said(sequence, requests);
      outcomes.take({ ...message, entries: [{ ...message.entries[0]!, deploymentId }] });
    };
    for (let index = 0; index <= 2_000; index += 1) tell(index + 1, `d${index}`, 1);
    tell(3_000, 'd1', 3);
    tell(3_001, 'd0', 3); // told anew, as if from 0: it was forgotten
    expect(['d1', 'd0'].map((id) => outcomes.of(id, DIGEST).requests)).toEqual([3, 4]);
  });

  it('since a moment is never negative', () => {
    expect(outcomesSince(counts(5, 1), counts(2, 3))).toEqual(counts(3, 0));
  });
});
