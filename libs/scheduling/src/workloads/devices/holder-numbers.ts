/**
 * Holders by number: 1, 2, 3 … as they come, 0 is nobody. All that is kept of holders is kept by number, so
 * that tens of thousands of names are hashed once. Whoever asks in the order in which they came does not hash at all.
 */
export class HolderNumbers {
  private readonly names: string[] = [''];
  private readonly numbers = new Map<string, number>();
  /** The one after the last that was asked for. */
  private next = 1;

  /** Names that have one. */
  get size(): number {
    return this.numbers.size;
  }

  /** Gives it one when it has none. */
  of(holderId: string): number {
    const known = this.find(holderId);
    if (known !== undefined) return known;
    const number = this.names.push(holderId) - 1;
    this.numbers.set(holderId, number);
    this.next = number + 1;
    return number;
  }

  find(holderId: string): number | undefined {
    const number = this.names[this.next] === holderId ? this.next : this.numbers.get(holderId);
    if (number !== undefined) this.next = number + 1;
    return number;
  }

  nameOf(number: number): string {
    return this.names[number]!;
  }
}
