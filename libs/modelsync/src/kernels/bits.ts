/**
 * An adaptive binary range coder in plain TypeScript, for the small headers of blocks (tables, classes, factors): some
 * thousand decisions, so that compactness counts more than speed. Carry propagation as in LZMA; probabilities of 16 bits
 * that move by 1/128, and faster while a context is new.
 *
 * The reader never reads outside its bytes: past the end it sees zeros and remembers that, for {@link BitReader.end}.
 */
import { CorruptDiffError } from '../errors.ts';

const RENORMALISE_BELOW = 2 ** 24;
const ONE_HALF = 32768;
/** Adaptation: shift n for the n-th time a context is seen, up to the last. */
const SHIFTS = [1, 2, 2, 3, 3, 3, ...Array(8).fill(4), ...Array(18).fill(5), ...Array(32).fill(6), 7] as const;

/** Probabilities (of a one) that adapt; writer and reader must be given the same number of contexts. */
class Contexts {
  private readonly probabilities: Uint16Array;
  private readonly seen: Uint8Array;
  constructor(count: number) {
    this.probabilities = new Uint16Array(count).fill(ONE_HALF);
    this.seen = new Uint8Array(count);
  }

  probability(context: number): number {
    return this.probabilities[context]!;
  }

  learn(context: number, bit: number): void {
    const seen = this.seen[context]!;
    const shift = SHIFTS[seen] as number;
    if (seen < SHIFTS.length - 1) this.seen[context] = seen + 1;
    const old = this.probabilities[context]!;
    const moved = bit ? old + ((65536 - old) >> shift) : old - (old >> shift);
    this.probabilities[context] = Math.min(65024, Math.max(512, moved));
  }
}

/** Numbers are Exp-Golomb: this many contexts from the first one. */
export const NUMBER_CONTEXTS = 48;
const LENGTH_MAX = 32;

export class BitWriter {
  private readonly contexts: Contexts;
  private bytes = new Uint8Array(256);
  private length = 0;
  private low = 0;
  private range = 0xffffffff;
  private cache = 0;
  private pending = 1;

  constructor(contexts: number) {
    this.contexts = new Contexts(contexts);
  }

  bit(context: number, bit: number): void {
    const split = (this.range >>> 16) * this.contexts.probability(context);
    if (bit) this.range = split;
    else {
      this.low += split;
      this.range -= split;
    }
    this.contexts.learn(context, bit);
    this.renormalise();
  }

  /** A bit as likely one as zero. */
  plain(bit: number): void {
    this.range = this.range >>> 1;
    if (bit) this.low += this.range;
    this.renormalise();
  }

  /** A whole number below 2^32. */
  number(context: number, value: number): void {
    const bits = 32 - Math.clz32(value);
    for (let index = 0; index < bits; index++) this.bit(context + index, 1);
    if (bits < LENGTH_MAX) this.bit(context + bits, 0);
    for (let index = bits - 2; index >= 0; index--) {
      const bit = (value >>> index) & 1;
      if (bits <= 4) this.bit(context + LENGTH_MAX + (value >>> (index + 1)), bit);
      else this.plain(bit);
    }
  }

  finish(): Uint8Array {
    for (let index = 0; index < 5; index++) this.shift();
    return this.bytes.subarray(1, this.length); // the first byte is always zero
  }

  private renormalise(): void {
    while (this.range < RENORMALISE_BELOW) {
      this.range *= 256;
      this.shift();
    }
  }

  private shift(): void {
    if (this.low < 0xff000000 || this.low > 0xffffffff) {
      const carry = this.low > 0xffffffff ? 1 : 0;
      let byte = this.cache;
      do {
        this.push(byte + carry);
        byte = 255;
      } while (--this.pending > 0);
      this.cache = (this.low >>> 24) & 255;
    }
    this.pending++;
    this.low = (this.low & 0x00ffffff) * 256;
  }

  private push(byte: number): void {
    if (this.length === this.bytes.length) {
      const grown = new Uint8Array(this.bytes.length * 2);
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.bytes[this.length++] = byte;
  }
}

export class BitReader {
  private readonly contexts: Contexts;
  private readonly bytes: Uint8Array;
  private place = 0;
  private range = 0xffffffff;
  private code = 0;

  constructor(contexts: number, bytes: Uint8Array) {
    this.contexts = new Contexts(contexts);
    this.bytes = bytes;
    for (let index = 0; index < 4; index++) this.shift();
  }

  bit(context: number): number {
    const split = (this.range >>> 16) * this.contexts.probability(context);
    const bit = this.code < split ? 1 : 0;
    if (bit) this.range = split;
    else {
      this.code -= split;
      this.range -= split;
    }
    this.contexts.learn(context, bit);
    this.renormalise();
    return bit;
  }

  plain(): number {
    this.range = this.range >>> 1;
    const bit = this.code >= this.range ? 1 : 0;
    if (bit) this.code -= this.range;
    this.renormalise();
    return bit;
  }

  number(context: number): number {
    let bits = 0;
    while (bits < LENGTH_MAX && this.bit(context + bits)) bits++;
    if (bits === 0) return 0;
    let value = 1;
    for (let index = bits - 2; index >= 0; index--) {
      const bit = bits <= 4 ? this.bit(context + LENGTH_MAX + value) : this.plain();
      value = value * 2 + bit;
    }
    return value;
  }

  /** A number that must be at most `maximum`; throws CorruptDiffError. */
  numberUpTo(context: number, maximum: number, what: string): number {
    const value = this.number(context);
    if (value > maximum) throw new CorruptDiffError(`${what} is ${value}, more than ${maximum}`);
    return value;
  }

  /** Throws CorruptDiffError unless the bytes have been used, no more and no less. */
  end(): void {
    if (this.place !== this.bytes.length) throw new CorruptDiffError("a block's header has another length");
  }

  /** Whether more was read than there is: for loops that want to stop early. */
  get exhausted(): boolean {
    return this.place > this.bytes.length;
  }

  private renormalise(): void {
    while (this.range < RENORMALISE_BELOW) {
      this.range *= 256;
      this.shift();
    }
  }

  private shift(): void {
    this.code = (this.code * 256 + (this.bytes[this.place] ?? 0)) % 4294967296;
    this.place++;
  }
}
