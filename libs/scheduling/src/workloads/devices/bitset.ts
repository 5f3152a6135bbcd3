/**
 * A set of small whole numbers that finds its next or previous member without looking at each: one bit a number, and one
 * bit for every 32 of those. Among 5,000 numbers a search reads about five words.
 */
export class Bitset {
  private readonly words: Int32Array;
  private readonly summary: Int32Array;

  /** Members are 0 … `size` − 1. */
  constructor(size: number) {
    this.words = new Int32Array(Math.ceil(size / 32) + 1);
    this.summary = new Int32Array(Math.ceil(this.words.length / 32));
  }

  add(member: number): void {
    const at = member >> 5;
    this.words[at]! |= 1 << (member & 31);
    this.summary[at >> 5]! |= 1 << (at & 31);
  }

  remove(member: number): void {
    const at = member >> 5;
    this.words[at]! &= ~(1 << (member & 31));
    if (this.words[at] === 0) this.summary[at >> 5]! &= ~(1 << (at & 31));
  }

  /** The least member that is at least `from`; −1 when there is none. */
  next(from: number): number {
    const at = from >> 5;
    if (at >= this.words.length) return -1;
    const rest = this.words[at]! & (-1 << (from & 31));
    if (rest !== 0) return (at << 5) + lowest(rest);
    const word = nextIn(this.summary, at + 1);
    return word === -1 ? -1 : (word << 5) + lowest(this.words[word]!);
  }

  /** The greatest member that is at most `from`; −1 when there is none. */
  previous(from: number): number {
    if (from < 0) return -1;
    const at = from >> 5;
    const rest = this.words[at]! & (-1 >>> (31 - (from & 31)));
    if (rest !== 0) return (at << 5) + highest(rest);
    const word = previousIn(this.summary, at - 1);
    return word === -1 ? -1 : (word << 5) + highest(this.words[word]!);
  }
}

function nextIn(words: Int32Array, from: number): number {
  let at = from >> 5;
  if (at >= words.length) return -1;
  let word = words[at]! & (-1 << (from & 31));
  while (word === 0) {
    at += 1;
    if (at >= words.length) return -1;
    word = words[at]!;
  }
  return (at << 5) + lowest(word);
}

function previousIn(words: Int32Array, from: number): number {
  if (from < 0) return -1;
  let at = from >> 5;
  let word = words[at]! & (-1 >>> (31 - (from & 31)));
  while (word === 0) {
    at -= 1;
    if (at < 0) return -1;
    word = words[at]!;
  }
  return (at << 5) + highest(word);
}

function lowest(word: number): number {
  return 31 - Math.clz32(word & -word);
}

function highest(word: number): number {
  return 31 - Math.clz32(word);
}
