/**
 * The *coded* codec: differences of ordered integers, each coded with a table chosen by the base word's exponent.
 *
 * One unit in the last place is 2^(exponent − bias), so the base's exponent, which the receiver has, predicts the size of
 * the difference (integers: the bit length of the base's magnitude). Range-ANS with static tables instead of an adaptive
 * binary coder: one table look-up an element, three times as fast; what adaptivity gained, activity classes gain
 * (encoder.ts). Exact for every bit pattern.
 *
 * Layout: one byte (0: next equals base; 1: coded), the last bytes when they make no whole element, then encoder.ts's.
 */
import type { ElementType } from '../elements.ts';
import { CorruptDiffError, InvalidOptionError } from '../errors.ts';
import { decodeElements, encodeElements, shapeOf } from './element-blocks.ts';
import { checkBlockBytes } from './instance.ts';
import { decodeQuantised, encodeQuantised, isQuantised } from './quantised.ts';

const SAME = 0;
const CODED = 1;

/** Whether `encodeCoded` takes elements of this type: numbers of at most 32 bits, and Q8_0 blocks. */
export function supportsCoded(type: ElementType): boolean {
  return isQuantised(type) || (type.kind !== 'opaque' && type.bytes <= 4);
}

/**
 * Codes `next` against `base` (same length, up to {@link BLOCK_BYTES_MAX} bytes). The result may be larger than `next`
 * where the two have nothing in common. Throws InvalidOptionError for types and lengths that it does not take.
 */
export function encodeCoded(base: Uint8Array, next: Uint8Array, type: ElementType): Uint8Array {
  checkBlockBytes(next.length);
  if (base.length !== next.length) throw new InvalidOptionError('base', `has ${base.length} bytes, not ${next.length}`);
  if (!supportsCoded(type)) throw new InvalidOptionError('type', `${type.name} cannot be coded`);
  if (Buffer.compare(base, next) === 0) return Uint8Array.of(SAME);
  const whole = next.length - (next.length % type.bytes);
  const tail = next.subarray(whole);
  if (whole === 0) return Uint8Array.of(CODED, ...tail);
  const body = isQuantised(type)
    ? encodeQuantised(base.subarray(0, whole), next.subarray(0, whole))
    : encodeElements(base.subarray(0, whole), next.subarray(0, whole), shapeOf(type));
  const payload = new Uint8Array(1 + tail.length + body.length);
  payload[0] = CODED;
  payload.set(tail, 1);
  payload.set(body, 1 + tail.length);
  return payload;
}

/** Fills `out` (as long as `base`) from what `encodeCoded` returned. Throws CorruptDiffError; `out` is then undefined. */
export function decodeCoded(base: Uint8Array, coded: Uint8Array, type: ElementType, out: Uint8Array): void {
  checkBlockBytes(out.length);
  if (base.length !== out.length) throw new CorruptDiffError('a coded block and its base differ in size');
  if (!supportsCoded(type)) throw new CorruptDiffError(`elements of type ${type.name} in a coded block`);
  if (coded[0] === SAME && coded.length === 1) {
    out.set(base);
    return;
  }
  const tailLength = out.length % type.bytes;
  const whole = out.length - tailLength;
  if (coded[0] !== CODED || coded.length < 1 + tailLength) throw new CorruptDiffError('a coded block begins wrongly');
  out.set(coded.subarray(1, 1 + tailLength), whole);
  const body = coded.subarray(1 + tailLength);
  if (whole === 0) {
    if (body.length > 0) throw new CorruptDiffError('a coded block does not end where it should');
    return;
  }
  const bases = base.subarray(0, whole);
  const outs = out.subarray(0, whole);
  if (isQuantised(type)) decodeQuantised(bases, body, outs);
  else decodeElements(bases, body, shapeOf(type), outs);
}
