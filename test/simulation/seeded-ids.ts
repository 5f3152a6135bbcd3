/**
 * In the place of `uuid` in simulations: the same seed gives the same ids, so that a tie that production breaks by an id
 * is broken alike in a replay. Ids are UUIDv7 by the clock of whoever makes them, as in production.
 */
let state = 0;

/** Called at the beginning of each run. */
export function resetIds(seed: number): void {
  state = (seed * 0x9e3779b1 + 0x7f4a7c15) >>> 0;
}

export function v7({ msecs = Date.now() }: { msecs?: number } = {}): string {
  const time = msecs.toString(16).padStart(12, '0').slice(-12);
  const [first, second, third] = [next(), next(), next()].map((word) => word.toString(16).padStart(8, '0'));
  const variant = '89ab'[Number.parseInt(second![0]!, 16) & 3];
  return `${time.slice(0, 8)}-${time.slice(8)}-7${first!.slice(0, 3)}-${variant}${second!.slice(1, 4)}-${second!.slice(4)}${third}`;
}

/** 32 bits (mulberry32). */
function next(): number {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return (mixed ^ (mixed >>> 14)) >>> 0;
}
