import { describe, expect, it } from '@jest/globals';
import { DEFAULT_ABORT_RULE, FIRST_BYTE_BOUNDS_MS, type VersionOutcomes } from '#domain';
import { rollout } from '../fleet.builders.ts';
import { abortReason, medianFirstByteMs, wilsonLowerBound } from './abort.ts';
import type { RolloutFacts, RolloutReplica } from './facts.ts';

/** `bucket`: the one that all first bytes fall into. */
function counted(requests: number, failures = 0, bucket = 3): VersionOutcomes {
  const firstByteCounts = Array.from({ length: FIRST_BYTE_BOUNDS_MS.length + 1 }, (_, at) =>
    at === bucket ? requests - failures : 0,
  );
  return { requests, failures, firstByteCounts };
}

function replica(rest: Partial<RolloutReplica> = {}): RolloutReplica {
  return { clusterId: 'a', versionId: 'v2', phase: 'Ready', restarts: 0, reason: '', ...rest };
}

function facts(rest: Partial<RolloutFacts> = {}): RolloutFacts {
  const clusters = [{ id: 'a', name: 'a', labels: {}, contact: 'present', syncFailure: null }] as const;
  const of = rollout('chat', { openClusterIds: ['a'] });
  return { rollout: of, nowMs: 0, clusters, replicas: [replica()], outcomes: null, waiting: null, ...rest };
}

describe('whether the new version is worse', () => {
  const table: {
    name: string;
    from?: VersionOutcomes;
    to?: VersionOutcomes;
    replicas?: RolloutReplica[];
    want: string | null;
  }[] = [
    { name: 'nothing counted yet', want: null },
    { name: 'as good', from: counted(100, 1), to: counted(100, 1), want: null },
    { name: 'one failure of twenty may be chance', from: counted(1_000), to: counted(20, 1), want: null },
    { name: 'two may be, too', from: counted(1_000), to: counted(20, 2), want: null },
    {
      name: 'three are not',
      from: counted(1_000),
      to: counted(20, 3),
      want: 'the new version fails 15 % of 20 requests, the old one 0 % of 1000; 5 % more were allowed',
    },
    { name: 'all of nineteen prove nothing yet', from: counted(1_000), to: counted(19, 19), want: null },
    {
      name: 'all of twenty do',
      from: counted(1_000),
      to: counted(20, 20),
      want: 'the new version fails 100 % of 20 requests, the old one 0 % of 1000; 5 % more were allowed',
    },
    { name: 'the old one fails as much', from: counted(1_000, 500), to: counted(100, 50), want: null },
    { name: 'a little more than the margin, by few', from: counted(1_000, 10), to: counted(100, 8), want: null },
    {
      name: 'a little more than the margin, by many',
      from: counted(10_000, 100),
      to: counted(10_000, 800),
      want: 'the new version fails 8 % of 10000 requests, the old one 1 % of 10000; 5 % more were allowed',
    },
    {
      name: 'without requests to the old one it counts as faultless',
      from: counted(0),
      to: counted(100, 50),
      want: 'the new version fails 50 % of 100 requests, the old one 0 % of 0; 5 % more were allowed',
    },
    {
      name: 'four times as slow',
      from: counted(20, 0, 3),
      to: counted(20, 0, 5),
      want: 'the median first byte of the new version takes 300 ms, that of the old one 75 ms; 3 times as long was allowed',
    },
    { name: 'twice as slow', from: counted(20, 0, 4), to: counted(20, 0, 5), want: null },
    { name: 'seven times as slow, but by 32 ms', from: counted(20, 0, 0), to: counted(20, 0, 2), want: null },
    { name: 'too few of the new', from: counted(20, 0, 1), to: counted(19, 0, 9), want: null },
    { name: 'too few of the old', from: counted(19, 0, 1), to: counted(20, 0, 9), want: null },
    { name: 'slow beyond the last bound', from: counted(20, 0, 10), to: counted(20, 0, 10), want: null },
    { name: 'a failed start', replicas: [replica({ phase: 'Failed', restarts: 2 })], want: null },
    {
      name: 'three failed starts',
      replicas: [replica(), replica({ phase: 'Failed', restarts: 3, reason: 'out of memory' })],
      want: 'a replica of the new version failed 3 times in a: out of memory',
    },
    {
      name: 'as many restarts, but it serves',
      replicas: [replica({ phase: 'Ready', restarts: 9 })],
      want: null,
    },
    {
      name: 'the old version fails to start',
      replicas: [replica({ versionId: 'v1', phase: 'Failed', restarts: 9 })],
      want: null,
    },
  ];

  it.each(table)('$name', ({ from, to, replicas, want }) => {
    const outcomes = from === undefined ? null : { from, to: to! };
    const given = facts({ outcomes, ...(replicas === undefined ? {} : { replicas }) });
    expect(abortReason(given)).toBe(want);
  });

  it('never by itself without a rule', () => {
    const of = rollout('chat', { policy: { abort: null } });
    const outcomes = { from: counted(100), to: counted(100, 100) };
    const replicas = [replica({ phase: 'Failed', restarts: 99 })];
    expect(abortReason(facts({ rollout: of, outcomes, replicas }))).toBeNull();
  });

  it('by the numbers of its own rule', () => {
    const abort = { ...DEFAULT_ABORT_RULE, errorRateAbove: 0.5, requestsMin: 5, failedStarts: 1 };
    const of = rollout('chat', { policy: { abort } });
    const judge = (rest: Partial<RolloutFacts>) => abortReason(facts({ rollout: of, ...rest })) !== null;
    expect([
      judge({ outcomes: { from: counted(5), to: counted(5, 5) } }),
      judge({ outcomes: { from: counted(100), to: counted(100, 50) } }),
      judge({ replicas: [replica({ phase: 'Failed', restarts: 1 })] }),
    ]).toEqual([true, false, true]);
  });
});

describe('the numbers', () => {
  it.each([
    [0, 20, 0],
    [1, 20, 0.009],
    [3, 20, 0.052],
    [20, 20, 0.839],
    [5_000, 10_000, 0.49],
    [30, 20, 0.839],
  ])('at least of %i failures of %i: %d', (failures, requests, want) => {
    expect(wilsonLowerBound(failures, requests)).toBeCloseTo(want, 3);
  });

  const counts = (...given: number[]) =>
    Array.from({ length: FIRST_BYTE_BOUNDS_MS.length + 1 }, (_, at) => given[at] ?? 0);
  it.each([
    ['none', counts(), null],
    ['one in the first bucket: its middle', counts(1), 5],
    ['half and half: the border', counts(4, 4), 10],
    ['most in the second', counts(1, 3), 15],
    ['beyond the last bound: that bound', counts(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7), 6_400],
    ['gaps do not matter', counts(2, 0, 0, 3), 58.333],
  ])('median of %s', (_name, firstByteCounts, want) => {
    const median = medianFirstByteMs({ firstByteCounts });
    expect(median === null ? null : Math.round(median * 1_000) / 1_000).toBe(want);
  });
});
