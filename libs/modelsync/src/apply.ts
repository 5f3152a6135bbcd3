/**
 * Turns a container and its base into the result. Any block can be decoded without the others, so applying runs in
 * parallel, in memory for a few blocks, and carries on after a kill: blocks that the sink already holds, by their
 * checksums, are not decoded again. The result's SHA-256 is over every byte either way.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { type ByteSink, type ByteSource, readExactly } from './bytes.ts';
import type { BlockEntry, PieceEntry } from './container/entries.ts';
import { type Container, openContainer } from './container/open.ts';
import { digestOf } from './digest.ts';
import { CorruptDiffError, InvalidOptionError, WrongBaseError, WrongResultError } from './errors.ts';
import { readBaseOf } from './pieces/read-block.ts';
import { RecentModels } from './pieces/recent-models.ts';
import { type BlockRunner, inlineRunner, inOrder } from './workers/runner.ts';

export interface ApplyOptions {
  /** Default: the caller's own thread. */
  readonly runner?: BlockRunner;
  /** The caller has just computed the base's SHA-256 itself: it is compared, not computed again. */
  readonly baseDigest?: string;
  /** What the result must be, where the caller knows: another container is refused before anything is written. */
  readonly wanted?: { readonly digest: string; readonly bytes: number };
  /** What an earlier attempt left in the sink. Its blocks count only where their checksums match. */
  readonly resumeFrom?: ByteSource;
  /** Called after each block, in order. */
  readonly onProgress?: (progress: ApplyProgress) => void;
  /** Ends between two blocks with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface ApplyProgress {
  readonly resultBytesDone: number;
  readonly resultBytes: number;
}

export interface ApplyReport {
  readonly resultDigest: string;
  readonly resultBytes: number;
  /** Bytes that an earlier attempt had left. */
  readonly resumedBytes: number;
}

/**
 * Writes the diff's result to `sink`, each byte once. The result may be used only when this returns.
 * Throws WrongBaseError before anything is written, WrongResultError after everything was; CorruptDiffError,
 * NotADiffError, UnsupportedVersionError, UnknownCodecError, ShortReadError.
 */
export async function applyDiff(
  base: ByteSource,
  diff: ByteSource,
  sink: ByteSink,
  options: ApplyOptions = {},
): Promise<ApplyReport> {
  const container = await openContainer(diff);
  if (container.kind !== 'diff') throw new InvalidOptionError('diff', 'is a snapshot, which needs no base');
  if (base.size !== container.baseSize)
    throw new WrongBaseError(`it has ${base.size} bytes, the diff was made from a file of ${container.baseSize}`);
  const digest = options.baseDigest ?? (await digestOf(base));
  if (digest !== container.baseDigest)
    throw new WrongBaseError(`its SHA-256 is ${digest}, the diff was made from ${container.baseDigest}`);
  return writeResult(container, base, sink, options);
}

/** Writes the file that a snapshot holds. Throws as {@link applyDiff}. */
export async function decodeSnapshot(
  snapshot: ByteSource,
  sink: ByteSink,
  options: Omit<ApplyOptions, 'baseDigest'> = {},
): Promise<ApplyReport> {
  const container = await openContainer(snapshot);
  if (container.kind !== 'snapshot')
    throw new InvalidOptionError('snapshot', `is a diff, which needs its base ${container.baseDigest}`);
  return writeResult(container, null, sink, options);
}

/** Decodes one block without the others. Throws CorruptDiffError, UnknownCodecError, ShortReadError. */
export async function decodeBlockOf(
  container: Container,
  base: ByteSource | null,
  { index, piece, codec, start, bytes, payloadOffset, payloadBytes, payloadCrc, crc }: BlockEntry,
  runner: BlockRunner = inlineRunner,
): Promise<Uint8Array> {
  const from = await readBaseOf(base, piece.type, piece.base, start, bytes, codec.name === 'patched');
  const payload = await readExactly(container.source, payloadOffset, payloadBytes);
  if (crc32(payload) !== payloadCrc)
    throw new CorruptDiffError(`the payload of block ${index} does not match its checksum`);
  return runner.decode({
    ...from,
    typeCode: piece.type.code,
    model: await readModel(container, piece),
    firstElement: start / piece.type.bytes,
    codecCode: codec.code,
    payload,
    bytes,
    crc,
  });
}

async function writeResult(
  container: Container,
  base: ByteSource | null,
  sink: ByteSink,
  options: ApplyOptions,
): Promise<ApplyReport> {
  const { runner = inlineRunner, wanted, resumeFrom, onProgress, signal } = options;
  if (wanted !== undefined && (wanted.digest !== container.resultDigest || wanted.bytes !== container.resultSize))
    throw new WrongResultError(wanted.digest, container.resultDigest);
  const result = createHash('sha256');
  let resultBytesDone = 0;
  let resumedBytes = 0;
  await inOrder(
    container.blocks,
    runner.concurrency,
    async (block) => {
      signal?.throwIfAborted();
      const held = resumeFrom === undefined ? null : await heldBlock(resumeFrom, block);
      return { isHeld: held !== null, bytes: held ?? (await decodeBlockOf(container, base, block, runner)) };
    },
    async ({ isHeld, bytes }, { piece, start }) => {
      result.update(bytes);
      resultBytesDone += bytes.length;
      if (isHeld) resumedBytes += bytes.length;
      else await sink.write(piece.offset + start, bytes);
      onProgress?.({ resultBytesDone, resultBytes: container.resultSize });
    },
  );
  const resultDigest = result.digest('hex');
  if (resultDigest !== container.resultDigest) throw new WrongResultError(container.resultDigest, resultDigest);
  return { resultDigest, resultBytes: container.resultSize, resumedBytes };
}

/** The block's bytes where an earlier attempt wrote them whole; null otherwise. */
async function heldBlock(held: ByteSource, { piece, start, bytes, crc }: BlockEntry): Promise<Uint8Array | null> {
  const offset = piece.offset + start;
  if (offset + bytes > held.size) return null;
  const found = await readExactly(held, offset, bytes);
  return crc32(found) === crc ? found : null;
}

const models = new WeakMap<Container, RecentModels>();

async function readModel(container: Container, piece: PieceEntry): Promise<Uint8Array> {
  const { model } = piece;
  if (model === null) return new Uint8Array(0);
  const recent = models.get(container) ?? new RecentModels();
  models.set(container, recent);
  return recent.of(piece, () => fetchModel(container, model));
}

async function fetchModel({ source }: Container, model: NonNullable<PieceEntry['model']>): Promise<Uint8Array> {
  const bytes = await readExactly(source, model.offset, model.bytes);
  if (crc32(bytes) !== model.crc) throw new CorruptDiffError("a tensor's model does not match its checksum");
  return bytes;
}
