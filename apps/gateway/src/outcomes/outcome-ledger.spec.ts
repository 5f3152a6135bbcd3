import { describe, expect, it } from '@jest/globals';
import type { ForwardOutcome } from '#inference';
import { type AttemptVerdict, attemptVerdict, OutcomeLedger } from './outcome-ledger.ts';

const completed = (status: number): ForwardOutcome => ({
  kind: 'completed',
  status,
  bytesSent: 1,
  isEventStream: false,
  usage: null,
  contentEvents: 0,
});
const refused = (
  cause: 'connect' | 'reset' | 'timeout' | 'status' | 'aborted',
  status?: number,
  headers = ['X-Atoll-Version', 'a'.repeat(64)],
): ForwardOutcome => ({
  kind: 'refused',
  cause,
  ...(status === undefined ? {} : { upstream: { status, headers, body: null } }),
});
const broken = (cause: 'reset' | 'timeout' | 'unfinished' | 'reported' | 'aborted'): ForwardOutcome => ({
  kind: 'broken',
  cause,
  status: 200,
  bytesSent: 1,
  usage: null,
  contentEvents: 0,
});

describe('what an attempt says of its version', () => {
  it.each<[string, 'direct' | 'dialled', ForwardOutcome, AttemptVerdict]>([
    ['a good answer', 'direct', completed(200), 'succeeded'],
    ['what the client did wrong', 'direct', completed(400), 'succeeded'],
    ['an error that cannot be tried elsewhere', 'direct', completed(500), 'failed'],
    ['a full engine that works', 'direct', refused('status', 429), 'succeeded'],
    ['unavailable', 'direct', refused('status', 503), 'failed'],
    [
      'the agent itself, of a replica that drains: no engine had a part in it',
      'dialled',
      refused('status', 503, []),
      'none',
    ],
    ['no head in time', 'direct', refused('timeout'), 'failed'],
    ['cut before its first byte', 'direct', refused('reset'), 'failed'],
    ['no socket of its cluster answered', 'dialled', refused('connect'), 'failed'],
    ['the advertised address did not answer: no replica had a part in it', 'direct', refused('connect'), 'none'],
    ['called back by the gateway', 'dialled', refused('aborted'), 'none'],
    ['broken after its first byte', 'dialled', broken('reset'), 'failed'],
    ['a stream that stalled', 'dialled', broken('timeout'), 'failed'],
    ['a stream without its end', 'dialled', broken('unfinished'), 'failed'],
    ['an error event of the engine', 'dialled', broken('reported'), 'failed'],
    ['called back half-way', 'dialled', broken('aborted'), 'none'],
    [
      'a client that left before the first byte',
      'direct',
      { kind: 'client-gone', bytesSent: 0, usage: null, contentEvents: 0 },
      'none',
    ],
    [
      'a client that left after it',
      'direct',
      { kind: 'client-gone', bytesSent: 1, usage: null, contentEvents: 0 },
      'succeeded',
    ],
  ])('%s', (_name, path, outcome, want) => expect(attemptVerdict({ path }, outcome)).toBe(want));
});

describe('the ledger of outcomes', () => {
  it('counts each version of a deployment for itself', () => {
    const ledger = new OutcomeLedger();
    ledger.firstByte('d', 'old', 200, 12);
    ledger.finished('d', 'old', 'succeeded');
    ledger.finished('d', 'new', 'failed');
    ledger.finished('d', 'new', 'none');
    ledger.finished('e', 'new', 'succeeded');
    const none = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    expect(ledger.entries()).toEqual([
      { deploymentId: 'e', versionDigest: 'new', requests: 1, failures: 0, firstByteCounts: none },
      { deploymentId: 'd', versionDigest: 'new', requests: 1, failures: 1, firstByteCounts: none },
      { deploymentId: 'd', versionDigest: 'old', requests: 1, failures: 0, firstByteCounts: none.with(1, 1) },
    ]);
  });

  it.each([
    [0, 0],
    [10, 0],
    [10.1, 1],
    [6_400, 9],
    [6_401, 10],
    [600_000, 10],
  ])('a first byte after %d ms is counted at %d', (elapsedMs, wantIndex) => {
    const ledger = new OutcomeLedger();
    ledger.firstByte('d', 'v', 200, elapsedMs);
    expect(ledger.entries()[0]!.firstByteCounts.indexOf(1)).toBe(wantIndex);
  });

  it('a quick error makes no version fast', () => {
    const ledger = new OutcomeLedger();
    ledger.firstByte('d', 'v', 500, 1);
    expect([ledger.entries(), ledger.changes]).toEqual([[], 0]);
  });

  it('what it handed out does not change afterwards', () => {
    const ledger = new OutcomeLedger();
    ledger.firstByte('d', 'v', 200, 1);
    const before = ledger.entries();
    ledger.firstByte('d', 'v', 200, 1);
    expect([before[0]!.firstByteCounts[0], ledger.entries()[0]!.firstByteCounts[0]]).toEqual([1, 2]);
  });

  it('is bounded: what was used longest ago is forgotten', () => {
    const ledger = new OutcomeLedger(3);
    for (const version of ['a', 'b', 'c']) ledger.finished('d', version, 'succeeded');
    ledger.finished('d', 'a', 'succeeded');
    ledger.finished('e', 'd', 'succeeded');
    ledger.finished('f', 'e', 'succeeded');
    expect(ledger.entries().map(({ versionDigest }) => versionDigest)).toEqual(['e', 'd', 'a']);
    for (let index = 0; index < 100; index += 1) ledger.finished(`d${index}`, 'v', 'failed');
    expect(ledger.entries()).toHaveLength(3);
  });
});
