/**
 * Q8_0 tensors are blocks of an fp16 scale and 32 int8. Codecs see them as two streams, all scales and all quants, and
 * subtract from a *predicted* base quant: where the scale changed, round(quant × base scale ÷ next scale).
 *
 * The prediction is plain double arithmetic (one division a block, one multiplication a quant), which every receiver
 * computes to the same bits.
 */
import { elementType } from '../elements.ts';
import { CorruptDiffError } from '../errors.ts';
import { readVarint, writeVarint } from './varint.ts';

const QUANTS = 32;
const BLOCK_BYTES = 2 + QUANTS;
const QUANT_MAX = 127;

export const scaleType = elementType('float16');
export const quantType = elementType('int8');

export interface Q8Streams {
  /** Two bytes a block. */
  readonly scales: Uint8Array;
  /** 32 bytes a block. */
  readonly quants: Uint8Array;
}

export function splitQ8(blocks: Uint8Array): Q8Streams {
  const count = blocks.length / BLOCK_BYTES;
  const scales = new Uint8Array(2 * count);
  const quants = new Uint8Array(QUANTS * count);
  for (let block = 0; block < count; block++) {
    const at = block * BLOCK_BYTES;
    scales[2 * block] = blocks[at]!;
    scales[2 * block + 1] = blocks[at + 1]!;
    quants.set(blocks.subarray(at + 2, at + BLOCK_BYTES), block * QUANTS);
  }
  return { scales, quants };
}

export function joinQ8({ scales, quants }: Q8Streams, out: Uint8Array): void {
  for (let block = 0; block * BLOCK_BYTES < out.length; block++) {
    const at = block * BLOCK_BYTES;
    out[at] = scales[2 * block]!;
    out[at + 1] = scales[2 * block + 1]!;
    out.set(quants.subarray(block * QUANTS, (block + 1) * QUANTS), at + 2);
  }
}

/** What the base's quants would be under the next scales, within ±127; as they are where a scale is 0 or no number. */
export function predictQuants(base: Q8Streams, nextScales: Uint8Array): Uint8Array {
  const predicted = base.quants.slice();
  for (let block = 0; 2 * block < nextScales.length; block++) {
    const was = base.scales[2 * block]! | (base.scales[2 * block + 1]! << 8);
    const is = nextScales[2 * block]! | (nextScales[2 * block + 1]! << 8);
    if (was === is) continue;
    const ratio = halfToNumber(was) / halfToNumber(is);
    if (!Number.isFinite(ratio)) continue;
    for (let index = block * QUANTS; index < (block + 1) * QUANTS; index++) {
      const quant = Math.round(((predicted[index]! << 24) >> 24) * ratio);
      predicted[index] = Math.max(-QUANT_MAX, Math.min(QUANT_MAX, quant));
    }
  }
  return predicted;
}

/** Two payloads as one: the first one's length as a varint, the first, the second. */
export function joinPayloads(first: Uint8Array, second: Uint8Array): Uint8Array {
  const header = new Uint8Array(8);
  const headerBytes = writeVarint(header, 0, first.length);
  const joined = new Uint8Array(headerBytes + first.length + second.length);
  joined.set(header.subarray(0, headerBytes));
  joined.set(first, headerBytes);
  joined.set(second, headerBytes + first.length);
  return joined;
}

export function splitPayload(payload: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const [length, start] = readVarint(payload, 0);
  if (length > payload.length - start) throw new CorruptDiffError('a part of a block ends beyond it');
  return [payload.subarray(start, start + length), payload.subarray(start + length)];
}

function halfToNumber(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  const sign = bits >> 15 === 0 ? 1 : -1;
  if (exponent === 31) return Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
}
