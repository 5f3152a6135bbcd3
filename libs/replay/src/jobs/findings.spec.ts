import { describe, expect, it } from '@jest/globals';
import { byClass } from '../classes.ts';
import { findingsOf } from '../finding.ts';
import type { ClassRanges, JobComparison } from './compare.ts';
import { jobFindingRules } from './findings.ts';
import type { JobPolicyName } from './policies.ts';

interface Measures {
  readonly highWait?: number;
  readonly lost?: number;
  readonly change?: number;
  readonly completion?: number;
  /** Mean of the own run times. */
  readonly run?: number;
}

const exactly = (value: number) => ({ mean: value, min: value, max: value });

function comparison(
  policy: JobPolicyName,
  { highWait = 0, lost = 0, change = 0, completion = 100, run = 1 }: Measures,
): JobComparison {
  const ranges = {
    waitSecondsMean: exactly(highWait),
    waitSecondsP99: exactly(highWait),
    completionSecondsMean: exactly(completion),
    runSecondsMean: exactly(run),
  } as unknown as ClassRanges;
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
      measured: '23.00 h, 2.00 h (-91.3 %), 0.02 h (-99.9 %)',
      reference: '23.00 h, 1.65 h (-92.8 %), 0.00 h (-100.0 %)',
      holds: true,
    });
  });

  it('do not hold when a step helps by far less than it did', () => {
    const [finding] = findingsOf(jobFindingRules(120), waits(82_800, 16_560, 60));
    expect(finding).toMatchObject({ measured: '23.00 h, 4.60 h (-80.0 %), 0.02 h (-99.9 %)', holds: false });
  });

  it('tell nothing where nobody waits', () => {
    const [finding] = findingsOf(jobFindingRules(120), waits(0, 0, 0));
    expect(finding).toMatchObject({ measured: '0.00 h, 0.00 h, 0.00 h: there is nothing to fall from', holds: null });
  });

  it('speak of the steps that were replayed, the default for the last of them', () => {
    const both = [comparison('fifo-backfill', { highWait: 82_800 }), comparison('atoll', { highWait: 60 })];
    expect(findingsOf(jobFindingRules(120), both)[0]).toMatchObject({
      measured: '23.00 h, 0.02 h (-99.9 %)',
      reference: '23.00 h, 0.00 h (-100.0 %)',
      holds: true,
    });
  });

  it.each([
    ['as far as it did', -31, -39, 1, true],
    ['nearly as far', -21, -29, 1, true],
    ['not as far', -20, -39, 1, false],
    ['the wrong way round', -39, -31, 1, false],
    ['as far as can be, which is not as far as it did', -10, -11, 84, null],
  ])('the completion falls %s', (_name, aged, shortest, run, want) => {
    const [finding] = findingsOf(jobFindingRules(120), [
      comparison('fifo-backfill', { run }),
      comparison('class-shortest-aged', { change: aged }),
      comparison('class-shortest', { change: shortest }),
    ]);
    expect(finding).toMatchObject({ reference: '0.0 %, -31.0 %, -39.0 %', holds: want });
  });

  it('the bar of the completion is for traces on which waits can be spared', () => {
    const of = (run: number) => [comparison('fifo-backfill', { run }), comparison('atoll', { change: -11 })];
    const last = (run: number) => findingsOf(jobFindingRules(120), of(run)).at(-1);
    expect(last(64)).toMatchObject({ measured: '-11.0 %; -36.0 % were nothing ever to wait', holds: false });
    expect(last(66)).toMatchObject({
      measured: '-11.0 %; -34.0 % were nothing ever to wait: too little waits here to tell',
      holds: null,
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
