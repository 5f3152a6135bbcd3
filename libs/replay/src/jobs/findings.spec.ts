import { describe, expect, it } from '@jest/globals';
import { byClass } from '../classes.ts';
import { findingsOf } from '../finding.ts';
import type { ClassRanges, JobComparison } from './compare.ts';
import { jobFindingRules } from './findings.ts';
import type { JobPolicyName } from './policies.ts';

const exactly = (value: number) => ({ mean: value, min: value, max: value });

function comparison(
  policy: JobPolicyName,
  { highWait = 0, lost = 0, change = 0 }: { highWait?: number; lost?: number; change?: number },
): JobComparison {
  const ranges = { waitSecondsMean: exactly(highWait), waitSecondsP99: exactly(highWait) } as unknown as ClassRanges;
  return {
    policy,
    load: 0.82,
    classes: byClass(() => ranges),
    all: ranges,
    completionChangePercent: exactly(change),
    lostPercent: exactly(lost),
    utilisationPercent: exactly(80),
    stops: exactly(0),
    impossible: exactly(0),
  };
}

const waits = (fifo: number, priority: number, preemption: number) => [
  comparison('fifo-backfill', { highWait: fifo }),
  comparison('priority', { highWait: priority }),
  comparison('preempt-save', { highWait: preemption }),
];

describe('findings about jobs', () => {
  it('hold when each step helps, and say what was measured here', () => {
    const [finding] = findingsOf(jobFindingRules(120), waits(82_800, 7_200, 60));
    expect(finding).toMatchObject({
      measured: '23.00 h, 2.00 h, 0.02 h',
      reference: '23 h, 1.65 h, 0.00 h',
      holds: true,
    });
  });

  it('do not hold when a step does not help', () => {
    const [finding] = findingsOf(jobFindingRules(120), waits(3_600, 7_200, 60));
    expect(finding).toMatchObject({ holds: false });
  });

  it('are silent about policies that were not replayed', () => {
    expect(findingsOf(jobFindingRules(120), waits(3, 2, 1).slice(1))).toEqual([]);
  });

  it.each([
    ['all met', { highWait: 120, lost: 0.2, change: -35 }, [true, true, true]],
    ['all missed', { highWait: 121, lost: 0.21, change: -34.9 }, [false, false, false]],
  ])('hold the default to its bars: %s', (_name, measures, want) => {
    const findings = findingsOf(jobFindingRules(120), [comparison('atoll', measures)]);
    expect(findings.map(({ holds }) => holds)).toEqual(want);
  });
});
