/** What is to happen, earliest first; what is due at the same time happens in the order in which it was added. */

interface Entry<Happening> {
  readonly atMs: number;
  readonly sequence: number;
  readonly happening: Happening;
}

/** A binary heap: adding and taking cost the logarithm of what waits. */
export class Timeline<Happening> {
  private readonly heap: Entry<Happening>[] = [];
  private added = 0;

  add(atMs: number, happening: Happening): void {
    const { heap } = this;
    const entry = { atMs, sequence: this.added++, happening };
    let index = heap.length;
    while (index > 0) {
      const above = (index - 1) >> 1;
      if (!isBefore(entry, heap[above]!)) break;
      heap[index] = heap[above]!;
      index = above;
    }
    heap[index] = entry;
  }

  /** When the next one is due; null when there is none. */
  get nextMs(): number | null {
    return this.heap[0]?.atMs ?? null;
  }

  /** Takes the next one if it is due by then. */
  takeUntil(atMs: number): Entry<Happening> | null {
    const first = this.heap[0];
    if (first === undefined || first.atMs > atMs) return null;
    const last = this.heap.pop()!;
    if (this.heap.length > 0) this.sink(last);
    return first;
  }

  private sink(entry: Entry<Happening>): void {
    const { heap } = this;
    let index = 0;
    for (;;) {
      let below = 2 * index + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below += 1;
      if (!isBefore(heap[below]!, entry)) break;
      heap[index] = heap[below]!;
      index = below;
    }
    heap[index] = entry;
  }
}

function isBefore<Happening>(left: Entry<Happening>, right: Entry<Happening>): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.sequence < right.sequence);
}
