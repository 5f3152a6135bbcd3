import type { ElementTypeName } from './elements.ts';

/** A tensor to put in a file. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** dtype → bytes of an element, and our name for it. */
export const dtypes: Readonly<Record<string, readonly [number, ElementTypeName]>> = {
  BF16: [2, 'bfloat16'],
  F16: [2, 'float16'],
  F32: [4, 'float32'],
  F64: [8, 'float64'],
  I8: [1, 'int8'],
  I16: [2, 'int16'],
  I32: [4, 'int32'],
  I64: [8, 'int64'],
  F8_E4M3: [1, 'float8e4m3'],
  BOOL: [1, 'opaque'],
};

/** A safetensors file; the header is padded to eight bytes as the reference writer does. */
export function safetensorsFile(tensors: readonly TensorToWrite[], metadata?: Record<string, string>): Uint8Array {
  const header: Record<string, unknown> = metadata === undefined ? {} : { __metadata__: metadata };
  let at = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  return withHeader(JSON.stringify(header), Buffer.concat(tensors.map(({ bytes }) => bytes)));
}

/** Any header text in front of any data. */
export function withHeader(header: string, data: Uint8Array): Uint8Array {
  const text = Buffer.from(header);
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, 0x20)]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, data]);
}

/** A GGUF version 3 file of Q8_0 (ggml type 8) or F32 (0) tensors, with one string key. */
export function ggufFile(
  tensors: readonly {
    readonly name: string;
    readonly ggmlType: number;
    readonly shape: readonly number[];
    readonly bytes: Uint8Array;
  }[],
): Uint8Array {
  const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
  const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
  const text = (value: string) => Buffer.concat([u64(value.length), Buffer.from(value)]);
  const aligned = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc((32 - (bytes.length % 32)) % 32)]);
  const keys = [
    text('general.architecture'),
    u32(8),
    text('llama'),
    text('tokens'),
    u32(9),
    u32(8),
    u64(2),
    text('a'),
    text('b'),
  ];
  let offset = 0;
  const infos = tensors.flatMap(({ name, ggmlType, shape, bytes }) => {
    const info = [text(name), u32(shape.length), ...shape.toReversed().map(u64), u32(ggmlType), u64(offset)];
    offset += aligned(bytes).length;
    return info;
  });
  const header = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(2), ...keys, ...infos]);
  return Buffer.concat([aligned(header), ...tensors.map(({ bytes }) => aligned(bytes))]);
}

/** Repeatable noise: bytes from a seed (mulberry32). */
export function noise(length: number, seed: number): Uint8Array {
  const random = randomNumbers(seed);
  return Uint8Array.from({ length }, () => Math.floor(random() * 256));
}

/** Repeatable numbers in [0, 1). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** bf16 weights of about the spread of a language model's, and the same after small updates to a share of them. */
export function weights(count: number, seed: number): Uint8Array {
  const random = randomNumbers(seed);
  const floats = Float32Array.from({ length: count }, () => (random() + random() + random() - 1.5) * 0.04);
  return halfOf(floats);
}

export function updated(bf16: Uint8Array, seed: number, share: number, size = 1e-3): Uint8Array {
  const random = randomNumbers(seed);
  const words = new Uint16Array(bf16.slice().buffer);
  const floats = new Float32Array(Uint32Array.from(words, (word) => word << 16).buffer);
  return halfOf(floats.map((value) => (random() < share ? value + (random() - 0.5) * size : value)));
}

function halfOf(floats: Float32Array): Uint8Array {
  const words = new Uint32Array(floats.buffer.slice(0));
  return new Uint8Array(Uint16Array.from(words, (word) => (word + 0x8000) >>> 16).buffer);
}
