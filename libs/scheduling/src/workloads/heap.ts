/** A binary heap in an array: what goes first is at 0. Both restore the order after the element at `from` changed. */

export function sink<Element>(
  heap: Element[],
  from: number,
  precedes: (left: Element, right: Element) => boolean,
): void {
  for (let at = from; ; ) {
    const left = 2 * at + 1;
    let first = at;
    if (left < heap.length && precedes(heap[left]!, heap[first]!)) first = left;
    if (left + 1 < heap.length && precedes(heap[left + 1]!, heap[first]!)) first = left + 1;
    if (first === at) return;
    [heap[at], heap[first]] = [heap[first]!, heap[at]!];
    at = first;
  }
}

export function rise<Element>(
  heap: Element[],
  from: number,
  precedes: (left: Element, right: Element) => boolean,
): void {
  for (let at = from; at > 0; ) {
    const parent = (at - 1) >> 1;
    if (!precedes(heap[at]!, heap[parent]!)) return;
    [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
    at = parent;
  }
}
