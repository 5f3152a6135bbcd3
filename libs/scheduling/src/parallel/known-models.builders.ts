/** Public configurations of known models (their `config.json` on the model hubs), and machines to put them on. */
import type { Device, DeviceType, Node } from '#domain';
import type { ModelConfig } from './model-shape.ts';

const dense = (
  hidden: number,
  layers: number,
  heads: number,
  keyValueHeads: number,
  intermediate: number,
  vocabulary: number,
): ModelConfig => ({
  hidden_size: hidden,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  num_key_value_heads: keyValueHeads,
  intermediate_size: intermediate,
  vocab_size: vocabulary,
  torch_dtype: 'bfloat16',
});

export const KNOWN_MODELS = {
  'Mistral 7B': dense(4_096, 32, 32, 8, 14_336, 32_000),
  'Llama 3.1 8B': dense(4_096, 32, 32, 8, 14_336, 128_256),
  'Llama 2 13B': dense(5_120, 40, 40, 40, 13_824, 32_000),
  'Qwen2.5 14B': dense(5_120, 48, 40, 8, 13_824, 152_064),
  'Qwen2.5 32B': dense(5_120, 64, 40, 8, 27_648, 152_064),
  'Llama 3.1 70B': dense(8_192, 80, 64, 8, 28_672, 128_256),
  'Qwen2.5 72B': dense(8_192, 80, 64, 8, 29_568, 152_064),
  'Llama 3.1 405B': dense(16_384, 126, 128, 8, 53_248, 128_256),
  'Mixtral 8x7B': { ...dense(4_096, 32, 32, 8, 14_336, 32_000), num_local_experts: 8, num_experts_per_tok: 2 },
  'Qwen3 235B-A22B': {
    ...dense(4_096, 94, 64, 4, 12_288, 151_936),
    head_dim: 128,
    num_experts: 128,
    num_experts_per_tok: 8,
    moe_intermediate_size: 1_536,
  },
  'DeepSeek-V3': {
    ...dense(7_168, 61, 128, 128, 18_432, 129_280),
    n_routed_experts: 256,
    num_experts_per_tok: 8,
    n_shared_experts: 1,
    moe_intermediate_size: 2_048,
    first_k_dense_replace: 3,
    q_lora_rank: 1_536,
    kv_lora_rank: 512,
    qk_rope_head_dim: 64,
    qk_nope_head_dim: 128,
    v_head_dim: 128,
    quantization_config: { quant_method: 'fp8' },
  },
} as const satisfies Readonly<Record<string, ModelConfig>>;
export type KnownModel = keyof typeof KNOWN_MODELS;

export interface MachineSketch {
  readonly deviceType: DeviceType;
  readonly memoryGb: number;
  readonly devices: number;
  /** Devices a link domain; absent: none are linked. */
  readonly linked?: number;
}

export const MACHINES = {
  H100: { deviceType: 'nvidia.com/gpu', memoryGb: 80, devices: 8, linked: 8 },
  'A100 40 GB': { deviceType: 'nvidia.com/gpu', memoryGb: 40, devices: 8, linked: 8 },
  L40S: { deviceType: 'nvidia.com/gpu', memoryGb: 48, devices: 8 },
  'RTX 4090': { deviceType: 'nvidia.com/gpu', memoryGb: 24, devices: 4 },
  'Ascend 910B': { deviceType: 'huawei.com/ascend-npu', memoryGb: 64, devices: 8, linked: 8 },
  MLU370: { deviceType: 'cambricon.com/mlu', memoryGb: 48, devices: 8, linked: 4 },
  MLU590: { deviceType: 'cambricon.com/mlu', memoryGb: 80, devices: 8, linked: 8 },
  cpu: { deviceType: 'cpu', memoryGb: 32, devices: 32 },
} as const satisfies Readonly<Record<string, MachineSketch>>;
export type Machine = keyof typeof MACHINES;

/** So many machines of a kind, `perRack` in a rack. */
export function machines(machine: MachineSketch, count: number, perRack = 4): Node[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `n${index}`,
    rack: `r${Math.floor(index / perRack)}`,
    devices: Array.from({ length: machine.devices }, (_device, place): Device => {
      const { deviceType, memoryGb, linked } = machine;
      const domain = linked === undefined ? {} : { linkDomain: `n${index}-${Math.floor(place / linked)}` };
      return { id: `n${index}-${place}`, deviceType, memoryBytes: memoryGb * 1e9, ...domain };
    }),
  }));
}
