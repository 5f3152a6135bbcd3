/**
 * Random numbers from a seed: the same seed and name give the same numbers on every machine. Each use has a stream of
 * its own by name, so that one more draw of one kind moves no number of another.
 */

export type Random = () => number;

/** Uniform in [0, 1). `seed` is any whole number. Source: mulberry32 (Tommy Ettinger, public domain), seeded by FNV-1a. */
export function seededRandom(seed: number, stream: string): Random {
  let state = fnv1a(`${seed}:${stream}`);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal, by Box and Muller. */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** e^(σ·N): multiplies an estimate by an error whose median is 1. σ = 0 gives exactly 1. */
export function logNormalFactor(random: Random, sigma: number): number {
  return sigma === 0 ? 1 : Math.exp(sigma * normal(random));
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
