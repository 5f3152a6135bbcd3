/** The checks of jobs can fail: each rule that is broken on purpose is found within some seeds, by its own check. */
import { describe, expect, it } from '@jest/globals';
import { reconcileTasks } from '#domain';
import { nextTaskStep } from '../../apps/agent/src/jobs/task-steps.ts';
import { type Rules, simulate, WITH_JOBS } from './fleet.ts';
import type { TaskRules } from './tasks.ts';

const SEEDS_MAX = 20;

const agentWith = (rules: TaskRules): Partial<Rules> => ({ agent: { ...WITH_JOBS.agent, ...rules } });

/** Does not look at which devices are in use. */
const greedy: TaskRules['reconcileTasks'] = (desired, local, nowMs) => {
  const tasks = local.tasks.map((task) => ({ ...task, devices: [] }));
  return reconcileTasks({ ...desired, replicas: [] }, { ...local, tasks }, nowMs);
};

/** Ends whatever has run for a while. */
const impatient: TaskRules['reconcileTasks'] = (desired, local, nowMs) => [
  ...reconcileTasks(desired, local, nowMs),
  ...desired.tasks
    .filter(({ taskId }) => local.tasks.some((task) => task.taskId === taskId && task.phase === 'Running'))
    .map((task) => {
      const stop = { cause: 'drained', reason: 'it has run for long enough', wantsCheckpoint: false } as const;
      return { action: 'stop' as const, task, stop };
    }),
];

/** Takes a command for over that was only told to end. */
const hasty: TaskRules['nextTaskStep'] = (facts) => (facts.stop?.isTold === true ? 'conclude' : nextTaskStep(facts));

describe('R19: a broken rule about jobs is found', () => {
  it.each<[string, RegExp, Partial<Rules>]>([
    ['an agent that does not look at its devices', /^invariant 2: /, agentWith({ reconcileTasks: greedy })],
    ['a runner that no silence disturbs', /^invariant 4: /, agentWith({ silenceStep: () => 'go-on' })],
    ['an agent that stops what it was not told to', /^invariant 7: /, agentWith({ reconcileTasks: impatient })],
    ['an agent that says too early that it ended', /^invariant 4: /, agentWith({ nextTaskStep: hasty })],
  ])(
    '%s: %s',
    async (_case, want, broken) => {
      const found: string[] = [];
      for (let seed = 1; seed <= SEEDS_MAX && !found.some((violation) => want.test(violation)); seed += 1) {
        const { violation } = await simulate(seed, { ...WITH_JOBS, ...broken });
        if (violation !== null) found.push(`${violation} (seed ${seed})`);
      }
      expect(found.at(-1)).toMatch(want);
    },
    120_000,
  );
});
