/**
 * Domains by how much each has: a bucket for every number that occurs, each bucket a set of domains. The tightest domain
 * with at least so much, or the one with the most, is found without looking at the domains; of equal ones it is the first,
 * so that an answer depends on the counts alone and not on how they came about.
 */
import { Bitset } from './bitset.ts';

export class CountIndex {
  private readonly counts: Int32Array;
  private readonly buckets: (Bitset | null)[];
  private readonly population: Int32Array;
  private readonly occurring: Bitset;
  /** Emptied buckets are used again: there are never more than there are domains. */
  private readonly spare: Bitset[] = [];

  /** Counts are 0 … `countMax`. All are 0 at first; a domain with 0 is found by no search. */
  constructor(
    private readonly size: number,
    private readonly countMax: number,
  ) {
    this.counts = new Int32Array(size);
    this.buckets = new Array(countMax + 1).fill(null);
    this.population = new Int32Array(countMax + 1);
    this.occurring = new Bitset(countMax + 1);
  }

  at(domain: number): number {
    return this.counts[domain]!;
  }

  set(domain: number, count: number): void {
    const before = this.counts[domain]!;
    if (before === count) return;
    this.counts[domain] = count;
    if (before !== 0) this.leave(before, domain);
    if (count !== 0) this.enter(count, domain);
  }

  /** A domain within `from` … `end` − 1 with the least count that is at least `count` ≥ 1; −1: none. */
  tightest(count: number, from = 0, end = this.size): number {
    if (count > this.countMax) return -1;
    for (let key = this.occurring.next(count); key !== -1; key = this.occurring.next(key + 1)) {
      const domain = this.buckets[key]!.next(from);
      if (domain !== -1 && domain < end) return domain;
    }
    return -1;
  }

  /** The domain within `from` … `end` − 1 with the most; −1 when all have 0. */
  largest(from = 0, end = this.size): number {
    return this.below(this.countMax, -1, from, end);
  }

  /** The next after `domain` when going from the most to the least; −1 after the last. */
  following(domain: number, from: number, end: number): number {
    return this.below(this.counts[domain]!, domain, from, end);
  }

  private below(count: number, after: number, from: number, end: number): number {
    let start = Math.max(from, after + 1);
    for (let key = this.occurring.previous(count); key > 0; key = this.occurring.previous(key - 1)) {
      const domain = this.buckets[key]!.next(start);
      if (domain !== -1 && domain < end) return domain;
      start = from;
    }
    return -1;
  }

  private enter(count: number, domain: number): void {
    if (this.population[count] === 0) {
      this.buckets[count] = this.spare.pop() ?? new Bitset(this.size);
      this.occurring.add(count);
    }
    this.population[count]! += 1;
    this.buckets[count]!.add(domain);
  }

  private leave(count: number, domain: number): void {
    const bucket = this.buckets[count]!;
    bucket.remove(domain);
    this.population[count]! -= 1;
    if (this.population[count] !== 0) return;
    this.spare.push(bucket);
    this.buckets[count] = null;
    this.occurring.remove(count);
  }
}
