/**
 * *coded* for GGUF's Q8_0: blocks of an fp16 scale and 32 int8. Scales and quants are parted. A new scale moves every
 * quant of its block even where the weight stays, so quants are predicted as base quant × base scale / new scale, and
 * the difference is coded with the scale and the prediction's place in its rounding cell as context.
 *
 * Layout: length of the scales' part (varint; 0 when all scales are the base's), scales, quants.
 */
import { readVarint, writeVarint } from '../codecs/varint.ts';
import type { ElementType } from '../elements.ts';
import { CorruptDiffError } from '../errors.ts';
import { BlockDecoder, STRIP_ELEMENTS } from './decoder.ts';
import { decodeElements, encodeElements } from './element-blocks.ts';
import { encodeBlock } from './encoder.ts';
import { Arena, bytesAt, kernels, type Shape } from './instance.ts';

const BLOCK_BYTES = 34;
const QUANTS = 32;
/** Whether the quant is at its end, scale (7 bits), phase (3 bits). */
const CONTEXTS = 2048;
const SCALE_SHAPE: Shape = [2, 10, 31];

export const isQuantised = ({ kind }: ElementType) => kind === 'q8_0';

/** `base` and `next`: whole Q8_0 blocks, at least one. */
export function encodeQuantised(base: Uint8Array, next: Uint8Array): Uint8Array {
  const blocks = next.length / BLOCK_BYTES;
  const scales = scalesOf(base);
  const nextScales = scalesOf(next);
  const isSame = Buffer.compare(scales, nextScales) === 0;
  const scalePart = isSame ? new Uint8Array(0) : encodeElements(scales, nextScales, SCALE_SHAPE);

  const arena = new Arena();
  const count = blocks * QUANTS;
  const from = split(arena, base);
  const to = split(arena, next);
  const [words, contexts, differences] = [arena.take(count * 4), arena.take(count * 2), arena.take(count * 4)];
  const flips = arena.take(count);
  kernels.predictQuants(from.scales, to.scales, from.quants, words, contexts, flips, blocks);
  kernels.residuals(to.quants, words, flips, differences, count, 1, 0);
  const quantPart = encodeBlock(arena, { count, stride: CONTEXTS, width: 1, contexts, differences });

  const payload = new Uint8Array(10 + scalePart.length + quantPart.length);
  const start = writeVarint(payload, 0, scalePart.length);
  payload.set(scalePart, start);
  payload.set(quantPart, start + scalePart.length);
  return payload.subarray(0, start + scalePart.length + quantPart.length);
}

/** Fills `out` from what `encodeQuantised` returned. Throws CorruptDiffError. */
export function decodeQuantised(base: Uint8Array, body: Uint8Array, out: Uint8Array): void {
  const [scaleBytes, start] = readVarint(body, 0);
  if (scaleBytes > body.length - start) throw new CorruptDiffError("a block's scales are longer than the block");
  const blocks = out.length / BLOCK_BYTES;
  const nextScales = scalesOf(base);
  if (scaleBytes > 0) {
    const scales = nextScales.slice();
    decodeElements(scales, body.subarray(start, start + scaleBytes), SCALE_SHAPE, nextScales);
  }
  const arena = new Arena();
  const from = split(arena, base);
  const toScales = arena.takeCopy(nextScales);
  const words = arena.take(STRIP_ELEMENTS * 4);
  const contexts = arena.take(STRIP_ELEMENTS * 2);
  const flips = arena.take(STRIP_ELEMENTS);
  const quants = arena.take(STRIP_ELEMENTS);
  const joined = arena.take((STRIP_ELEMENTS / QUANTS) * BLOCK_BYTES);
  const count = blocks * QUANTS;
  const decoder = new BlockDecoder(arena, body.subarray(start + scaleBytes), count, CONTEXTS);
  const { clusters, maps, classes, differences } = decoder;
  for (let first = 0; first < count; first += STRIP_ELEMENTS) {
    const elements = Math.min(STRIP_ELEMENTS, count - first);
    const block = first / QUANTS;
    const stripScales = toScales + block * 2;
    kernels.predictQuants(
      from.scales + block * 2,
      stripScales,
      from.quants + first,
      words,
      contexts,
      flips,
      elements / QUANTS,
    );
    kernels.assign(contexts, classes, maps, CONTEXTS, first, clusters, elements);
    decoder.strip(elements);
    kernels.restore(words, flips, differences, quants, elements, 1, 0);
    kernels.joinQuantised(joined, stripScales, quants, elements / QUANTS);
    out.set(bytesAt(joined, (elements / QUANTS) * BLOCK_BYTES), block * BLOCK_BYTES);
  }
  decoder.end();
}

function scalesOf(blocks: Uint8Array): Uint8Array {
  const scales = new Uint8Array((blocks.length / BLOCK_BYTES) * 2);
  for (let from = 0, to = 0; from < blocks.length; from += BLOCK_BYTES) {
    scales[to++] = blocks[from]!;
    scales[to++] = blocks[from + 1]!;
  }
  return scales;
}

function split(arena: Arena, blocks: Uint8Array) {
  const count = blocks.length / BLOCK_BYTES;
  const packed = arena.takeCopy(blocks);
  const scales = arena.take(count * 2);
  const quants = arena.take(count * QUANTS);
  kernels.splitQuantised(packed, scales, quants, count);
  return { scales, quants };
}
