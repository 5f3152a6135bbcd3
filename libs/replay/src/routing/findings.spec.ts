/** The orders of merit that were measured on the whole trace hold on its first minutes. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { finish, stepPromptTask, tasksOf } from '../study.ts';
import { parsePromptTrace } from '../traces/prompt-trace.ts';
import { comparePrompts, type PromptComparison } from './compare.ts';
import { promptFindings } from './findings.ts';
import { PROMPT_POLICY_NAMES } from './policies.ts';
import { DEFAULT_WORKER } from './worker.ts';

const EXCERPT = resolve(import.meta.dirname, '../../../../test/fixtures/traces/mooncake-conversation-1500.jsonl');

describe('orders of merit of routing', () => {
  const trace = parsePromptTrace(readFileSync(EXCERPT, 'utf8'));
  const study = { kind: 'prompts', trace, workers: 16, worker: DEFAULT_WORKER, estimateSigma: 0 } as const;
  const tasks = tasksOf(PROMPT_POLICY_NAMES, [1, 2], [0.5]);
  const comparisons = comparePrompts(tasks.map((task) => ({ task, outcome: finish(stepPromptTask(study, task)) })));
  const findings = promptFindings(comparisons);

  it('hold', () => {
    expect(findings.filter(({ holds }) => !holds)).toEqual([]);
    expect(findings).toHaveLength(6);
  });

  it('the reference formula herds: it is an order of magnitude behind taking turns', () => {
    const meanMs = (policy: string) => of(comparisons, policy).firstTokenMsMean!.mean;
    expect(meanMs('least-cost')).toBeGreaterThan(10 * meanMs('round-robin'));
  });

  it('A06 old reports change nothing for the ledger, to the last digit', () => {
    const { policy: _atoll, ...fresh } = of(comparisons, 'atoll');
    const { policy: _old, ...old } = of(comparisons, 'atoll-old');
    expect(old).toEqual(fresh);
  });
});

function of(comparisons: readonly PromptComparison[], policy: string): PromptComparison {
  return comparisons.find((each) => each.policy === policy)!;
}
