import { describe, expect, it } from '@jest/globals';
import type { DialectName } from '#inference';
import { exchangeOf } from '../../../test/recorded-engine.ts';
import { readLoad } from './load-metrics.ts';
import { readSamples } from './prometheus-text.ts';

describe('the load of an engine from its metrics', () => {
  interface Case {
    readonly name: string;
    readonly dialect: DialectName;
    readonly model?: string;
    readonly text: string;
    readonly want: ReturnType<typeof readLoad>;
  }
  const recorded = (engine: string, name = 'metrics') => exchangeOf(engine, name).response.body;
  const cases: readonly Case[] = [
    {
      name: 'vLLM, whose split by reason is not counted again',
      dialect: 'vllm',
      text: recorded('vllm'),
      want: { running: 24, waiting: 72, cacheUsage: 0.3412 },
    },
    {
      name: 'vLLM before 0.10',
      dialect: 'vllm',
      text: 'vllm:num_requests_running{model_name="m"} 3.0\nvllm:gpu_cache_usage_perc{model_name="m"} 0.5\n',
      want: { running: 3, cacheUsage: 0.5 },
    },
    {
      name: 'vLLM with two engines: counts are summed, the fuller cache counts',
      dialect: 'vllm',
      text: [
        'vllm:num_requests_waiting{engine="0",model_name="m"} 2',
        'vllm:num_requests_waiting{engine="1",model_name="m"} 5',
        'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.1',
        'vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.9',
      ].join('\n'),
      want: { waiting: 7, cacheUsage: 0.9 },
    },
    {
      name: 'a server of two models: its own counts only',
      dialect: 'vllm',
      model: 'b',
      text: 'vllm:num_requests_running{model_name="a"} 9\nvllm:num_requests_running{model_name="b"} 1\n',
      want: { running: 1 },
    },
    {
      name: 'SGLang',
      dialect: 'sglang',
      text: recorded('sglang'),
      want: { running: 162, waiting: 2826, cacheUsage: 0.28 },
    },
    {
      name: 'SGLang: ranks that share the work are not summed, ranks that split it are',
      dialect: 'sglang',
      text: [
        'sglang:num_running_reqs{dp_rank="0",tp_rank="0"} 4.0',
        'sglang:num_running_reqs{dp_rank="0",tp_rank="1"} 4.0',
        'sglang:num_running_reqs{dp_rank="1",tp_rank="0"} 3.0',
        'sglang:num_running_reqs_total 100',
      ].join('\n'),
      want: { running: 7 },
    },
    {
      name: 'SGLang with priorities: the whole, not the whole and its parts',
      dialect: 'sglang',
      text: [
        'sglang:num_queue_reqs{priority="",tp_rank="0"} 14.0',
        'sglang:num_queue_reqs{priority="0",tp_rank="0"} 9.0',
        'sglang:num_queue_reqs{priority="-1",tp_rank="0"} 5.0',
      ].join('\n'),
      want: { waiting: 14 },
    },
    { name: 'llama.cpp, idle', dialect: 'llamacpp', text: recorded('llamacpp'), want: { running: 0, waiting: 0 } },
    {
      name: 'llama.cpp, busy',
      dialect: 'llamacpp',
      text: recorded('llamacpp', 'metrics, busy'),
      want: { running: 2, waiting: 4 },
    },
    {
      name: 'llama.cpp of 2024',
      dialect: 'llamacpp',
      text: 'llamacpp:requests_processing 1\nllamacpp:kv_cache_usage_ratio 0.25\n',
      want: { running: 1, cacheUsage: 0.25 },
    },
    {
      name: 'LMDeploy',
      dialect: 'lmdeploy',
      text: 'lmdeploy:num_requests_running{engine="0",model_name="m"} 2\nlmdeploy:gpu_cache_usage_perc{engine="0"} 2\n',
      want: { running: 2, cacheUsage: 1 },
    },
    {
      name: 'MindIE',
      dialect: 'mindie',
      text: 'num_requests_running{model_name="llama2-7b"} 6\nnum_requests_waiting{model_name="llama2-7b"} 1\n',
      want: { running: 6, waiting: 1 },
    },
    {
      name: 'E07: metrics that are not there are absent',
      dialect: 'vllm',
      text: 'vllm:num_requests_running 1',
      want: { running: 1 },
    },
    { name: 'E07: NaN is not there either', dialect: 'vllm', text: 'vllm:num_requests_running NaN', want: null },
    {
      name: 'E07: nor is what nobody can have, however it is said',
      dialect: 'vllm',
      text: 'vllm:num_requests_running{engine="0"} 1e308\nvllm:num_requests_running{engine="1"} 1e308\nvllm:num_requests_waiting 3',
      want: { waiting: 3 },
    },
    { name: 'another engine’s metrics', dialect: 'vllm', text: recorded('sglang'), want: null },
    { name: 'no metrics at all', dialect: 'sglang', text: '<html>404</html>', want: null },
    { name: 'Ollama has none', dialect: 'ollama', text: recorded('vllm'), want: null },
  ];
  it.each(cases)('$name', ({ dialect, text, model = 'm', want }) => {
    expect(readLoad(dialect, text, model)).toEqual(want);
  });
});

describe('Prometheus text', () => {
  it.each([
    ['a 1', [{ name: 'a', labels: {}, value: 1 }]],
    ['a{} 1.5e3 1700000000', [{ name: 'a', labels: {}, value: 1500 }]],
    ['a{x="1",y="2",} -2', [{ name: 'a', labels: { x: '1', y: '2' }, value: -2 }]],
    ['a{x="q\\"uote, } \\\\ \\n"} 3', [{ name: 'a', labels: { x: 'q"uote, } \\ \n' }, value: 3 }]],
    ['a 1 # {trace="x"} 0.5', [{ name: 'a', labels: {}, value: 1 }]],
    ['a{x="1" 2', []],
    ['# TYPE a gauge\r\na 4\r', [{ name: 'a', labels: {}, value: 4 }]],
    ['b 1\na +Inf\na', []],
  ])('%j', (text, want) => {
    expect(readSamples(text, new Set(['a']))).toEqual(want);
  });

  it('reads no more than its bound', () => {
    expect(readSamples('a 1\n'.repeat(60_000), new Set(['a']))).toHaveLength(50_000);
  });
});
