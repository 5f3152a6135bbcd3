import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const COLUMNS = 1024;
const LAYERS = 4;

/**
 * A small made-up series for machines without real checkpoints: bf16 weights of a language model's spread, then every
 * weight nudged (`tuned`), one layer nudged (`last-layer`), a rank-4 update (`low-rank`), and a rare nudge (`step`).
 * Made-up weights have no structure, so real series compress better; this one is for trying the bench.
 */
export function writeMadeSeries(folder: string): void {
  const random = randomNumbers(7);
  const normal = () => random() + random() + random() + random() - 2;
  const weights = Array.from({ length: LAYERS }, () =>
    Float32Array.from({ length: COLUMNS * COLUMNS }, () => normal() * 0.03),
  );
  const low = Array.from({ length: 8 }, () => Float32Array.from({ length: COLUMNS }, normal));
  const product = (at: number) => {
    const [row, column] = [Math.floor(at / COLUMNS), at % COLUMNS];
    let sum = 0;
    for (let rank = 0; rank < 4; rank++) sum += low[rank]![row]! * low[rank + 4]![column]!;
    return sum;
  };
  const write = (name: string, change: (value: number, at: number, layer: number) => number) =>
    writeFileSync(
      join(folder, `${name}.safetensors`),
      fileOf(weights.map((layer, index) => layer.map((value, at) => change(value, at, index)))),
    );
  write('base', (value) => value);
  write('last-layer', (value, _at, layer) => (layer === LAYERS - 1 ? value + normal() * 1e-4 : value));
  write('low-rank', (value, at) => value + product(at) * 1e-3);
  write('step', (value) => (random() < 0.02 ? value + normal() * 2e-4 : value));
  write('tuned', (value) => value + normal() * 1e-4);
}

function fileOf(layers: readonly Float32Array[]): Uint8Array {
  const header: Record<string, unknown> = {};
  const bytes = layers.map((layer, index) => {
    const start = index * layer.length * 2;
    header[`layers.${index}.weight`] = {
      dtype: 'BF16',
      shape: [layer.length / COLUMNS, COLUMNS],
      data_offsets: [start, start + layer.length * 2],
    };
    const words = new Uint32Array(layer.buffer);
    return new Uint8Array(Uint16Array.from(words, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16).buffer);
  });
  const text = JSON.stringify(header);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, ...bytes]);
}

function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
}
