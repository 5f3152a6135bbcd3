/**
 * Who holds which device, and how to take that back: slots (devices, by number) hold a number of a holder, 0 is nobody.
 * Once a mark was asked for, every change is logged with what was there before, so that a rollback costs what changed. The
 * log and the names of holders grow with what is done: an account is made for one cycle and thrown away.
 */
export class Holdings {
  /** Slot → number of its holder. */
  readonly holderOf: Int32Array;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  /** Number of a holder → its first slot, −1: none. */
  private readonly heads: number[] = [-1];
  private readonly names: string[] = [''];
  private readonly numbers = new Map<string, number>();
  /** Slot, holder before, slot, holder before … */
  private readonly log: number[] = [];
  private isLogging = false;

  constructor(
    size: number,
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
    const holder = this.numbers.get(holderId);
    if (holder === undefined) return;
    for (let slot = this.heads[holder]!; slot !== -1; slot = this.heads[holder]!) this.change(slot, 0);
  }

  numberOf(holderId: string): number {
    const known = this.numbers.get(holderId);
    if (known !== undefined) return known;
    const number = this.names.push(holderId) - 1;
    this.heads.push(-1);
    this.numbers.set(holderId, number);
    return number;
  }

  nameOf(holder: number): string {
    return this.names[holder]!;
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

  private change(slot: number, holder: number): void {
    const before = this.holderOf[slot]!;
    if (this.isLogging) this.log.push(slot, before);
    if (before !== 0) this.unlink(slot, before);
    if (holder !== 0) this.link(slot, holder);
    this.holderOf[slot] = holder;
    this.changed(slot);
  }

  private link(slot: number, holder: number): void {
    const head = this.heads[holder]!;
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
