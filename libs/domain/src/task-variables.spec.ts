import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { mountNameProblem, mountVariable, TASK_VARIABLES } from './task-variables.ts';

describe('what a mount may be called', () => {
  it.each([
    ['base', null],
    ['base-model', null],
    ['checkpoints', null],
    ['output', 'ATOLL_OUTPUT_DIR'],
    ['checkpoint', 'ATOLL_CHECKPOINT_DIR'],
    ['resume', 'ATOLL_RESUME_DIR'],
    ['task', 'ATOLL_TASK_DIR'],
    ['instance', 'ATOLL_INSTANCE_DIR'],
  ])('%s', (name, variable) => {
    const problem = mountNameProblem(name);
    if (variable === null) expect(problem).toBeNull();
    else expect(problem).toContain(`told by ${variable}, which Atoll sets`);
  });

  it('is anything but what is Atoll’s own', () => {
    const taken = TASK_VARIABLES.flatMap((variable) => /^ATOLL_(.*)_DIR$/.exec(variable)?.[1] ?? []);
    expect(taken.length).toBeGreaterThan(3);
    for (const name of taken) {
      expect(mountNameProblem(name.toLowerCase().replaceAll('_', '-'))).not.toBeNull();
    }
  });

  it('gives each name a variable of its own', () => {
    const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/);
    fc.assert(
      fc.property(label, label, (one, other) => (mountVariable(one) === mountVariable(other)) === (one === other)),
    );
  });
});
