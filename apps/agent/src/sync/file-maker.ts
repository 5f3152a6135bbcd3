// Makes a file from its encoding and, for a diff, its base, on worker threads.
//
// Invariants (DESIGN §7.5): the file gets its name only after its own bytes on disk were read again and have the digest;
// `<digest>.partial` may be cut at any byte, and the next try goes on from there. Files are made one after another, so
// memory is bounded by a few blocks of one file; the threads live only while something is fetched.
import { constants } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '#files';
import { type ApplyOptions, applyDiff, decodeSnapshot, WorkerPool } from '#modelsync';
import { BadArtifactError, isDiskFull, messageOf } from '../errors.ts';
import { blobPath, diskFull, hashFile } from './blob-download.ts';
import { fileSink, fileSource } from './file-bytes.ts';

export interface Making {
  readonly digest: string;
  readonly sizeBytes: number;
  /** Verified: its SHA-256 is what the plan says. */
  readonly encodingPath: string;
  /** Null: the encoding is a snapshot. Its SHA-256 was just computed, and is `digest`. */
  readonly base: { readonly path: string; readonly digest: string } | null;
  /** The file appears as a blob of this folder. */
  readonly blobsFolder: string;
  readonly signal: AbortSignal;
  readonly onProgress: (resultBytes: number) => void;
}

export class FileMaker {
  readonly #threads: number;
  #pool: WorkerPool | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** 1..16 threads, started at the first file. */
  constructor(threads: number) {
    this.#threads = threads;
  }

  /**
   * @throws BadArtifactError when the encoding does not make the file, which then is not there in any form
   * @throws SyncError `disk-full`; the signal's reason, after which the partial file stays
   */
  make(making: Making): Promise<void> {
    const next = this.#last.then(() => this.#makeNext(making));
    this.#last = next.catch(() => undefined);
    return next;
  }

  /** Ends the threads; the next file starts new ones. Call when nothing is being made. */
  async close(): Promise<void> {
    const pool = this.#pool;
    this.#pool = undefined;
    await pool?.close();
  }

  async #makeNext(making: Making): Promise<void> {
    const { digest, blobsFolder, signal } = making;
    signal.throwIfAborted();
    const path = blobPath(blobsFolder, digest);
    const partial = `${path}.partial`;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await this.#write(partial, making);
      const found = (await hashFile(partial, signal)).digest('hex');
      if (found !== digest) throw new Error(`its bytes on disk have digest ${found}`);
      await rename(partial, path);
      await chmod(path, 0o444);
      await syncFolder(dirname(path));
    } catch (cause) {
      signal.throwIfAborted();
      await rm(partial, { force: true });
      // A thread may have died of it; the next file gets new ones.
      await this.close();
      const words = { path: `file ${digest.slice(0, 12)}` };
      if (isDiskFull(cause)) throw diskFull(words, cause);
      if (isOfTheSystem(cause)) throw cause;
      throw new BadArtifactError(`The encoding of ${words.path} does not make it: ${messageOf(cause)}.`, { cause });
    }
  }

  async #write(partial: string, making: Making): Promise<void> {
    const { digest, sizeBytes, encodingPath, base, signal, onProgress } = making;
    const opened: FileHandle[] = [];
    const opening = async (path: string, flags: string | number) => {
      const handle = await open(path, flags, 0o600);
      opened.push(handle);
      return handle;
    };
    try {
      const sink = await opening(partial, constants.O_RDWR | constants.O_CREAT);
      const encoding = await sourceOf(await opening(encodingPath, 'r'));
      const { size } = await sink.stat();
      if (size > sizeBytes) await sink.truncate(0);
      this.#pool ??= new WorkerPool(this.#threads);
      const options: ApplyOptions = {
        runner: this.#pool,
        wanted: { digest, bytes: sizeBytes },
        ...(size > 0 && size <= sizeBytes ? { resumeFrom: fileSource(sink, size) } : {}),
        onProgress: ({ resultBytesDone }) => onProgress(resultBytesDone),
        signal,
      };
      if (base === null) await decodeSnapshot(encoding, fileSink(sink), options);
      else {
        const source = await sourceOf(await opening(base.path, 'r'));
        await applyDiff(source, encoding, fileSink(sink), { ...options, baseDigest: base.digest });
      }
      await sink.sync();
    } finally {
      for (const handle of opened) await handle.close();
    }
  }
}

async function sourceOf(handle: FileHandle) {
  return fileSource(handle, (await handle.stat()).size);
}

/** An error of the disk or the machine, not of the encoding. */
function isOfTheSystem(cause: unknown): boolean {
  return typeof (cause as { errno?: unknown } | null)?.errno === 'number';
}
