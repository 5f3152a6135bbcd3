/**
 * What of a model decides how it can be split: its layers in order with their bytes and work, and how finely attention
 * can be divided. Made from a Hugging Face `config.json`, or from the names and sizes of its tensors, or from a graph of
 * operations; all sizes in bytes, work in floating-point operations a token.
 */

export interface LayerShape {
  readonly name: string;
  readonly parameters: number;
  readonly weightBytes: number;
  /** Parameters that one token touches; less than all in a mixture of experts. */
  readonly activeParameters: number;
  /** Of a mixture: its experts' share of the weights and how many of how many a token takes; null in a dense layer. */
  readonly experts: { readonly weightBytes: number; readonly count: number; readonly active: number } | null;
  /** Of keys and values for one token, on all devices together. */
  readonly cacheBytesPerToken: number;
  /** What goes on to the next layer for one token. */
  readonly outputBytesPerToken: number;
}

export interface ModelShape {
  readonly layers: readonly LayerShape[];
  readonly hiddenSize: number;
  readonly attentionHeads: number;
  readonly keyValueHeads: number;
  /** True (multi-head latent attention): every device of a tensor group keeps the whole cache. */
  readonly isCacheReplicated: boolean;
}

/** The parts of a `config.json` that are used, under the names that the model families give them. */
export interface ModelConfig {
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads?: number;
  readonly head_dim?: number;
  readonly intermediate_size: number;
  readonly vocab_size: number;
  readonly torch_dtype?: string;
  readonly num_local_experts?: number;
  readonly num_experts?: number;
  readonly n_routed_experts?: number;
  readonly num_experts_per_tok?: number;
  readonly n_shared_experts?: number;
  readonly moe_intermediate_size?: number;
  readonly first_k_dense_replace?: number;
  readonly q_lora_rank?: number | null;
  readonly kv_lora_rank?: number;
  readonly qk_rope_head_dim?: number;
  readonly qk_nope_head_dim?: number;
  readonly v_head_dim?: number;
  readonly quantization_config?: { readonly quant_method?: string; readonly bits?: number };
}

const LAYERS_MAX = 1_000;
/** Keys, values and activations are kept in 16 bits. */
const ACTIVATION_BYTES = 2;
const BYTES_OF_DTYPE: Readonly<Record<string, number>> = { float32: 4, bfloat16: 2, float16: 2, float8_e4m3fn: 1 };

const REQUIRED = [
  'hidden_size',
  'num_hidden_layers',
  'num_attention_heads',
  'intermediate_size',
  'vocab_size',
] as const;

/** Why an object is no config that a shape can be made of, or null when it is one. */
export function configProblem(config: Readonly<Record<string, unknown>>): string | null {
  for (const name of REQUIRED) {
    const value = config[name];
    if (!Number.isSafeInteger(value) || (value as number) < 1) return `${name} is not a positive whole number`;
  }
  if ((config.num_hidden_layers as number) > LAYERS_MAX) return `num_hidden_layers is above ${LAYERS_MAX}`;
  const optional = Object.entries(config).filter(([name]) => OPTIONAL_NUMBERS.has(name));
  const wrong = optional.find(([, value]) => value !== null && (!Number.isSafeInteger(value) || (value as number) < 0));
  return wrong === undefined ? null : `${wrong[0]} is not a whole number`;
}

const OPTIONAL_NUMBERS = new Set([
  'num_key_value_heads',
  'head_dim',
  'num_local_experts',
  'num_experts',
  'n_routed_experts',
  'num_experts_per_tok',
  'n_shared_experts',
  'moe_intermediate_size',
  'first_k_dense_replace',
  'q_lora_rank',
  'kv_lora_rank',
  'qk_rope_head_dim',
  'qk_nope_head_dim',
  'v_head_dim',
]);

/**
 * @param totalBytes of the weight files, when they are known: scales the estimate, and so takes any quantisation into
 *   account. The head counts apart even where it is tied to the embedding: two stages cannot share one.
 */
export function shapeFromConfig(config: ModelConfig, totalBytes?: number): ModelShape {
  const bytes = bytesPerParameter(config);
  const { hidden_size: hidden, vocab_size: vocabulary, num_hidden_layers: count } = config;
  const attention = attentionOf(config);
  const outputBytesPerToken = hidden * ACTIVATION_BYTES;
  const flat = (name: string, parameters: number): LayerShape => ({
    name,
    parameters,
    weightBytes: parameters * bytes,
    activeParameters: parameters,
    experts: null,
    cacheBytesPerToken: 0,
    outputBytesPerToken,
  });
  const blocks = Array.from({ length: count }, (_, index): LayerShape => {
    const { dense, expert, experts, active } = feedForwardOf(config, index);
    const own = attention.parameters + dense + 2 * hidden;
    return {
      ...flat(`layer ${index}`, own + expert * experts),
      activeParameters: own + expert * active,
      experts: experts === 0 ? null : { weightBytes: expert * experts * bytes, count: experts, active },
      cacheBytesPerToken: attention.cacheElements * ACTIVATION_BYTES,
    };
  });
  const layers = [flat('embedding', vocabulary * hidden), ...blocks, flat('head', vocabulary * hidden + hidden)];
  const shape: ModelShape = {
    layers,
    hiddenSize: hidden,
    attentionHeads: config.num_attention_heads,
    keyValueHeads: config.num_key_value_heads ?? config.num_attention_heads,
    isCacheReplicated: attention.isLatent,
  };
  return totalBytes === undefined ? shape : scaledTo(shape, totalBytes);
}

function bytesPerParameter({ torch_dtype, quantization_config }: ModelConfig): number {
  if (quantization_config?.bits !== undefined) return quantization_config.bits / 8;
  if (quantization_config?.quant_method === 'fp8') return 1;
  return BYTES_OF_DTYPE[torch_dtype ?? 'bfloat16'] ?? 2;
}

function attentionOf(config: ModelConfig): { parameters: number; cacheElements: number; isLatent: boolean } {
  const { hidden_size: hidden, num_attention_heads: heads } = config;
  const latent = config.kv_lora_rank ?? 0;
  if (latent > 0) {
    const rope = config.qk_rope_head_dim ?? 64;
    const content = config.qk_nope_head_dim ?? 128;
    const value = config.v_head_dim ?? 128;
    const queryRank = config.q_lora_rank ?? 0;
    const queryOut = heads * (content + rope);
    const query = queryRank > 0 ? hidden * queryRank + queryRank * queryOut : hidden * queryOut;
    const keyValue = hidden * (latent + rope) + latent * heads * (content + value);
    return { parameters: query + keyValue + heads * value * hidden, cacheElements: latent + rope, isLatent: true };
  }
  const headSize = config.head_dim ?? Math.floor(hidden / heads);
  const keyValueHeads = config.num_key_value_heads ?? heads;
  const parameters = 2 * hidden * heads * headSize + 2 * hidden * keyValueHeads * headSize;
  return { parameters, cacheElements: 2 * keyValueHeads * headSize, isLatent: false };
}

/** Gated: three matrices each. `dense` parameters every token touches; `expert` is one of `experts`. */
function feedForwardOf(config: ModelConfig, index: number) {
  const { hidden_size: hidden, intermediate_size: intermediate } = config;
  const experts = config.n_routed_experts ?? config.num_experts ?? config.num_local_experts ?? 0;
  if (experts === 0 || index < (config.first_k_dense_replace ?? 0)) {
    return { dense: 3 * hidden * intermediate, expert: 0, experts: 0, active: 0 };
  }
  const expert = 3 * hidden * (config.moe_intermediate_size ?? intermediate);
  const router = hidden * experts;
  const dense = router + expert * (config.n_shared_experts ?? 0);
  return { dense, expert, experts, active: config.num_experts_per_tok ?? 1 };
}

function scaledTo(shape: ModelShape, totalBytes: number): ModelShape {
  const factor = totalBytes / weightBytesOf(shape);
  const layers = shape.layers.map((layer) => ({
    ...layer,
    weightBytes: layer.weightBytes * factor,
    experts: layer.experts && { ...layer.experts, weightBytes: layer.experts.weightBytes * factor },
  }));
  return { ...shape, layers };
}

export interface TensorSize {
  readonly name: string;
  readonly elements: number;
  readonly bytes: number;
}

/** `model.layers.12.…`, `blk.12.…` (GGUF), `transformer.h.12.…`. */
const BLOCK_OF = /(?:^|\.)(?:layers|blk|h|blocks)\.(\d+)\./;

/**
 * From tensors alone: which block each belongs to is read from its name; what is in no block goes to the embedding or, by
 * its name, to the head. Experts cannot be told apart, so a mixture counts as dense: memory is right, speed is cautious.
 */
export function shapeFromTensors(
  tensors: readonly TensorSize[],
  attention: Pick<ModelShape, 'hiddenSize' | 'attentionHeads' | 'keyValueHeads'>,
): ModelShape {
  const groups = Map.groupBy(tensors, ({ name }) => blockOf(name));
  const order = [...groups.keys()].sort((left, right) => left - right);
  const headSize = attention.hiddenSize / attention.attentionHeads;
  const layers = order.map((block): LayerShape => {
    const members = groups.get(block)!;
    const parameters = members.reduce((sum, { elements }) => sum + elements, 0);
    const isBlock = block >= 0 && block < HEAD;
    return {
      name: isBlock ? `layer ${block}` : block === HEAD ? 'head' : 'embedding',
      parameters,
      weightBytes: members.reduce((sum, { bytes }) => sum + bytes, 0),
      activeParameters: parameters,
      experts: null,
      cacheBytesPerToken: isBlock ? 2 * attention.keyValueHeads * headSize * ACTIVATION_BYTES : 0,
      outputBytesPerToken: attention.hiddenSize * ACTIVATION_BYTES,
    };
  });
  return { layers, ...attention, isCacheReplicated: false };
}

const HEAD = Number.MAX_SAFE_INTEGER;

function blockOf(name: string): number {
  const match = BLOCK_OF.exec(name);
  if (match !== null) return Number(match[1]);
  return /(^|\.)(lm_head|output|output_norm|norm|ln_f)\b/.test(name) ? HEAD : -1;
}

export interface GraphOperation {
  readonly id: string;
  readonly parameters: number;
  readonly weightBytes: number;
  readonly outputBytesPerToken: number;
  readonly cacheBytesPerToken?: number;
  /** Ids of the operations whose output it reads. */
  readonly inputs: readonly string[];
}

/**
 * A graph laid out as a line that can be cut anywhere: topological, ties in the order given. What crosses a cut is every
 * output that is made before it and read behind it, counted once.
 *
 * @throws RangeError when the graph has a cycle or names an unknown operation
 */
export function shapeFromGraph(
  operations: readonly GraphOperation[],
  attention: Pick<ModelShape, 'hiddenSize' | 'attentionHeads' | 'keyValueHeads'>,
): ModelShape {
  const order = topological(operations);
  const place = new Map(order.map(({ id }, index) => [id, index]));
  const lastRead = new Map<string, number>();
  for (const { id, inputs } of order) {
    for (const input of inputs) lastRead.set(input, Math.max(lastRead.get(input) ?? 0, place.get(id)!));
  }
  const layers = order.map((operation, index): LayerShape => {
    const crossing = order.slice(0, index + 1).filter(({ id }) => (lastRead.get(id) ?? -1) > index);
    return {
      name: operation.id,
      parameters: operation.parameters,
      weightBytes: operation.weightBytes,
      activeParameters: operation.parameters,
      experts: null,
      cacheBytesPerToken: operation.cacheBytesPerToken ?? 0,
      outputBytesPerToken: crossing.reduce((sum, { outputBytesPerToken }) => sum + outputBytesPerToken, 0),
    };
  });
  return { layers, ...attention, isCacheReplicated: false };
}

function topological(operations: readonly GraphOperation[]): GraphOperation[] {
  const known = new Set(operations.map(({ id }) => id));
  for (const { id, inputs } of operations) {
    const unknown = inputs.find((input) => !known.has(input));
    if (unknown !== undefined) throw new RangeError(`operation ${id} reads ${unknown}, which does not exist`);
  }
  const done = new Set<string>();
  const order: GraphOperation[] = [];
  let left = [...operations];
  while (left.length > 0) {
    const ready = left.filter(({ inputs }) => inputs.every((input) => done.has(input)));
    if (ready.length === 0) throw new RangeError(`operations ${left.map(({ id }) => id).join(', ')} form a cycle`);
    for (const operation of ready) done.add(operation.id);
    order.push(...ready);
    left = left.filter(({ id }) => !done.has(id));
  }
  return order;
}

export function weightBytesOf({ layers }: Pick<ModelShape, 'layers'>): number {
  return layers.reduce((sum, { weightBytes }) => sum + weightBytes, 0);
}

export function parametersOf({ layers }: Pick<ModelShape, 'layers'>): number {
  return layers.reduce((sum, { parameters }) => sum + parameters, 0);
}
