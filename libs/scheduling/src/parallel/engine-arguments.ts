/** What an engine or a training launcher is told of a split: a table, each row with where its words come from. */
import type { Split } from './plan-parallel.ts';

export interface EngineArguments {
  readonly meaning: string;
  readonly argumentsOf: (split: Split, nodes: number) => readonly string[];
}

const flag = (name: string, value: number) => [name, String(value)];

export const ENGINE_ARGUMENTS = {
  vllm: {
    meaning: 'vLLM, `vllm serve --help`',
    argumentsOf: ({ tensor, pipeline }) => [
      ...flag('--tensor-parallel-size', tensor),
      ...flag('--pipeline-parallel-size', pipeline),
    ],
  },
  sglang: {
    meaning: 'SGLang, `launch_server --help`',
    argumentsOf: ({ tensor, pipeline }, nodes) => [
      ...flag('--tp-size', tensor),
      ...flag('--pp-size', pipeline),
      ...flag('--nnodes', nodes),
    ],
  },
  mindie: {
    meaning: 'MindIE service, parallel section of its configuration, as key=value',
    argumentsOf: ({ tensor, pipeline }) => [`worldSize=${tensor * pipeline}`, `tp=${tensor}`, `pp=${pipeline}`],
  },
  lmdeploy: {
    meaning: 'LMDeploy, `lmdeploy serve api_server --help`; it has no pipeline',
    argumentsOf: ({ tensor }) => flag('--tp', tensor),
  },
  megatron: {
    meaning: 'Megatron-LM, arguments.py, behind torchrun',
    argumentsOf: ({ tensor, pipeline }) => [
      ...flag('--tensor-model-parallel-size', tensor),
      ...flag('--pipeline-model-parallel-size', pipeline),
    ],
  },
  mindformers: {
    meaning: 'MindSpore Transformers, parallel_config, behind msrun',
    argumentsOf: ({ tensor, pipeline }) => [...flag('--model_parallel', tensor), ...flag('--pipeline_stage', pipeline)],
  },
} as const satisfies Readonly<Record<string, EngineArguments>>;

export type EngineName = keyof typeof ENGINE_ARGUMENTS;
export const ENGINE_NAMES = Object.keys(ENGINE_ARGUMENTS) as EngineName[];
