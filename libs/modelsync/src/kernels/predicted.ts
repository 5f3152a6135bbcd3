/**
 * The *predicted* codec: like *coded*, with differences from a predicted word instead of the base word. The prediction
 * is a low-rank model of the tensor's update (factors.ts, fit.ts) evaluated in float32 by both sides; the context is the
 * predicted word's exponent and how far from the middle of its rounding cell the prediction lay.
 *
 * Layout: one byte (0: next equals base; 1: predicted), then encoder.ts's.
 */
import type { ElementType } from '../elements.ts';
import { CorruptDiffError, InvalidOptionError } from '../errors.ts';
import { BlockDecoder, STRIP_ELEMENTS } from './decoder.ts';
import { shapeOf } from './element-blocks.ts';
import { encodeBlock, type Prepared } from './encoder.ts';
import { checkRange, type LowRank, type PredictionModel } from './factors.ts';
import { Arena, bytesAt, checkBlockBytes, kernels, type Shape } from './instance.ts';

const SAME = 0;
const PREDICTED = 1;
/** Exponent (8 bits), phase (3 bits). */
const CONTEXTS = 2048;

export function supportsPredicted({ name }: ElementType): boolean {
  return name === 'bfloat16' || name === 'float16' || name === 'float32';
}

/**
 * Codes `next` against `base` with the tensor's model. Both are the tensor's bytes from element `firstElement` on (row
 * after row; a block may begin and end inside a row). Throws InvalidOptionError for what does not fit together.
 */
export function encodePredicted(
  base: Uint8Array,
  next: Uint8Array,
  type: ElementType,
  model: PredictionModel,
  firstElement: number,
): Uint8Array {
  checkBlockBytes(next.length);
  if (!supportsPredicted(type)) throw new InvalidOptionError('type', `${type.name} cannot be predicted`);
  if (base.length !== next.length || next.length % type.bytes !== 0)
    throw new InvalidOptionError('base', `has ${base.length} bytes for ${next.length}`);
  checkRange(model, firstElement, next.length / type.bytes);
  if (Buffer.compare(base, next) === 0) return Uint8Array.of(SAME);
  const arena = new Arena();
  const body = encodeBlock(arena, preparePredicted(arena, base, next, shapeOf(type), model, firstElement));
  const payload = new Uint8Array(1 + body.length);
  payload[0] = PREDICTED;
  payload.set(body, 1);
  return payload;
}

/** Fills `out` (as long as `base`) from what `encodePredicted` returned. Throws CorruptDiffError. */
export function decodePredicted(
  base: Uint8Array,
  coded: Uint8Array,
  type: ElementType,
  model: PredictionModel,
  firstElement: number,
  out: Uint8Array,
): void {
  checkBlockBytes(out.length);
  const count = out.length / type.bytes;
  const fits = supportsPredicted(type) && Number.isInteger(count) && firstElement + count <= model.rows * model.columns;
  if (!fits || base.length !== out.length) throw new CorruptDiffError('a predicted block does not fit its tensor');
  if (coded[0] === SAME && coded.length === 1) {
    out.set(base);
    return;
  }
  if (coded[0] !== PREDICTED || count === 0) throw new CorruptDiffError('a predicted block begins wrongly');
  const shape = shapeOf(type);
  const arena = new Arena();
  const predict = predictor(arena, base, shape, model, firstElement, count);
  const strip = arena.take(STRIP_ELEMENTS * type.bytes);
  const words = arena.take(STRIP_ELEMENTS * 4);
  const contexts = arena.take(STRIP_ELEMENTS * 2);
  const flips = arena.take(STRIP_ELEMENTS);
  const decoder = new BlockDecoder(arena, coded.subarray(1), count, CONTEXTS);
  const { clusters, maps, classes, differences } = decoder;
  for (let first = 0; first < count; first += STRIP_ELEMENTS) {
    const elements = Math.min(STRIP_ELEMENTS, count - first);
    predict(first, elements, words, contexts, flips);
    kernels.assign(contexts, classes, maps, CONTEXTS, first, clusters, elements);
    decoder.strip(elements);
    kernels.restore(words, flips, differences, strip, elements, type.bytes, shape[2]);
    out.set(bytesAt(strip, elements * type.bytes), first * type.bytes);
  }
  decoder.end();
}

/** Contexts and differences of a block, for encoder.ts. */
export function preparePredicted(
  arena: Arena,
  base: Uint8Array,
  next: Uint8Array,
  shape: Shape,
  model: LowRank,
  firstElement: number,
): Prepared {
  const [width, , mask] = shape;
  const count = next.length / width;
  const predict = predictor(arena, base, shape, model, firstElement, count);
  const nexts = arena.takeCopy(next);
  const contexts = arena.take(count * 2);
  const differences = arena.take(count * 4);
  const words = arena.take(STRIP_ELEMENTS * 4);
  const flips = arena.take(STRIP_ELEMENTS);
  for (let first = 0; first < count; first += STRIP_ELEMENTS) {
    const elements = Math.min(STRIP_ELEMENTS, count - first);
    predict(first, elements, words, contexts + first * 2, flips);
    kernels.residuals(nexts + first * width, words, flips, differences + first * 4, elements, width, mask);
  }
  return { count, stride: CONTEXTS, width, contexts, differences };
}

type Predict = (first: number, count: number, words: number, contexts: number, flips: number) => void;

/** Copies base and factors into the module's memory; the function it returns predicts a strip of the block. */
function predictor(
  arena: Arena,
  base: Uint8Array,
  [width, , mask]: Shape,
  { rank, columns, left, right }: LowRank,
  firstElement: number,
  count: number,
): Predict {
  const bases = arena.takeCopy(base);
  const firstRow = Math.floor(firstElement / columns);
  const endRow = Math.ceil((firstElement + count) / columns);
  const leftPart = left.subarray(firstRow * rank, endRow * rank);
  const lefts = arena.takeCopy(new Uint8Array(leftPart.buffer, leftPart.byteOffset, leftPart.byteLength));
  const rights = arena.takeCopy(new Uint8Array(right.buffer, right.byteOffset, right.byteLength));
  const sums = arena.take(STRIP_ELEMENTS * 4);
  return (first, elements, words, contexts, flips) => {
    for (let done = 0; done < elements; ) {
      const element = firstElement + first + done;
      const row = Math.floor(element / columns);
      const column = element - row * columns;
      const stretch = Math.min(columns - column, elements - done);
      kernels.lowRank(lefts + (row - firstRow) * rank * 4, rights, rank, columns, column, stretch, sums + done * 4);
      done += stretch;
    }
    kernels.predictFloats(bases + first * width, sums, words, contexts, flips, elements, width, mask);
  };
}
