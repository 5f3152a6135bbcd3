/**
 * Writes diffs and snapshots: one pass over the next file in bounded memory (a few blocks), blocks coded wherever the
 * runner runs them.
 */
import { createHash, type Hash } from 'node:crypto';
import { type ByteSink, type ByteSource, chunksOf, readExactly } from './bytes.ts';
import type { CodecName } from './codecs/codec.ts';
import type { EncodeWork } from './codecs/work.ts';
import { BLOCK_BYTES_MAX, BLOCK_BYTES_MIN } from './container/header.ts';
import { type CodecCounts, ContainerWriter } from './container/writer.ts';
import { digestOf } from './digest.ts';
import { InvalidOptionError } from './errors.ts';
import { readLayout } from './formats/recognise.ts';
import { alignLayouts } from './pieces/align.ts';
import { blockLength } from './pieces/cut.ts';
import { cutSlabs, fitStretch } from './pieces/fit.ts';
import { type JoinedStretch, joinStretches } from './pieces/join.ts';
import { readBaseOf } from './pieces/read-block.ts';
import { type BlockRunner, inlineRunner, inOrder } from './workers/runner.ts';

export const BLOCK_BYTES_DEFAULT = 2 * 1024 * 1024;
export const LEVEL_DEFAULT = 1;
const NO_DIGEST = '0'.repeat(64);
const NO_BYTES = new Uint8Array(0);

/** Sets of codecs with a name: what a registry makes and a planner chooses among. */
export const codecProfiles = {
  /** For fast links: hundreds of MB/s a core. */
  fast: ['patched', 'grouped', 'snapshot'],
  /** For slow links: fewest bytes. */
  small: ['patched', 'grouped', 'coded', 'predicted', 'snapshot'],
} as const satisfies Record<string, readonly CodecName[]>;

export interface EncodeOptions {
  /** Codecs that may be used besides `same` and `raw`; default `codecProfiles.small`. */
  readonly codecs?: readonly CodecName[];
  /** zstd's level, 1–22; default 1. */
  readonly level?: number;
  /** Largest block, 4 KiB–4 MiB; default 2 MiB. */
  readonly blockBytes?: number;
  /** The base's SHA-256 where the caller has verified it already; it is computed otherwise. */
  readonly baseDigest?: string;
  /** Default: the caller's own thread. */
  readonly runner?: BlockRunner;
}

export interface EncodeReport {
  /** Size of the container. */
  readonly bytes: number;
  readonly baseDigest: string | null;
  readonly resultDigest: string;
  readonly resultBytes: number;
  readonly codecs: CodecCounts;
}

/**
 * Writes the diff that turns `base` into `next`. The sink gets every byte of the container once, the header last.
 * Throws MalformedModelError, RefusedFormatError, InvalidOptionError, ShortReadError, and what source and sink throw.
 */
export async function encodeDiff(
  base: ByteSource,
  next: ByteSource,
  sink: ByteSink,
  options: EncodeOptions = {},
): Promise<EncodeReport> {
  return encodeContainer(base, next, sink, options);
}

/** Writes a container that holds `next` by itself. Throws as {@link encodeDiff}. */
export async function encodeSnapshot(
  next: ByteSource,
  sink: ByteSink,
  options: Omit<EncodeOptions, 'baseDigest'> = {},
): Promise<EncodeReport> {
  return encodeContainer(null, next, sink, options);
}

type Settings = Required<Omit<EncodeOptions, 'baseDigest'>>;

async function encodeContainer(
  base: ByteSource | null,
  next: ByteSource,
  sink: ByteSink,
  options: EncodeOptions,
): Promise<EncodeReport> {
  const settings = checkedOptions(options);
  const aligned = alignLayouts(base === null ? null : await readLayout(base), await readLayout(next));
  const isPredicted = settings.codecs.includes('predicted');
  const stretches = joinStretches(isPredicted ? cutSlabs(aligned) : aligned, base, next, async (stretch) =>
    isPredicted ? fitStretch(stretch, base, next, settings.runner) : NO_BYTES,
  );
  const baseDigest = base === null ? null : (options.baseDigest ?? (await digestOf(base)));
  const writer = new ContainerWriter(sink);
  const result = createHash('sha256');
  for await (const stretch of stretches) {
    await writer.addPiece(stretch, stretch.model);
    await inOrder(
      blockWork(stretch, base, next, settings, result),
      settings.runner.concurrency,
      (work) => settings.runner.encode(work),
      (encoded, work) => writer.addBlock(encoded, work.next.length),
    );
  }
  const resultDigest = result.digest('hex');
  const bytes = await writer.finish({
    kind: base === null ? 'snapshot' : 'diff',
    blockBytes: settings.blockBytes,
    baseSize: base?.size ?? 0,
    resultSize: next.size,
    baseDigest: baseDigest ?? NO_DIGEST,
    resultDigest,
  });
  return { bytes, baseDigest, resultDigest, resultBytes: next.size, codecs: writer.counts };
}

/** Reads one block after another, in order, and so feeds the result's digest. */
async function* blockWork(
  stretch: JoinedStretch,
  base: ByteSource | null,
  next: ByteSource,
  settings: Settings,
  result: Hash,
): AsyncGenerator<EncodeWork> {
  const { type, offset, bytes, isSame, model } = stretch;
  for (const [start, length] of chunksOf(0, bytes, blockLength(type, bytes, settings.blockBytes))) {
    const block = await readExactly(next, offset + start, length);
    result.update(block);
    const from = await readBaseOf(base, type, stretch.base, start, length, !isSame);
    yield {
      ...from,
      typeCode: type.code,
      model,
      firstElement: start / type.bytes,
      next: block,
      allowed: settings.codecs,
      level: settings.level,
    };
  }
}

function checkedOptions(options: EncodeOptions): Settings {
  const { codecs = codecProfiles.small, level = LEVEL_DEFAULT, blockBytes = BLOCK_BYTES_DEFAULT } = options;
  if (!Number.isInteger(level) || level < 1 || level > 22)
    throw new InvalidOptionError('level', `${level} is not in 1–22`);
  if (!Number.isInteger(blockBytes) || blockBytes < BLOCK_BYTES_MIN || blockBytes > BLOCK_BYTES_MAX)
    throw new InvalidOptionError('blockBytes', `${blockBytes} is not in ${BLOCK_BYTES_MIN}–${BLOCK_BYTES_MAX}`);
  return { codecs, level, blockBytes, runner: options.runner ?? inlineRunner };
}
