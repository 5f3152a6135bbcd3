// The checkpoint that an attempt resumes from, brought into `resume/`: its manifest, then each file by its digest, each
// verified. The folder appears by one rename with all its files, or not at all; what came stays for the next try.
import { createHash } from 'node:crypto';
import { link, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { request } from 'undici';
import { type DesiredTask, parseManifest, type VersionFile } from '#domain';
import { messageOf, SyncError } from '../errors.ts';
import { type BlobSource, blobPath, downloadBlob } from '../sync/blob-download.ts';
import { checkDisk } from '../sync/disk-space.ts';
import { CONTENT_FILES_MAX } from './folder-content.ts';
import { type attemptFolders, isThere } from './task-folder.ts';

/** 100,000 lines of a digest, a size and a path of at most 255 bytes. */
const MANIFEST_BYTES_MAX = 40 * 1_048_576;

/** Times in a row that the registry says it has no such checkpoint before that is taken for its last word. */
const GONE_TIMES_MAX = 4;

/** How often in a row it was gone; what else broke on the way says nothing about that. */
export class GoneCheckpoint {
  #times = 0;

  /** True: it will not come, and the attempt is to end. */
  isGivenUp(cause: unknown): boolean {
    this.#times = cause instanceof SyncError && cause.fault === 'gone' ? this.#times + 1 : 0;
    return this.#times >= GONE_TIMES_MAX;
  }
}

export interface ResumeOptions {
  /** A source whose token is fresh enough; `isRefused` asks for a new one. */
  readonly source: (isRefused: boolean) => Promise<BlobSource>;
  readonly stallTimeoutMs: number;
  readonly headroomBytes: number;
  readonly signal: AbortSignal;
}

/** @throws SyncError */
export async function restoreCheckpoint(
  folders: ReturnType<typeof attemptFolders>,
  { manifestDigest }: NonNullable<DesiredTask['resumeFrom']>,
  options: ResumeOptions,
): Promise<void> {
  if (await isThere(folders.resume)) return;
  const files = await withFreshToken(options, (source) => fetchManifest(manifestDigest, source, options));
  const [blobsFolder, aside] = [`${folders.resume}.blobs`, `${folders.resume}.partial`];
  const blobs = new Map(files.map((file) => [file.digest, file]));
  const bytes = [...blobs.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  await mkdir(blobsFolder, { recursive: true, mode: 0o700 });
  await checkDisk(blobsFolder, bytes, options);
  for (const blob of blobs.values()) await fetchFile(blob, blobsFolder, options);
  await rm(aside, { recursive: true, force: true });
  await mkdir(aside, { recursive: true, mode: 0o700 });
  for (const { path, digest } of files) {
    await mkdir(dirname(join(aside, path)), { recursive: true, mode: 0o700 });
    await link(blobPath(blobsFolder, digest), join(aside, path));
  }
  await rename(aside, folders.resume);
  await rm(blobsFolder, { recursive: true, force: true });
}

async function fetchFile(file: VersionFile, blobsFolder: string, options: ResumeOptions): Promise<void> {
  if (await isThere(blobPath(blobsFolder, file.digest))) return;
  const { stallTimeoutMs, signal } = options;
  await withFreshToken(options, (source) =>
    downloadBlob(file, source, { blobsFolder, stallTimeoutMs, signal, onBytes: () => undefined }),
  );
}

async function withFreshToken<Result>(
  { source }: ResumeOptions,
  work: (source: BlobSource) => Promise<Result>,
): Promise<Result> {
  try {
    return await work(await source(false));
  } catch (cause) {
    if (!(cause instanceof SyncError) || !cause.isUnauthorized) throw cause;
    return work(await source(true));
  }
}

async function fetchManifest(
  digest: string,
  { url, token }: BlobSource,
  { stallTimeoutMs, signal }: ResumeOptions,
): Promise<VersionFile[]> {
  const answer = await request(`${url.replace(/\/+$/, '')}/${digest}`, {
    headers: { authorization: `Bearer ${token}` },
    headersTimeout: stallTimeoutMs,
    bodyTimeout: stallTimeoutMs,
    signal,
  }).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw new SyncError(`The checkpoint cannot be fetched (${messageOf(cause)}).`, { fault: 'unreachable', cause });
  });
  const text = await readText(answer.body);
  const { statusCode } = answer;
  if (statusCode === 401 || statusCode === 403) {
    throw new SyncError(`The blob token was refused for the checkpoint (status ${statusCode}).`, {
      fault: 'unauthorized',
    });
  }
  if (statusCode !== 200) {
    throw new SyncError(`The registry answered ${statusCode} for the checkpoint.`, {
      fault: statusCode === 404 ? 'gone' : 'unreachable',
    });
  }
  if (createHash('sha256').update(text).digest('hex') !== digest) {
    throw new SyncError('The checkpoint’s manifest that came is another one.', { fault: 'wrong-bytes' });
  }
  const files = parseManifest(text);
  if (files === null || files.length > CONTENT_FILES_MAX) throw new SyncError('The checkpoint’s manifest is none.');
  return files;
}

async function readText(
  body: AsyncIterable<Buffer> & { destroy(): void; on(event: 'error', listener: () => void): unknown },
) {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > MANIFEST_BYTES_MAX) {
      body.on('error', () => undefined);
      body.destroy();
      throw new SyncError('The checkpoint’s manifest is too long.', { fault: 'wrong-bytes' });
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}
