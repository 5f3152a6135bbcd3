const TICK_MS = 10;
const COUNTED_MS_MAX = 3 * TICK_MS;
const LIFE_MS = 120_000;

/**
 * Counts milliseconds from now on as this process lives them: while the machine is too busy to run it, next to nothing is
 * counted. For bounds that the product promises; how long things take otherwise is for benches. Ends by itself after
 * 2 min.
 *
 * @returns what reads the count
 */
export function startStopwatch(): () => number {
  let livedMs = 0;
  let lastMs = performance.now();
  const count = () => {
    const nowMs = performance.now();
    livedMs += Math.min(nowMs - lastMs, COUNTED_MS_MAX);
    lastMs = nowMs;
    return livedMs;
  };
  const ticks = setInterval(() => {
    if (count() > LIFE_MS) clearInterval(ticks);
  }, TICK_MS).unref();
  return count;
}
