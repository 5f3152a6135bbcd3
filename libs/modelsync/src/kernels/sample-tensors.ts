/** Deterministic made-up tensors for this folder's specs. */

/** Whole numbers below 2^32 from a seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

export function noise(length: number, seed: number): Uint8Array {
  const random = generator(seed);
  return Uint8Array.from({ length }, () => random() >>> 24);
}

/** Roughly normal, with this deviation. */
export function normal(random: () => number, deviation: number): number {
  let sum = 0;
  for (let index = 0; index < 6; index++) sum += random() / 2 ** 32 - 0.5;
  return sum * Math.SQRT2 * deviation;
}

/** bf16 weights of deviation 0.02. */
export function weights(elements: number, seed: number): Uint8Array {
  const random = generator(seed);
  return toBrain(Float32Array.from({ length: elements }, () => normal(random, 0.02)));
}

/** bf16 weights of which a share moved by a normal amount. */
export function changed(base: Uint8Array, deviation: number, share: number, seed: number): Uint8Array {
  const random = generator(seed);
  const values = fromBrain(base);
  for (let index = 0; index < values.length; index++)
    if (random() < share * 2 ** 32) values[index]! += normal(random, deviation);
  return toBrain(values);
}

/** float32 to the nearest bf16 word, ties to even. */
export function toBrain(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const words = Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
  return new Uint8Array(words.buffer);
}

export function fromBrain(bytes: Uint8Array): Float32Array {
  const words = new Uint16Array(bytes.slice().buffer);
  return new Float32Array(Uint32Array.from(words, (word) => word << 16).buffer);
}
