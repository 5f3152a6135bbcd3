import { describe, expect, it } from '@jest/globals';
import { fillTemplate, type TemplateValues, templateProblem } from './command-template.ts';
import { processEngineSchema } from './configuration.ts';
import { templateValues } from './process-template-engine.ts';

const values: TemplateValues = {
  modelPath: '/models/a b.gguf',
  servedModel: 'chat',
  host: '127.0.0.1',
  port: '8000',
  token: '{port}',
  contextSize: '4096',
  maxConcurrent: '4',
  deviceCount: '2',
  devices: '0,3',
  versionDigest: 'd',
  tensorParallel: '2',
};

describe('command templates', () => {
  it.each([
    ['nothing to fill in', '--verbose', '--verbose'],
    ['a variable', '{modelPath}', '/models/a b.gguf'],
    ['several, and text around', '--listen={host}:{port}', '--listen=127.0.0.1:8000'],
    ['braces that are meant as such', '{{"eager": {{"p": {port}}}}}', '{"eager": {"p": 8000}}'],
    ['what is filled in is not filled in again', '{token}', '{port}'],
    ['an empty one', '', ''],
  ])('%s', (_case, template, want) => {
    expect([templateProblem(template), fillTemplate(template, values)]).toEqual([null, want]);
  });

  it.each([
    ['an unknown variable', '{gpus}', /'\{gpus\}', which is no variable; there are \{modelPath\} .*\{tensorParallel\}/],
    ['no name at all', '{}', /'\{\}', which is no variable/],
    ['JSON that was not escaped', '{"a": 1}', /no variable.*written twice/],
    ['a brace that does not end', 'x{port', /lone '\{'/],
    ['a brace that does not begin', 'port}', /lone '\}'/],
    ['what every object has', '{constructor}', /no variable/],
  ])('%s is refused when the configuration is read', (_case, template, want) => {
    const { success, error } = processEngineSchema.safeParse({ kind: 'process', command: ['engine', template] });
    expect(success).toBe(false);
    expect(error?.issues[0]).toMatchObject({ path: ['command', 1], message: expect.stringMatching(want) });
  });

  it.each([
    ['a CPU', { deviceType: 'cpu', count: 4 }, undefined, ['4', '', '1']],
    ['bound devices', { deviceType: 'nvidia.com/gpu', count: 2 }, ['gpu-0', 'gpu-3'], ['2', '0,3', '2']],
    ['devices that another binds', { deviceType: 'cambricon.com/mlu', count: 8 }, undefined, ['8', '', '8']],
    ['an agent from before claims', undefined, undefined, ['1', '', '1']],
  ] as const)('counts devices of %s', (_case, claim, deviceIds, want) => {
    const { deviceCount, devices, tensorParallel } = templateValues(
      {
        replicaId: 'r',
        deploymentId: 'd',
        versionDigest: 'v',
        servedModel: 'm',
        modelPath: '/m',
        maxConcurrent: 1,
        maxQueue: 1,
        ...(claim === undefined ? {} : { claim: { ...claim, schedulingPolicy: { topologyScope: 'node' } } }),
        ...(deviceIds === undefined ? {} : { devices: [{ node: 'here', deviceIds: [...deviceIds] }] }),
      },
      { host: 'h', port: 1, token: 't' },
    );
    expect([deviceCount, devices, tensorParallel]).toEqual(want);
  });
});
