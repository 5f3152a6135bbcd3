// The shape of a version's model, for a claim that says `auto`: from its config.json where it has one, else from the names
// and sizes of its tensors. Reads headers, never the weights.

import type { ModelVersion, VersionFile } from '#domain';
import { ModelSyncError, type Piece, readLayout } from '#modelsync';
import { configProblem, type ModelConfig, type ModelShape, shapeFromConfig, shapeFromTensors } from '#scheduling';
import type { BlobStore } from '../blobs/blob-store.ts';

const CONFIG_BYTES_MAX = 1_048_576;
const WEIGHTS = /\.(safetensors|gguf)$/i;
/** Without a config nothing says how attention is divided: heads of 64 are the most common small ones. */
const HEAD_SIZE_GUESSED = 64;

/** A sentence when no shape can be made. */
export async function shapeOfVersion(blobs: BlobStore, { files }: ModelVersion): Promise<ModelShape | string> {
  const weights = files.filter(({ path }) => WEIGHTS.test(path));
  if (weights.length === 0) return 'the base version has no safetensors or GGUF file';
  const config = files.find(({ path }) => path === 'config.json');
  if (config !== undefined) {
    const parsed = await readConfig(blobs, config);
    const problem = parsed === null ? 'is not a JSON object' : configProblem(parsed);
    if (problem !== null) return `config.json of the base version: ${problem}`;
    const bytes = weights.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return shapeFromConfig(parsed as unknown as ModelConfig, bytes);
  }
  return shapeFromFiles(blobs, weights);
}

async function readConfig(blobs: BlobStore, file: VersionFile): Promise<Record<string, unknown> | null> {
  if (file.sizeBytes > CONFIG_BYTES_MAX) return null;
  const chunks: Buffer[] = [];
  for await (const chunk of blobs.read(file.digest)) chunks.push(chunk as Buffer);
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

async function shapeFromFiles(blobs: BlobStore, weights: readonly VersionFile[]): Promise<ModelShape | string> {
  const pieces: Piece[] = [];
  for (const { digest, path } of weights) {
    const source = await blobs.openSource(digest);
    if (source === null) return `${path} of the base version is not in the registry`;
    try {
      pieces.push(...(await readLayout(source)).pieces.filter(({ kind }) => kind === 'tensor'));
    } catch (error) {
      if (error instanceof ModelSyncError) return `${path} of the base version: ${error.message}`;
      throw error;
    } finally {
      await source.close();
    }
  }
  const hiddenSize = hiddenSizeOf(pieces);
  if (hiddenSize === null) return 'neither a config.json nor an embedding says how wide the base version is';
  const tensors = pieces.map(({ name, shape, bytes }) => ({ name, bytes, elements: shape.reduce((a, b) => a * b, 1) }));
  const heads = Math.max(1, Math.floor(hiddenSize / HEAD_SIZE_GUESSED));
  return shapeFromTensors(tensors, { hiddenSize, attentionHeads: heads, keyValueHeads: heads });
}

/** The embedding is vocabulary × hidden, in either order; there are more words than dimensions. */
function hiddenSizeOf(pieces: readonly Piece[]): number | null {
  const embedding = pieces.find(
    ({ name, shape }) => /(token_embd|embed_tokens|wte)\b/.test(name) && shape.length === 2,
  );
  return embedding === undefined ? null : Math.min(...embedding.shape);
}
