import { beforeEach, describe, expect, it } from '@jest/globals';
import { OUTCOMES_BYTES_MAX, OUTCOMES_ENTRIES_MAX, type OutcomesMessage, outcomesSchema } from '#contracts';
import type { NatsSession } from '#messaging';
import { createLogger } from '#telemetry';
import { fitting, OutcomeFeed } from './outcome-feed.ts';
import { OutcomeLedger } from './outcome-ledger.ts';

const GATEWAY = '01900000-0000-7000-8000-000000000001';
const DEPLOYMENT = '01900000-0000-7000-8000-000000000002';
const DIGEST = 'a'.repeat(64);

let told: OutcomesMessage[];
let state: 'connected' | 'disconnected';
let isRefusing: boolean;
let ledger: OutcomeLedger;
let feed: OutcomeFeed;

beforeEach(() => {
  told = [];
  state = 'connected';
  isRefusing = false;
  ledger = new OutcomeLedger();
  feed = new OutcomeFeed(GATEWAY, ledger, createLogger({ process: 'spec', level: 'silent' }));
  const connection = {
    publish: (_subject: string, bytes: Uint8Array) => {
      if (isRefusing) throw new Error('closed');
      told.push(outcomesSchema.parse(JSON.parse(Buffer.from(bytes).toString())));
    },
  };
  feed.follow({ connection, status: () => ({ state }) } as unknown as NatsSession);
});
// It also stops the interval, so nothing outlives a test.
const ticks = (count: number) => {
  for (let tick = 0; tick < count; tick += 1) feed.tick();
};

describe('telling how answers went', () => {
  it('says nothing while nothing happens', () => {
    ticks(10);
    feed.stop();
    expect(told).toEqual([]);
  });

  it('a change is told three times, so that one lost message hides nothing; counts are whole each time', () => {
    ledger.finished(DEPLOYMENT, DIGEST, 'failed');
    ticks(10);
    ledger.finished(DEPLOYMENT, DIGEST, 'succeeded');
    ticks(1);
    feed.stop();
    expect(told.map(({ sequence, entries }) => [sequence, entries[0]!.requests, entries[0]!.failures])).toEqual([
      [1, 1, 1],
      [2, 1, 1],
      [3, 1, 1],
      [4, 2, 1],
      [5, 2, 1],
    ]);
    expect(told.every(({ gatewayId }) => gatewayId === GATEWAY)).toBe(true);
  });

  it('what happened while NATS was out of reach is told afterwards', () => {
    state = 'disconnected';
    ledger.finished(DEPLOYMENT, DIGEST, 'succeeded');
    ticks(10);
    expect(told).toEqual([]);
    state = 'connected';
    ticks(1);
    feed.stop();
    expect(told[0]).toMatchObject({ sequence: 1, entries: [{ requests: 1 }] });
  });

  it('a message that cannot be sent harms nobody', () => {
    isRefusing = true;
    ledger.finished(DEPLOYMENT, DIGEST, 'succeeded');
    ticks(1);
    isRefusing = false;
    ticks(1);
    feed.stop();
    expect(told.map(({ sequence }) => sequence)).toEqual([2, 3]);
  });

  it('the last word is said when it stops, and none after it', () => {
    ledger.finished(DEPLOYMENT, DIGEST, 'succeeded');
    feed.stop();
    ledger.finished(DEPLOYMENT, DIGEST, 'succeeded');
    ticks(5);
    expect(told).toHaveLength(1);
  });

  it('a full ledger with large counts stays within the bound, those used last first', () => {
    feed.stop();
    const entries = Array.from({ length: OUTCOMES_ENTRIES_MAX }, (_, index) => ({
      deploymentId: DEPLOYMENT,
      versionDigest: index.toString(16).padStart(64, '0'),
      requests: 9_007_199_254_740_991,
      failures: 9_007_199_254_740_991,
      firstByteCounts: Array.from({ length: 11 }, () => 9_007_199_254_740_991),
    }));
    const kept = fitting(entries);
    const message = { gatewayId: GATEWAY, sequence: Number.MAX_SAFE_INTEGER, entries: kept };
    expect(JSON.stringify(message).length).toBeLessThanOrEqual(OUTCOMES_BYTES_MAX);
    expect(kept.length).toBeGreaterThan(400);
    expect(kept[0]).toBe(entries[0]);
    expect(fitting(entries.slice(0, 10))).toHaveLength(10);
  });
});
