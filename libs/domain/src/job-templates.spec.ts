import { describe, expect, it } from '@jest/globals';
import { fillTemplate, JOB_TEMPLATES } from './job-templates.ts';
import type { JobKind } from './jobs.ts';

const job = (kind: JobKind, ...mounts: string[]) => ({ kind, mounts });

describe('a template', () => {
  it('becomes a command whose parameters are variables', () => {
    const evaluation = job('evaluation', 'base');
    const hostile = '"; rm -rf / #';
    const filled = fillTemplate('lm-eval', { tasks: hostile }, evaluation);
    expect(filled).toEqual({
      command: ['sh', '-c', expect.stringContaining('--tasks "$TEMPLATE_TASKS"')],
      environment: { TEMPLATE_TASKS: hostile, TEMPLATE_BATCH_SIZE: 'auto' },
    });
    expect(JSON.stringify('command' in filled && filled.command)).not.toContain('rm -rf');
  });

  it.each<[string, Record<string, string>, ReturnType<typeof job>, string]>([
    ['magic', {}, job('command'), 'there is no template magic; there are shell, trl-sft, vllm-batch, lm-eval'],
    ['lm-eval', { tasks: 'mmlu' }, job('command', 'base'), 'lm-eval is for jobs of kind evaluation'],
    ['trl-sft', {}, job('fine-tune', 'base'), 'trl-sft reads the mount dataset, which is not given'],
    ['trl-sft', {}, job('fine-tune'), 'trl-sft reads the mount base and dataset, which is not given'],
    ['shell', { script: 'true', colour: 'red' }, job('command'), 'shell has no parameter colour'],
    ['shell', { toString: 'x', script: 'true' }, job('command'), 'shell has no parameter toString'],
    ['lm-eval', {}, job('evaluation', 'base'), 'lm-eval needs the parameter tasks'],
  ])('%s %j is refused', (name, parameters, of, problem) => {
    expect(fillTemplate(name, parameters, of)).toEqual({ problem });
  });

  it.each(JOB_TEMPLATES.map((template) => [template.name, template] as const))(
    '%s reads only what it declares',
    (_name, { line, parameters, mounts }) => {
      const read = [...line.matchAll(/\$([A-Z_]+)/g)].map(([, variable]) => variable);
      const declared = [
        ...Object.keys(parameters).map((key) => `TEMPLATE_${key.toUpperCase().replaceAll('-', '_')}`),
        ...mounts.map((mount) => `ATOLL_${mount.toUpperCase()}_DIR`),
      ];
      expect(read.filter((variable) => variable !== 'ATOLL_OUTPUT_DIR').sort()).toEqual(declared.sort());
    },
  );
});
