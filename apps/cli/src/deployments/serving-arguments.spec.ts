import { describe, expect, it } from '@jest/globals';
import { DEFAULT_ROUTING_POLICY } from '#domain';
import { aDeployment } from '../../test/builders.fixture.ts';
import { changesServing, parseAdapter, type ServingArguments, servingOf } from './serving-arguments.ts';

const current = aDeployment({
  routing: { ...DEFAULT_ROUTING_POLICY, spillMs: 7 },
  localScaling: { replicasMax: 5, rule: 'reference', targetInflight: 2 },
  nodes: { required: { site: 'a' }, preferred: {} },
});

describe('what the options say of how it is served', () => {
  it.each<[string, ServingArguments, boolean, object]>([
    ['nothing', {}, false, {}],
    ['an engine', { engine: 'vllm' }, false, { engine: 'vllm' }],
    ['no engine', { engine: false }, true, { engine: null }],
    ['a pick', { pick: 'power-of-two' }, false, { routing: { pick: 'power-of-two' } }],
    [
      'a pick, the rest as it is',
      { pick: 'least-cost' },
      true,
      { routing: { ...current.routing, pick: 'least-cost' } },
    ],
    ['local scaling', { localScaling: 3 }, false, { localScaling: { replicasMax: 3 } }],
    ['none', { localScaling: false }, true, { localScaling: null }],
    [
      'its rule, the bound as it is',
      { localRule: 'target-tracking' },
      true,
      { localScaling: { replicasMax: 5, rule: 'target-tracking', targetInflight: 2 } },
    ],
    [
      'nodes',
      { preferNode: { disk: 'nvme' } },
      true,
      { nodes: { required: { site: 'a' }, preferred: { disk: 'nvme' } } },
    ],
    [
      'adapters',
      { adapter: [{ name: 'legal', model: 'legal-lora', version: 3 }] },
      false,
      { adapters: [{ name: 'legal', model: 'legal-lora', version: 3 }] },
    ],
    ['no adapters', { adapter: false }, true, { adapters: [] }],
  ])('%s', (_name, options, hasCurrent, want) => {
    expect(servingOf(options, hasCurrent ? current : undefined)).toEqual(want);
    expect(changesServing(options)).toBe(Object.keys(want).length > 0);
  });

  it('A rule without a bound is refused where there is none yet', () => {
    expect(() => servingOf({ localRule: 'reference' })).toThrow('need --local-scaling');
    expect(changesServing({ localRule: 'reference' })).toBe(true);
  });

  it.each([
    ['legal=legal-lora:3', { name: 'legal', model: 'legal-lora', version: 3 }],
    ['org/legal:v1=legal-lora:12', { name: 'org/legal:v1', model: 'legal-lora', version: 12 }],
  ])('%s', (text, want) => expect(parseAdapter(text)).toEqual(want));

  it.each(['legal', 'legal=lora', 'legal=lora:0', '=lora:1', 'le gal=lora:1', 'legal=lora:x', ''])(
    '"%s" is refused',
    (text) => expect(() => parseAdapter(text)).toThrow(),
  );
});
