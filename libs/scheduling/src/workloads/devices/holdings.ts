/**
 * Who holds which device, and how to take that back: slots (devices, by number) hold a number of a holder, 0 is nobody.
 * Once a mark was asked for, every change is logged with what was there before, so that a rollback costs what changed. The
 * log grows with what is done, until all of it is undone.
 */
import type { HolderNumbers } from './holder-numbers.ts';

export class Holdings {
  /** Slot → number of its holder. */
  readonly holderOf: Int32Array;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  /** Number of a holder → its first slot, −1 or nothing: none. */
  private readonly heads: number[] = [-1];
  /** Slot, holder before, slot, holder before … */
  private readonly log: number[] = [];
  private isLogging = false;

  constructor(
    size: number,
    private readonly holders: HolderNumbers,
    private readonly changed: (slot: number) => void,
  ) {
    this.holderOf = new Int32Array(size);
    this.next = new Int32Array(size).fill(-1);
    this.previous = new Int32Array(size).fill(-1);
  }

  /** Takes a free slot. */
  hold(slot: number, holder: number): void {
    if (this.holderOf[slot] !== 0) throw new Error(`slot ${slot} is held already`);
    this.change(slot, holder);
  }

  release(holderId: string): void {
    const holder = this.holders.find(holderId);
    if (holder === undefined) return;
    for (let slot = this.headOf(holder); slot !== -1; slot = this.headOf(holder)) this.change(slot, 0);
  }

  private headOf(holder: number): number {
    return this.heads[holder] ?? -1;
  }

  mark(): number {
    this.isLogging = true;
    return this.log.length;
  }

  rollback(mark: number): void {
    if (mark > this.log.length) throw new Error(`mark ${mark} was rolled back already`);
    this.isLogging = false;
    while (this.log.length > mark) {
      const before = this.log.pop()!;
      this.change(this.log.pop()!, before);
    }
    this.isLogging = true;
  }

  /** Undoes everything since the first mark, and logs nothing until the next one. */
  revert(): void {
    this.rollback(0);
    this.isLogging = false;
  }

  private change(slot: number, holder: number): void {
    const before = this.holderOf[slot]!;
    if (this.isLogging) this.log.push(slot, before);
    if (before !== 0) this.unlink(slot, before);
    if (holder !== 0) this.link(slot, holder);
    this.holderOf[slot] = holder;
    this.changed(slot);
  }

  private link(slot: number, holder: number): void {
    const head = this.headOf(holder);
    this.next[slot] = head;
    this.previous[slot] = -1;
    if (head !== -1) this.previous[head] = slot;
    this.heads[holder] = slot;
  }

  private unlink(slot: number, holder: number): void {
    const next = this.next[slot]!;
    const previous = this.previous[slot]!;
    if (previous === -1) this.heads[holder] = next;
    else this.next[previous] = next;
    if (next !== -1) this.previous[next] = previous;
  }
}
