import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { autoClaim } from './auto-claim.ts';
import { costsOf, DEFAULT_FINE_TUNE, DEFAULT_SERVING, type Purpose } from './costs.ts';
import { groupsOf } from './device-groups.ts';
import { ENGINE_ARGUMENTS, ENGINE_NAMES } from './engine-arguments.ts';
import { KNOWN_MODELS, type KnownModel, MACHINES, type Machine, machines } from './known-models.builders.ts';
import {
  configProblem,
  type LayerShape,
  type ModelShape,
  parametersOf,
  shapeFromConfig,
  shapeFromGraph,
  shapeFromTensors,
  weightBytesOf,
} from './model-shape.ts';
import { type ParallelPlan, planParallel } from './plan-parallel.ts';
import { cutIntoStages, usable } from './stages.ts';

const SIXTEEN = 16;
/** `t4 p2, gang 2 × 4`: tensor 4, pipeline 2, two members with 4 devices each. */
function words(plan: ReturnType<typeof planParallel>): string {
  if ('impossible' in plan) return 'does not fit';
  return `t${plan.tensor} p${plan.pipeline}, gang ${plan.gang.size} × ${plan.claim.count}`;
}

function plansFor(model: KnownModel, purpose: Purpose, on: readonly Machine[]): Record<string, string> {
  const shape = shapeFromConfig(KNOWN_MODELS[model]);
  return Object.fromEntries(
    on.map((machine) => {
      const sketch = MACHINES[machine];
      return [machine, words(planParallel(shape, purpose, machines(sketch, SIXTEEN), sketch.deviceType))];
    }),
  );
}

describe('known models: size', () => {
  it.each<[KnownModel, number]>([
    ['Mistral 7B', 7.2],
    ['Llama 3.1 8B', 8.0],
    ['Llama 2 13B', 13.0],
    ['Qwen2.5 14B', 14.8],
    ['Qwen2.5 32B', 32.8],
    ['Llama 3.1 70B', 70.6],
    ['Qwen2.5 72B', 72.7],
    ['Llama 3.1 405B', 405.9],
    ['Mixtral 8x7B', 46.7],
    ['Qwen3 235B-A22B', 235.1],
    ['DeepSeek-V3', 671.0],
  ])('%s has %d billion parameters, as its card says', (model, want) => {
    const shape = shapeFromConfig(KNOWN_MODELS[model]);
    expect(Math.round(parametersOf(shape) / 1e8) / 10).toBe(want);
  });

  it('DeepSeek-V3 is in 8 bits, the others in 16', () => {
    expect(weightBytesOf(shapeFromConfig(KNOWN_MODELS['DeepSeek-V3'])) / 1e9).toBeCloseTo(671, 0);
    expect(weightBytesOf(shapeFromConfig(KNOWN_MODELS['Llama 3.1 70B'])) / 1e9).toBeCloseTo(141, 0);
  });
});

describe('known models: serving 8 answers of 8,192 tokens on 16 machines', () => {
  const on = ['H100', 'A100 40 GB', 'L40S', 'RTX 4090', 'Ascend 910B', 'MLU370', 'MLU590', 'cpu'] as const;
  const one = 't1 p1, gang 1 × 1';
  const t2 = 't2 p1, gang 1 × 2';
  const t4 = 't4 p1, gang 1 × 4';
  const t8 = 't8 p1, gang 1 × 8';
  it.each<[KnownModel, readonly string[]]>([
    ['Mistral 7B', [one, one, one, t2, one, one, one, one]],
    ['Llama 3.1 8B', [one, one, one, t2, one, one, one, one]],
    ['Llama 2 13B', [t2, t4, t2, t4, t2, t2, t2, t4]],
    ['Qwen2.5 14B', [one, t2, t2, t4, one, t2, one, t2]],
    ['Qwen2.5 32B', [t2, t4, t2, 't4 p2, gang 2 × 4', t2, t2, t2, t4]],
    ['Llama 3.1 70B', [t4, t8, t4, 't4 p3, gang 3 × 4', t4, t4, t4, t8]],
    ['Qwen2.5 72B', [t4, t8, t8, 't4 p3, gang 3 × 4', t4, t8, t4, t8]],
    [
      'Llama 3.1 405B',
      [
        't8 p2, gang 2 × 8',
        't8 p4, gang 4 × 8',
        't8 p3, gang 3 × 8',
        't4 p11, gang 11 × 4',
        't8 p2, gang 2 × 8',
        't8 p3, gang 3 × 8',
        't8 p2, gang 2 × 8',
        't32 p2, gang 2 × 32',
      ],
    ],
    ['Mixtral 8x7B', [t2, t4, t4, 't4 p2, gang 2 × 4', t2, t4, t2, t4]],
    [
      'Qwen3 235B-A22B',
      [
        t8,
        't8 p2, gang 2 × 8',
        't8 p2, gang 2 × 8',
        't4 p7, gang 7 × 4',
        't8 p2, gang 2 × 8',
        't8 p2, gang 2 × 8',
        t8,
        't32 p1, gang 1 × 32',
      ],
    ],
    [
      'DeepSeek-V3',
      [
        't8 p2, gang 2 × 8',
        't8 p3, gang 3 × 8',
        't8 p3, gang 3 × 8',
        't4 p10, gang 10 × 4',
        't8 p2, gang 2 × 8',
        't8 p3, gang 3 × 8',
        't8 p2, gang 2 × 8',
        't32 p1, gang 1 × 32',
      ],
    ],
  ])('%s', (model, want) => {
    expect(plansFor(model, DEFAULT_SERVING, on)).toEqual(
      Object.fromEntries(on.map((machine, index) => [machine, want[index]])),
    );
  });
});

describe('known models: full fine-tuning, sequences of 4,096 tokens, on 16 machines', () => {
  const on = ['H100', 'A100 40 GB', 'Ascend 910B', 'MLU590', 'RTX 4090'] as const;
  it.each<[KnownModel, readonly string[]]>([
    [
      'Mistral 7B',
      ['t1 p2, gang 1 × 2', 't2 p2, gang 1 × 4', 't2 p2, gang 1 × 4', 't1 p2, gang 1 × 2', 't1 p7, gang 7 × 1'],
    ],
    [
      'Qwen2.5 32B',
      ['t4 p2, gang 1 × 8', 't8 p3, gang 3 × 8', 't4 p3, gang 3 × 4', 't4 p2, gang 1 × 8', 't4 p10, gang 10 × 4'],
    ],
    [
      'Llama 3.1 70B',
      ['t4 p5, gang 5 × 4', 't8 p6, gang 6 × 8', 't8 p3, gang 3 × 8', 't8 p3, gang 3 × 8', 'does not fit'],
    ],
    ['Llama 3.1 405B', ['t8 p16, gang 16 × 8', 'does not fit', 'does not fit', 't8 p16, gang 16 × 8', 'does not fit']],
    ['DeepSeek-V3', ['does not fit', 'does not fit', 'does not fit', 'does not fit', 'does not fit']],
  ])('%s', (model, want) => {
    expect(plansFor(model, DEFAULT_FINE_TUNE, on)).toEqual(
      Object.fromEntries(on.map((machine, index) => [machine, want[index]])),
    );
  });
});

describe('what a plan says', () => {
  const nodes = machines(MACHINES.H100, 4);
  const plan = (model: KnownModel, purpose = DEFAULT_SERVING) =>
    planParallel(shapeFromConfig(KNOWN_MODELS[model]), purpose, nodes, 'nvidia.com/gpu');

  it('why nothing smaller fits', () => {
    expect((plan('Llama 3.1 70B') as ParallelPlan).reason).toBe(
      'tensor 4 × pipeline 1: 42 GB a device; tensor 1 × pipeline 2 does not fit: needs 83 GB a device, and 72 GB are usable',
    );
  });

  it('why what fits too was not taken', () => {
    const { rejected } = plan('Llama 3.1 70B') as ParallelPlan;
    expect(rejected.find(({ tensor, pipeline }) => tensor === 8 && pipeline === 1)?.because).toMatch(
      /^it fits, and costs 1\.\d\d times the device-seconds$/,
    );
  });

  it('the claim asks for linked devices with the memory that is needed', () => {
    const { claim, gang } = plan('Llama 3.1 70B') as ParallelPlan;
    expect({ ...claim, memoryBytesPerDevice: Math.round(claim.memoryBytesPerDevice! / 1e9) }).toEqual({
      deviceType: 'nvidia.com/gpu',
      count: 4,
      memoryBytesPerDevice: 47,
      schedulingPolicy: { topologyScope: 'link' },
    });
    expect(gang).toEqual({ size: 1, minimum: 1, topology: null, spansClusters: false });
  });

  it('stages go over as few nodes and racks as they can', () => {
    const { stages, gang } = plan('Llama 3.1 405B') as ParallelPlan;
    expect(stages.map(({ node }) => node)).toEqual(['n0', 'n1']);
    expect(gang.topology).toEqual({ scope: 'rack', required: false });
  });

  it('what does not fit at all, with the nearest miss', () => {
    expect(plan('Llama 3.1 405B', DEFAULT_FINE_TUNE)).toMatchObject({
      impossible: expect.stringMatching(
        /^812 GB of weights do not fit on 32 nvidia\.com\/gpu with 2560 GB in all; at best, tensor 8 × pipeline 4 needs \d+ GB a device, and 72 GB are usable$/,
      ),
    });
  });

  it('no device of the type', () => {
    expect(
      planParallel(shapeFromConfig(KNOWN_MODELS['Mistral 7B']), DEFAULT_SERVING, nodes, 'cambricon.com/mlu'),
    ).toEqual({ impossible: 'there is no cambricon.com/mlu', rejected: [] });
  });

  it('T05 a group that does not fit in a link domain falls back to its node', () => {
    const shape = shapeFromConfig(KNOWN_MODELS['Qwen2.5 72B']);
    const found = planParallel(shape, DEFAULT_SERVING, machines(MACHINES.MLU370, 1), 'cambricon.com/mlu');
    expect((found as ParallelPlan).claim).toMatchObject({ count: 8, schedulingPolicy: { topologyScope: 'node' } });
  });
});

describe('what engines and launchers are told', () => {
  it.each(ENGINE_NAMES.map((name) => [name]))('%s names both parts of a split or says that it has one', (name) => {
    const given: readonly string[] = ENGINE_ARGUMENTS[name].argumentsOf({ tensor: 8, pipeline: 3 }, 3);
    expect(given.join(' ')).toContain('8');
    if (!ENGINE_ARGUMENTS[name].meaning.includes('no pipeline')) expect(given.join(' ')).toContain('3');
  });

  it('vLLM', () => {
    expect(ENGINE_ARGUMENTS.vllm.argumentsOf({ tensor: 4, pipeline: 2 })).toEqual([
      '--tensor-parallel-size',
      '4',
      '--pipeline-parallel-size',
      '2',
    ]);
  });
});

describe('auto', () => {
  const shape = shapeFromConfig(KNOWN_MODELS['Llama 3.1 70B']);
  const cluster = (name: string, machine: Machine, count: number) => ({
    name,
    nodes: machines(MACHINES[machine], count),
  });

  it('takes the cluster and type with the fewest device-seconds', () => {
    const found = autoClaim(shape, DEFAULT_SERVING, [cluster('npu', 'Ascend 910B', 2), cluster('gpu', 'H100', 1)]);
    expect(found).toMatchObject({ clusterName: 'gpu', deviceType: 'nvidia.com/gpu', plan: { tensor: 4, pipeline: 1 } });
  });

  it('takes processors only where no accelerator will do', () => {
    const both = [cluster('cores', 'cpu', 4), cluster('small', 'RTX 4090', 1)];
    expect(autoClaim(shape, DEFAULT_SERVING, both)).toMatchObject({ clusterName: 'cores', deviceType: 'cpu' });
    expect(autoClaim(shape, DEFAULT_SERVING, [...both, cluster('large', 'L40S', 1)])).toMatchObject({
      clusterName: 'large',
    });
  });

  it('says for each cluster why not', () => {
    const found = autoClaim(shape, DEFAULT_SERVING, [cluster('small', 'RTX 4090', 1), cluster('one', 'A100 40 GB', 0)]);
    expect(found).toEqual({ impossible: [expect.stringMatching(/^small: 141 GB of weights do not fit on 4 nvidia/)] });
    expect(autoClaim(shape, DEFAULT_SERVING, [])).toEqual({
      impossible: ['no cluster that may take it has reported devices'],
    });
  });
});

describe('shapes from other sources', () => {
  const attention = { hiddenSize: 64, attentionHeads: 4, keyValueHeads: 2 };

  it.each([
    ['model.layers.1.mlp.up_proj.weight', 'layer 1'],
    ['blk.1.attn_q.weight', 'layer 1'],
    ['transformer.h.1.attn.weight', 'layer 1'],
    ['model.embed_tokens.weight', 'embedding'],
    ['token_embd.weight', 'embedding'],
    ['lm_head.weight', 'head'],
    ['output.weight', 'head'],
    ['model.norm.weight', 'head'],
  ])('tensor %s is of the %s', (name, want) => {
    const { layers } = shapeFromTensors([{ name, elements: 10, bytes: 20 }], attention);
    expect(layers.map((layer) => [layer.name, layer.weightBytes])).toEqual([[want, 20]]);
  });

  it('the bytes of the files scale what the configuration says', () => {
    expect(weightBytesOf(shapeFromConfig(KNOWN_MODELS['Mistral 7B'], 4.1e9))).toBeCloseTo(4.1e9, -2);
  });

  it('a graph is cut where the fewest bytes cross, branches counted', () => {
    const operation = (id: string, inputs: string[], outputBytesPerToken = 100) => ({
      id,
      inputs,
      outputBytesPerToken,
      parameters: 1,
      weightBytes: 1,
    });
    const { layers } = shapeFromGraph(
      [
        operation('out', ['left', 'right']),
        operation('in', []),
        operation('left', ['in'], 10),
        operation('right', ['in'], 20),
      ],
      attention,
    );
    expect(layers.map(({ name, outputBytesPerToken }) => [name, outputBytesPerToken])).toEqual([
      ['in', 100],
      ['left', 110],
      ['right', 30],
      ['out', 0],
    ]);
    expect(() => shapeFromGraph([operation('a', ['b']), operation('b', ['a'])], attention)).toThrow(/form a cycle/);
    expect(() => shapeFromGraph([operation('a', ['x'])], attention)).toThrow(/reads x, which does not exist/);
  });

  it.each([
    [{ ...KNOWN_MODELS['Mistral 7B'] }, null],
    [{ ...KNOWN_MODELS['Mistral 7B'], hidden_size: -1 }, 'hidden_size is not a positive whole number'],
    [{ ...KNOWN_MODELS['Mistral 7B'], num_hidden_layers: 1e9 }, 'num_hidden_layers is above 1000'],
    [{ ...KNOWN_MODELS['Mistral 7B'], num_experts: 'many' }, 'num_experts is not a whole number'],
    [{}, 'hidden_size is not a positive whole number'],
  ])('a config.json is judged before it is used', (config, want) => {
    expect(configProblem(config)).toBe(want);
  });
});

const layerOf = (weight: number, index: number): LayerShape => ({
  name: `layer ${index}`,
  parameters: weight,
  weightBytes: weight * 1e9,
  activeParameters: weight,
  experts: null,
  cacheBytesPerToken: 0,
  outputBytesPerToken: 1,
});

describe('properties', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 8 });
  const shapeOf = (weights: readonly number[]): ModelShape => ({
    layers: weights.map(layerOf),
    hiddenSize: 64,
    attentionHeads: 8,
    keyValueHeads: 8,
    isCacheReplicated: false,
  });

  it('every layer is in exactly one stage, in order, within memory; the slowest stage is as fast as any cut allows', () => {
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 4 }), (weights, stages) => {
        fc.pre(stages <= weights.length);
        const shape = shapeOf(weights);
        const groups = groupsOf(machines(MACHINES['RTX 4090'], 1), 'nvidia.com/gpu', 1).slice(0, stages);
        const costs = costsOf(shape, DEFAULT_SERVING, 1);
        const cut = cutIntoStages(shape.layers, groups, costs);
        const best = bruteForce(shape, groups, costs);
        if ('neededBytes' in cut) return expect(best).toBe(Number.POSITIVE_INFINITY);
        expect(cut.flatMap(({ from, to }) => weights.slice(from, to))).toEqual(weights);
        expect(cut.map(({ from, to }) => to > from)).toEqual(cut.map(() => true));
        for (const stage of cut) expect(stage.memoryBytes).toBeLessThanOrEqual(usable(stage.group));
        expect(Math.max(...cut.map(({ seconds }) => seconds))).toBeCloseTo(best, 12);
      }),
      { seed: 4, numRuns: 300 },
    );
  });

  it('the chosen split costs no more than any other that fits, and none of its devices is used twice', () => {
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 6 }), (weights, count) => {
        const plan = planParallel(
          shapeOf(weights),
          DEFAULT_SERVING,
          machines(MACHINES['RTX 4090'], count),
          'nvidia.com/gpu',
        );
        if ('impossible' in plan) return;
        const ratios = plan.rejected.flatMap(({ because }) => /costs ([\d.]+) times/.exec(because)?.[1] ?? []);
        expect(ratios.filter((ratio) => Number(ratio) < 1)).toEqual([]);
        const devices = plan.stages.flatMap(({ deviceIds }) => deviceIds);
        expect(new Set(devices).size).toBe(plan.devices);
        expect(plan.gang.size * plan.claim.count).toBe(plan.devices);
      }),
      { seed: 5, numRuns: 200 },
    );
  });
});

/** The slowest stage of the best of all cuts; Infinity when none fits. */
function bruteForce(shape: ModelShape, groups: ReturnType<typeof groupsOf>, costs: ReturnType<typeof costsOf>): number {
  const { layers } = shape;
  const go = (stage: number, from: number): number => {
    if (stage === groups.length) return from === layers.length ? 0 : Number.POSITIVE_INFINITY;
    let best = Number.POSITIVE_INFINITY;
    for (let to = from + 1; to <= layers.length; to += 1) {
      const run = layers.slice(from, to);
      const group = groups[stage]!;
      if (costs.memoryBytes(run, groups.length) > usable(group)) continue;
      const received = from === 0 ? 0 : costs.handover(layers[from - 1]!, groups[stage - 1]!, group);
      best = Math.min(best, Math.max(costs.seconds(run, group) + received, go(stage + 1, to)));
    }
    return best;
  };
  return go(0, 0);
}
