/** The orders of merit that were measured on whole traces hold on excerpts of them. Slower than most specs: seconds. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it, jest } from '@jest/globals';
import { findingsOf } from './finding.ts';
import { parseFleet } from './fleet.ts';
import { compareJobs } from './jobs/compare.ts';
import { jobFindingRules } from './jobs/findings.ts';
import { JOB_POLICY_NAMES } from './jobs/policies.ts';
import { compareRequests } from './requests/compare.ts';
import { REQUEST_FINDING_RULES } from './requests/findings.ts';
import { REQUEST_POLICY_NAMES } from './requests/policies.ts';
import { finish, stepJobTask, stepRequestTask, tasksOf } from './study.ts';
import { parseJobTrace } from './traces/job-trace.ts';
import { parseRequestTrace } from './traces/request-trace.ts';

jest.setTimeout(300_000);

const read = (name: string) =>
  readFileSync(resolve(import.meta.dirname, '../../../test/fixtures/traces', name), 'utf8');

/** Those that no claim speaks of are left out. */
const POLICIES = JOB_POLICY_NAMES.filter((name) => name !== 'c-mu' && name !== 'dynamic-weighted');

describe('orders of merit', () => {
  it('of training jobs, and the bars of the default policy, on fewer jobs and a fleet as much smaller', () => {
    const trace = parseJobTrace(read('philly-2000.csv')).slice(0, 1_200);
    const study = { kind: 'jobs', trace, fleet: parseFleet('8x8'), cycleSeconds: 60, estimateSigma: 0 } as const;
    const tasks = tasksOf(POLICIES, [1], [0.82]);
    const comparisons = compareJobs(tasks.map((task) => ({ task, outcome: finish(stepJobTask(study, task)) })));
    const findings = findingsOf(jobFindingRules(120), comparisons);
    expect(findings.map(({ claim, holds }) => [holds, claim]).filter(([holds]) => !holds)).toEqual([]);
    expect(findings).toHaveLength(6);
  });

  it('of requests, but for how much class-shortest helps in the first minutes', () => {
    const trace = parseRequestTrace(read('azure-conv-3000.csv'));
    const study = { kind: 'requests', trace, workers: 4, estimateSigma: 0 } as const;
    const tasks = tasksOf(REQUEST_POLICY_NAMES, [1, 2, 3], [0.85, 1.1]);
    const comparisons = compareRequests(tasks.map((task) => ({ task, outcome: finish(stepRequestTask(study, task)) })));
    const findings = findingsOf(REQUEST_FINDING_RULES, comparisons);
    expect(findings.map(({ holds }) => holds)).toEqual([true, false, true, true, true]);
    expect(findings[1]!.measured).toMatch(/^-1[45]\.\d % and -1[45]\.\d %; 100\.0 %/);
  });
});
