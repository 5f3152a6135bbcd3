import { readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Layout, type Piece, readLayout } from '#modelsync';
import { openSource } from './file-bytes.ts';

export interface Pair {
  /** `base → next`, without what the names have in common. */
  readonly name: string;
  readonly base: string;
  readonly next: string;
}

const PROBE_BYTES = 4096;
/** Another file must be this much nearer than the base to be taken in its place. */
const BASE_PREFERENCE = 1.2;

/** The pair of two files. */
export function pairOf(base: string, next: string): Pair {
  const plain = (path: string) => basename(path).replace(/\.(safetensors|gguf|onnx|bin)$/, '');
  return { name: `${plain(base)} → ${plain(next)}`, base, next };
}

/**
 * The natural pairs of a folder: each file against the nearest of `base…` and the files before it by name, where nearest
 * means most equal bytes in a sample of the tensors that both have, the base being preferred. Files that share no tensor make no pair.
 */
export async function pairsOf(folder: string): Promise<Pair[]> {
  const isBase = (path: string) => /(^|[-_.])base\b/.test(basename(path));
  const paths = readdirSync(folder)
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile() && /\.(safetensors|gguf|onnx|bin)$/.test(path))
    .sort((left, right) => Number(isBase(right)) - Number(isBase(left)) || (left < right ? -1 : 1));
  const files = await Promise.all(paths.map(async (path) => ({ path, probe: await probe(path) })));
  return files.flatMap(({ path, probe: own }, index) => {
    if (isBase(path)) return [];
    const scored = files.slice(0, index).map((other) => ({
      path: other.path,
      score: likeness(other.probe, own) * (isBase(other.path) ? BASE_PREFERENCE : 1),
    }));
    const nearest = scored.reduce((best, each) => (each.score > best.score ? each : best), { path: '', score: 0 });
    return nearest.score === 0 ? [] : [pairOf(nearest.path, path)];
  });
}

interface Probe {
  readonly layout: Layout;
  readonly samples: ReadonlyMap<string, { readonly piece: Piece; readonly bytes: Uint8Array }>;
}

async function probe(path: string): Promise<Probe> {
  const source = openSource(path);
  const layout = await readLayout(source);
  const samples = new Map<string, { piece: Piece; bytes: Uint8Array }>();
  for (const piece of layout.pieces.filter(({ kind }) => kind === 'tensor' || kind === 'body')) {
    samples.set(piece.name, { piece, bytes: await source.read(piece.offset, Math.min(PROBE_BYTES, piece.bytes)) });
  }
  source.close();
  return { layout, samples };
}

/** Bytes of the tensors that both have, each weighted by one tenth and nine tenths of its share of equal bytes. */
function likeness(base: Probe, next: Probe): number {
  let score = 0;
  for (const [name, { piece, bytes }] of next.samples) {
    const other = base.samples.get(name);
    if (other === undefined || other.piece.dtype !== piece.dtype) continue;
    const equal = bytes.reduce((count, byte, at) => count + (other.bytes[at] === byte ? 1 : 0), 0);
    score += piece.bytes * (0.1 + (0.9 * equal) / Math.max(1, bytes.length));
  }
  return score;
}
