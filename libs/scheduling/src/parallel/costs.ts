/**
 * What a run of layers needs on one tensor-parallel group: memory (a hard limit) and time (to rank splits).
 *
 * Serving. Memory a device: weights ÷ t, plus the cache of `sequences` × `contextTokens` ÷ t (not below one key-value
 * head; whole with latent attention), plus a workspace. Time a token: weights and cache read once at the memory's speed
 * (decoding is bound by memory), plus two all-reduces a layer over t devices.
 *
 * Fine-tuning, full, mixed precision (Rajbhandari et al., ZeRO, 2020): 16 bytes a parameter – weights 2, gradients 2,
 * master copy, mean and variance 4 each – ÷ t, plus activations with full recomputation (Korthikanti et al., 2022): the
 * input of each layer, and 34 · hidden bytes a token of the one that is recomputed. Time a token: 8 operations a
 * parameter (forward twice, backward) at a third of the peak, plus the all-reduces forward, again, and backward.
 */
import type { DeviceGroup } from './device-groups.ts';
import {
  type DeviceSpeed,
  FAR_BYTES_PER_SECOND,
  LATENCY_SECONDS,
  NODE_BYTES_PER_SECOND,
  RACK_BYTES_PER_SECOND,
  speedOf,
} from './device-speeds.ts';
import type { LayerShape, ModelShape } from './model-shape.ts';

export type Purpose =
  | { readonly kind: 'serving'; readonly contextTokens: number; readonly sequences: number }
  | { readonly kind: 'fine-tune'; readonly sequenceTokens: number; readonly microBatch: number };

/** 8 answers of 8,192 tokens at once; one sequence of 4,096 a micro-batch. */
export const DEFAULT_SERVING: Purpose = { kind: 'serving', contextTokens: 8_192, sequences: 8 };
export const DEFAULT_FINE_TUNE: Purpose = { kind: 'fine-tune', sequenceTokens: 4_096, microBatch: 1 };

/** What an engine may use of a device (vLLM's default), and what it takes for itself. */
export const USABLE_SHARE = 0.9;
export const WORKSPACE_BYTES = 1.5e9;

const TRAINING_BYTES_PER_PARAMETER = 16;
const TRAINING_OPERATIONS_PER_PARAMETER = 8;
const TRAINING_EFFICIENCY = 1 / 3;
const RECOMPUTED_BYTES_PER_HIDDEN = 34;
/** Micro-batches of a training step: what fills the pipeline. */
export const MICRO_BATCHES = 32;

export interface Costs {
  /** Bytes that the layers need on each device of a group. */
  memoryBytes(layers: readonly LayerShape[], stages: number): number;
  /** Seconds a token (serving) or a micro-batch (fine-tuning) spends in the layers on this group. */
  seconds(layers: readonly LayerShape[], group: DeviceGroup): number;
  /** Seconds to hand what leaves `layer` from one group to the next. */
  handover(layer: LayerShape, from: DeviceGroup, to: DeviceGroup): number;
}

export function costsOf(shape: ModelShape, purpose: Purpose, tensor: number): Costs {
  return purpose.kind === 'serving' ? serving(shape, purpose, tensor) : training(shape, purpose, tensor);
}

function serving(shape: ModelShape, purpose: Extract<Purpose, { kind: 'serving' }>, tensor: number): Costs {
  const { contextTokens, sequences } = purpose;
  const cacheShare = shape.isCacheReplicated ? 1 : 1 / Math.min(tensor, shape.keyValueHeads);
  const cacheOf = (layers: readonly LayerShape[]) =>
    sum(layers, ({ cacheBytesPerToken }) => cacheBytesPerToken) * contextTokens * sequences * cacheShare;
  return {
    memoryBytes: (layers) => sum(layers, ({ weightBytes }) => weightBytes) / tensor + cacheOf(layers) + WORKSPACE_BYTES,
    seconds: (layers, group) => {
      const speed = speedOf(group.devices[0]!);
      const read = sum(layers, (layer) => weightsRead(layer, sequences)) / tensor + cacheOf(layers);
      const bytes = shape.hiddenSize * 2 * sequences;
      return read / speed.memoryBytesPerSecond + 2 * layers.length * allReduce(bytes, tensor, group, speed);
    },
    handover: (layer, from, to) => transfer(layer.outputBytesPerToken * sequences, from, to),
  };
}

/** Of a mixture, the experts that at least one of the sequences takes. */
function weightsRead({ weightBytes, experts }: LayerShape, sequences: number): number {
  if (experts === null) return weightBytes;
  const touched = 1 - (1 - experts.active / experts.count) ** sequences;
  return weightBytes - experts.weightBytes * (1 - touched);
}

function training(shape: ModelShape, purpose: Extract<Purpose, { kind: 'fine-tune' }>, tensor: number): Costs {
  const tokens = purpose.sequenceTokens * purpose.microBatch;
  return {
    memoryBytes: (layers, stages) => {
      const states = (sum(layers, ({ parameters }) => parameters) * TRAINING_BYTES_PER_PARAMETER) / tensor;
      const kept = layers.length * shape.hiddenSize * 2 * tokens * stages;
      const recomputed = (RECOMPUTED_BYTES_PER_HIDDEN * shape.hiddenSize * tokens) / tensor;
      return states + kept + recomputed + WORKSPACE_BYTES;
    },
    seconds: (layers, group) => {
      const speed = speedOf(group.devices[0]!);
      const operations = sum(layers, (layer) => layer.activeParameters) * TRAINING_OPERATIONS_PER_PARAMETER * tokens;
      const bytes = shape.hiddenSize * 2 * tokens;
      const computed = operations / (tensor * speed.flops * TRAINING_EFFICIENCY);
      return computed + 6 * layers.length * allReduce(bytes, tensor, group, speed);
    },
    handover: (layer, from, to) => 2 * transfer(layer.outputBytesPerToken * tokens, from, to),
  };
}

/** Ring: each device sends and receives 2 (t − 1) / t of the bytes, in 2 (t − 1) steps. */
function allReduce(bytes: number, tensor: number, group: DeviceGroup, speed: DeviceSpeed): number {
  if (tensor === 1) return 0;
  const bandwidth = group.isLinked ? speed.linkBytesPerSecond : NODE_BYTES_PER_SECOND;
  const latency = group.isLinked ? LATENCY_SECONDS.link : LATENCY_SECONDS.node;
  return (2 * (tensor - 1) * bytes) / tensor / bandwidth + 2 * latency;
}

function transfer(bytes: number, from: DeviceGroup, to: DeviceGroup): number {
  if (from.node === to.node) return bytes / NODE_BYTES_PER_SECOND + LATENCY_SECONDS.node;
  const isOneRack = from.rack !== null && from.rack === to.rack;
  return isOneRack
    ? bytes / RACK_BYTES_PER_SECOND + LATENCY_SECONDS.rack
    : bytes / FAR_BYTES_PER_SECOND + LATENCY_SECONDS.far;
}

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
