// One file by its digest, over HTTP range requests: resumed after any break, verified before it gets its name.
//
// Invariants (DESIGN §7.5): `<digest>` exists only with content of that digest; what is not proven yet is called
// `<digest>.partial`. A partial file's bytes are hashed again before more are added, so a torn write cannot hide.
// Deadlines are by progress (no byte, or too few, for so long), never by the size or the wall clock.
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Dispatcher, request } from 'undici';
import type { VersionFile } from '#domain';
import { syncFolder } from '#files';
import { hasCode, isDiskFull, messageOf, SyncError, type SyncFault } from '../errors.ts';

const HASH_CHUNK_BYTES = 1_048_576;
/** Given back by a transfer that filled the disk: a disk without a byte takes no document either, not even that which ends it. */
const RELIEF_BYTES = 67_108_864;

/** Where blobs are and the token of the moment. */
export interface BlobSource {
  /** The digest is appended. */
  readonly url: string;
  readonly token: string;
}

export interface DownloadOptions {
  readonly blobsFolder: string;
  readonly stallTimeoutMs: number;
  /** Fewer bytes than this in so long a wait for them end the transfer: there is a better source. Default: any will do. */
  readonly stallBytesMin?: number | undefined;
  readonly signal: AbortSignal;
  /** Called with each number of bytes that was newly written; negative when what was there proved worthless. */
  readonly onBytes: (bytes: number) => void;
  /** Awaited after each piece that was written: holds the transfer to its rate. */
  readonly pace?: (bytes: number) => Promise<void>;
  readonly dispatcher?: Dispatcher;
}

export function blobPath(blobsFolder: string, digest: string): string {
  return join(blobsFolder, 'sha256', digest);
}

/** Bytes of the file that are here, verified or not; 0 when none. */
export async function bytesHere(blobsFolder: string, digest: string): Promise<number> {
  const path = blobPath(blobsFolder, digest);
  const whole = await sizeOf(path);
  return whole > 0 ? whole : sizeOf(`${path}.partial`);
}

/**
 * Makes the file be there, verified and durable.
 * @throws SyncError saying what is wrong; partial content stays for the next try unless it is itself at fault
 */
export async function downloadBlob(file: VersionFile, source: BlobSource, options: DownloadOptions): Promise<void> {
  const path = blobPath(options.blobsFolder, file.digest);
  const partial = `${path}.partial`;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const handle = await open(partial, 'a+', 0o600);
  try {
    const have = await prefixOf(handle, partial, file, options);
    const hash = have.hash;
    if (have.bytes < file.sizeBytes) await fill(handle, hash, have.bytes, file, source, options);
    const digest = hash.digest('hex');
    if (digest !== file.digest) {
      await discard(handle, file.sizeBytes, options);
      throw new SyncError(`${file.path}: the bytes that came have digest ${digest}, wanted ${file.digest}.`, {
        fault: have.bytes > 0 ? 'torn' : 'wrong-bytes',
      });
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  // Not before: a partial file that nobody may write to would end every later try of a process that was killed here.
  await rename(partial, path);
  await chmod(path, 0o444);
  await syncFolder(dirname(path));
}

/** Hashes what an earlier try left; starts over when it is longer than the file. */
async function prefixOf(handle: FileHandle, partial: string, file: VersionFile, options: DownloadOptions) {
  const { size } = await handle.stat();
  if (size > file.sizeBytes) {
    await discard(handle, size, options);
    return { bytes: 0, hash: createHash('sha256') };
  }
  return { bytes: size, hash: size === 0 ? createHash('sha256') : await hashFile(partial, options.signal) };
}

async function discard(handle: FileHandle, bytes: number, options: DownloadOptions): Promise<void> {
  await handle.truncate(0);
  options.onBytes(-bytes);
}

/** Cuts the end of what was written off; the beginning serves the next try. */
async function giveBack(handle: FileHandle, written: number, options: DownloadOptions): Promise<void> {
  const kept = Math.max(0, written - RELIEF_BYTES);
  const isCut = await handle.truncate(kept).then(
    () => true,
    () => false, // the error of the disk tells more than this one
  );
  if (isCut && kept < written) options.onBytes(kept - written);
}

/** Streams the rest of the file behind what is there. */
async function fill(
  handle: FileHandle,
  hash: Hash,
  from: number,
  file: VersionFile,
  source: BlobSource,
  options: DownloadOptions,
): Promise<void> {
  const answer = await ask(file, from, source, options);
  let bytes = from;
  let written = from;
  try {
    await checkStatus(answer, handle, from, file, options);
    const waiting = new Waiting(options);
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      waiting.ended(file, chunk.length);
      bytes += chunk.length;
      if (bytes > file.sizeBytes) {
        await discard(handle, bytes - chunk.length, options);
        throw new SyncError(`${file.path}: more than its ${file.sizeBytes} bytes came.`, { fault: 'wrong-bytes' });
      }
      hash.update(chunk);
      await handle.appendFile(chunk);
      written = bytes;
      options.onBytes(chunk.length);
      await options.pace?.(chunk.length);
      waiting.begins();
    }
    if (bytes < file.sizeBytes)
      throw new SyncError(`${file.path}: the answer ended after ${bytes} of ${file.sizeBytes} bytes.`, {
        fault: 'wrong-bytes',
      });
  } catch (cause) {
    if (cause instanceof SyncError) throw cause;
    options.signal.throwIfAborted();
    if (isDiskFull(cause)) {
      await giveBack(handle, written, options);
      throw diskFull(file, cause);
    }
    throw new SyncError(`${file.path}: the transfer broke (${messageOf(cause)}).`, { fault: 'unreachable', cause });
  } finally {
    answer.body.on('error', () => undefined).destroy();
  }
}

/** Tells a source that trickles from one that is held to a rate by this side: only the time in which it could send counts. */
class Waiting {
  readonly #stallTimeoutMs: number;
  readonly #bytesMin: number;
  #sinceMs = performance.now();
  #waitedMs = 0;
  #bytes = 0;

  constructor({ stallTimeoutMs, stallBytesMin = 0 }: DownloadOptions) {
    this.#stallTimeoutMs = stallTimeoutMs;
    this.#bytesMin = stallBytesMin;
  }

  begins(): void {
    this.#sinceMs = performance.now();
  }

  /** @throws SyncError when too little came in all of the wait */
  ended(file: VersionFile, bytes: number): void {
    this.#waitedMs += performance.now() - this.#sinceMs;
    this.#bytes += bytes;
    if (this.#waitedMs < this.#stallTimeoutMs) return;
    if (this.#bytes < this.#bytesMin) {
      const seconds = Math.round(this.#waitedMs / 1000);
      const message = `${file.path}: only ${this.#bytes} bytes came in ${seconds} s.`;
      throw new SyncError(message, { fault: 'unreachable' });
    }
    [this.#waitedMs, this.#bytes] = [0, 0];
  }
}

async function ask(file: VersionFile, from: number, source: BlobSource, options: DownloadOptions) {
  try {
    return await request(`${source.url.replace(/\/+$/, '')}/${file.digest}`, {
      headers: { authorization: `Bearer ${source.token}`, ...(from > 0 ? { range: `bytes=${from}-` } : {}) },
      headersTimeout: options.stallTimeoutMs,
      bodyTimeout: options.stallTimeoutMs,
      signal: options.signal,
      ...(options.dispatcher ? { dispatcher: options.dispatcher } : {}),
    });
  } catch (cause) {
    options.signal.throwIfAborted();
    throw new SyncError(`${file.path}: the blob server cannot be reached (${messageOf(cause)}).`, {
      fault: 'unreachable',
      cause,
    });
  }
}

async function checkStatus(
  { statusCode, headers }: Pick<Dispatcher.ResponseData, 'statusCode' | 'headers'>,
  handle: FileHandle,
  from: number,
  file: VersionFile,
  options: DownloadOptions,
): Promise<void> {
  if (statusCode === 206 && from > 0) {
    const start = /^bytes (\d+)-/.exec(String(headers['content-range'] ?? ''))?.[1];
    if (Number(start) === from) return;
    throw new SyncError(`${file.path}: asked for bytes from ${from}, was given others.`, { fault: 'unreachable' });
  }
  if (statusCode === 200 && from === 0) return;
  // What is here is of no use to this server: the next try starts over.
  if (statusCode === 200 || statusCode === 416) {
    await discard(handle, from, options);
    throw new SyncError(
      `${file.path}: the server does not continue at byte ${from} (status ${statusCode}); starting over.`,
      { fault: 'torn' },
    );
  }
  if (statusCode === 401 || statusCode === 403) {
    throw new SyncError(`${file.path}: the blob token was refused (status ${statusCode}).`, { fault: 'unauthorized' });
  }
  const isGone = statusCode === 404 || statusCode === 410;
  const fault: SyncFault = isGone ? 'gone' : 'unreachable';
  const words = isGone ? ' The registry has no such blob.' : '';
  throw new SyncError(`${file.path}: the blob server answered ${statusCode}.${words}`, { fault });
}

export function diskFull(file: Pick<VersionFile, 'path'>, cause: unknown): SyncError {
  const message = `${file.path}: the disk is full (${messageOf(cause)}). Free some, or give the state folder a larger disk.`;
  return new SyncError(message, { fault: 'disk-full', cause });
}

/** A hash that has taken in the whole file; it is not finished. */
export async function hashFile(path: string, signal: AbortSignal): Promise<Hash> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: HASH_CHUNK_BYTES, signal }))
    hash.update(chunk as Buffer);
  return hash;
}

/** 0 when it is not there. */
async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    (cause: unknown) => {
      if (hasCode(cause, 'ENOENT', 'ENOTDIR')) return 0;
      throw cause;
    },
  );
}

export async function removeBlob(blobsFolder: string, digest: string): Promise<void> {
  await rm(blobPath(blobsFolder, digest), { force: true });
}
