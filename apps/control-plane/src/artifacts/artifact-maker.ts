// Makes one artifact: encodes every file that its base lacks, proves each encoding by decoding it, and only then gives
// the encodings their place as blobs. Until then they are in a folder of their own, which a crash leaves for the sweep.
//
// Memory is bounded by blocks, the disk by the files' own sizes: an encoding that is not smaller than its file is dropped
// as soon as that shows, and the file is its own encoding.

import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArtifactFile, ArtifactProfile, FileEncoding, VersionFile } from '#domain';
import {
  applyDiff,
  type BlockRunner,
  type ByteSink,
  codecProfiles,
  decodeSnapshot,
  digestOf,
  type EncodeOptions,
  encodeDiff,
  encodeSnapshot,
  MalformedModelError,
  RefusedFormatError,
} from '#modelsync';
import type { BlobStore } from '../blobs/blob-store.ts';
import { FileSink, type FileSource, openFileSource, SinkFullError } from '../blobs/file-bytes.ts';
import { ENCODED_BYTES_MIN, type FileTask, planEncodings } from './encoding-plan.ts';

export interface MakingOrder {
  readonly id: string;
  readonly profile: ArtifactProfile;
  readonly files: readonly VersionFile[];
  /** Empty for a snapshot. */
  readonly baseFiles: readonly VersionFile[];
}

/** It cannot be made; the message is a sentence for the operator. */
export class CannotMakeError extends Error {
  override readonly name = 'CannotMakeError';
}

/** The codecs' own predictions need a base; without one, the quick set is all there is. */
const CODECS: Readonly<Record<ArtifactProfile, EncodeOptions['codecs']>> = {
  fast: codecProfiles.fast,
  small: codecProfiles.small,
  snapshot: codecProfiles.fast,
};

/** So often a crash is taken for chance. */
export const CRASHES_MAX = 3;
const CRASHES = 'crashes';

/** Left free on the disk, for uploads: so much, or this share of a smaller disk. */
const RESERVE_BYTES = 2 ** 30;
const RESERVE_SHARE = 0.05;

const nowhere: ByteSink = { write: async () => undefined };

interface Made {
  readonly entry: ArtifactFile;
  /** Where its encoding waits to become a blob; null for `whole`. */
  readonly path: string | null;
}

interface Making {
  readonly order: MakingOrder;
  /** Begins the paths of this file's encodings. */
  readonly stem: string;
  readonly runner: BlockRunner;
  readonly signal: AbortSignal;
}

export class ArtifactMaker {
  readonly #directory: string;

  constructor(private readonly blobs: BlobStore) {
    this.#directory = join(blobs.directory, 'making');
  }

  /**
   * Removes what crashes left. Only while nothing is being made.
   *
   * @returns ids of artifacts whose making ended CRASHES_MAX times with the process: another try may well end it again
   */
  async sweep(): Promise<string[]> {
    const fatal: string[] = [];
    for (const name of await readdir(this.#directory).catch(() => [])) {
      const [id = '', mark] = name.split('.');
      if (mark === CRASHES) continue;
      const count = Number(await readFile(this.#crashesPath(id), 'utf8').catch(() => '0')) + 1;
      await writeFile(this.#crashesPath(id), String(count));
      await rm(join(this.#directory, name), { recursive: true, force: true });
      if (count < CRASHES_MAX) continue;
      fatal.push(id);
      await this.#forgetCrashes(id);
    }
    return fatal;
  }

  /**
   * The artifact's entries; their blobs are in place then.
   *
   * @throws CannotMakeError, the signal's reason, and what the disk throws; nothing of it stays then
   */
  async make(order: MakingOrder, runner: BlockRunner, signal: AbortSignal): Promise<ArtifactFile[]> {
    const folder = join(this.#directory, `${order.id}.${randomUUID()}`);
    await mkdir(folder, { recursive: true, mode: 0o750 });
    try {
      const made: Made[] = [];
      for (const task of planEncodings(order.files, order.baseFiles)) {
        signal.throwIfAborted();
        made.push(await this.#makeFile(task, { order, stem: join(folder, String(made.length)), runner, signal }));
      }
      // All at once at the end: encodings of a large version may take longer than unused blobs are left in peace.
      for (const { entry, path } of made) if (path !== null) await this.blobs.adopt(path, entry.blobDigest);
      return made.map(({ entry }) => entry);
    } finally {
      await rm(folder, { recursive: true, force: true });
      await this.#forgetCrashes(order.id);
    }
  }

  #crashesPath(id: string): string {
    return join(this.#directory, `${id}.${CRASHES}`);
  }

  async #forgetCrashes(id: string): Promise<void> {
    await rm(this.#crashesPath(id), { force: true });
  }

  async #makeFile({ file, base }: FileTask, making: Making): Promise<Made> {
    const { digest, sizeBytes } = file;
    const whole = {
      digest,
      sizeBytes,
      encoding: 'whole',
      baseDigest: null,
      blobDigest: digest,
      blobBytes: sizeBytes,
    } as const;
    const next = await this.#open(file, making.signal);
    try {
      const made = sizeBytes < ENCODED_BYTES_MIN ? null : await this.#makeSmaller(file, next, base, making);
      if (made !== null) return made;
      const found = await digestOf(next);
      if (found !== digest) throw new CannotMakeError(`the blob of ${file.path} is damaged: ${found}, not ${digest}`);
      return { entry: whole, path: null };
    } finally {
      await next.close();
    }
  }

  async #makeSmaller(
    file: VersionFile,
    next: FileSource,
    base: VersionFile | null,
    making: Making,
  ): Promise<Made | null> {
    await this.#demandSpace(file.sizeBytes);
    const diff = base === null ? null : await this.#encode('diff', file, next, base, making);
    return diff ?? this.#encode('snapshot', file, next, null, making);
  }

  /** Null when this encoding is not smaller than the file, or one of the files is of no format that it knows. */
  async #encode(
    encoding: Exclude<FileEncoding, 'whole'>,
    file: VersionFile,
    next: FileSource,
    baseFile: VersionFile | null,
    making: Making,
  ): Promise<Made | null> {
    const path = `${making.stem}.${encoding}`;
    const base =
      baseFile === null ? null : { source: await this.#open(baseFile, making.signal), digest: baseFile.digest };
    try {
      if (!(await writeEncoding(path, base?.source ?? null, next, making))) return null;
      const baseDigest = base?.digest ?? null;
      const { blobDigest, blobBytes } = await proveEncoding(path, file, base, making);
      const { digest, sizeBytes } = file;
      return { entry: { digest, sizeBytes, encoding, baseDigest, blobDigest, blobBytes }, path };
    } finally {
      await base?.source.close();
    }
  }

  async #open({ digest, path, sizeBytes }: VersionFile, signal: AbortSignal): Promise<FileSource> {
    const source = await this.blobs.openSource(digest);
    if (source === null) throw new CannotMakeError(`the blob of ${path} (${digest}) is not on this disk`);
    if (source.size === sizeBytes) return endedBy(source, signal);
    await source.close();
    throw new CannotMakeError(`the blob of ${path} (${digest}) has ${source.size} bytes, not ${sizeBytes}`);
  }

  /** No encoding is larger than its file. */
  async #demandSpace(sizeBytes: number): Promise<void> {
    const { freeBytes, totalBytes } = await this.blobs.space();
    const reserveBytes = Math.min(RESERVE_BYTES, totalBytes * RESERVE_SHARE);
    if (freeBytes - sizeBytes >= reserveBytes) return;
    const needed = Math.ceil(sizeBytes + reserveBytes);
    throw new CannotMakeError(`the blob storage has ${freeBytes} bytes free; ${needed} are needed to encode a file`);
  }
}

/** Even hashing a large file takes minutes: every read looks at the signal. */
function endedBy(source: FileSource, signal: AbortSignal): FileSource {
  const read = async (offset: number, length: number) => {
    signal.throwIfAborted();
    return source.read(offset, length);
  };
  return { size: source.size, read, close: () => source.close() };
}

/** False, with no file, when it would not be smaller than `next`, or the format is not known. */
async function writeEncoding(
  path: string,
  base: FileSource | null,
  next: FileSource,
  { order, runner }: Making,
): Promise<boolean> {
  const sink = await FileSink.create(path, next.size);
  let isWritten = false;
  try {
    const options = { codecs: CODECS[order.profile], runner };
    await (base === null ? encodeSnapshot(next, sink, options) : encodeDiff(base, next, sink, options));
    await sink.sync();
    isWritten = true;
  } catch (error) {
    const isNoUse = [SinkFullError, MalformedModelError, RefusedFormatError].some((kind) => error instanceof kind);
    if (!isNoUse) throw error;
  } finally {
    await sink.close();
    if (!isWritten) await rm(path, { force: true });
  }
  return isWritten;
}

/**
 * Decodes the encoding as a cluster would, from the very bytes on the disk.
 *
 * @throws ModelSyncError when it does not give the file, or a blob is not what its name says
 */
async function proveEncoding(
  path: string,
  file: VersionFile,
  base: { source: FileSource; digest: string } | null,
  { runner, signal }: Making,
): Promise<{ blobDigest: string; blobBytes: number }> {
  const encoded = endedBy(await openFileSource(path), signal);
  try {
    const wanted = { digest: file.digest, bytes: file.sizeBytes };
    const options = { runner, signal, wanted };
    // The container names the base's digest as read while encoding: a damaged base shows here.
    if (base === null) await decodeSnapshot(encoded, nowhere, options);
    else await applyDiff(base.source, encoded, nowhere, { ...options, baseDigest: base.digest });
    return { blobDigest: await digestOf(encoded), blobBytes: encoded.size };
  } finally {
    await encoded.close();
  }
}
