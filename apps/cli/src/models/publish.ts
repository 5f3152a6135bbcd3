import { createHash, type KeyObject } from 'node:crypto';
import { resolve } from 'node:path';
import type { AdminClient, VersionDto } from '#contracts';
import { manifestText } from '#domain';
import { FailedError, InterruptedError, UsageError } from '../errors.ts';
import type { Terminal } from '../terminal.ts';
import { findFiles, type HashedFile, hashFiles } from './files.ts';
import { Progress } from './progress.ts';
import { signDigest } from './signing.ts';
import { defaultPace, receivedBytesOf, type UploadPace, uploadFiles } from './upload.ts';

export interface PublishRequest {
  readonly model: string;
  /** A file or a folder, relative to the working directory. */
  readonly source: string;
  /** Number of the version it was made from; default: the newest published. */
  readonly parent?: number;
  readonly notes?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** The key to sign with, and the file it was read from. */
  readonly signing?: { readonly key: KeyObject; readonly file: string };
  /** Number of an upload to go on with. */
  readonly resume?: number;
  readonly pace?: UploadPace;
}

export interface Published {
  readonly version: VersionDto;
  /** True when this content had been published before and nothing was sent. */
  readonly isOld: boolean;
}

/** Hashes, uploads and publishes. An error after the upload began says how to go on with it. */
export async function publish(client: AdminClient, request: PublishRequest, terminal: Terminal): Promise<Published> {
  const { model, parent, notes, metadata, resume, signing } = request;

  // 1. What there is, and what it would be called.
  const files = await hashAll(await findFiles(resolve(terminal.cwd, request.source)), terminal);
  const digest = createHash('sha256').update(manifestText(files)).digest('hex');
  const same = (await client.versions(model)).find(
    (version) => version.phase === 'Published' && version.digest === digest,
  );
  if (same) return { version: same, isOld: true };

  // 2. Where it goes.
  const listed = files.map(({ path, sizeBytes, digest }) => ({ path, sizeBytes, digest }));
  const begun =
    resume === undefined
      ? await client.createVersion(model, { files: listed, notes, parent, metadata: metadata && { ...metadata } })
      : checkResumable(await client.version(model, resume), files);

  // 3. There.
  try {
    await upload(client, begun, files, { terminal, pace: request.pace ?? defaultPace });
    const signature = signing && signDigest(digest, signing.key);
    const version = await client.publishVersion(model, begun.number, { signature });
    if (version.digest === digest) return { version, isOld: false };
    throw new FailedError(
      `version ${version.number} has the digest ${version.digest}, but the files here have ${digest}`,
    );
  } catch (error) {
    const sign = signing === undefined ? '' : ` --sign ${signing.file}`;
    const again = `Go on with: atoll model publish ${model} ${request.source} --resume ${begun.number}${sign}`;
    if (terminal.signal.aborted) throw new InterruptedError(again);
    if (error instanceof Error) error.message += `\n${again}`;
    throw error;
  }
}

async function hashAll(found: Awaited<ReturnType<typeof findFiles>>, terminal: Terminal): Promise<HashedFile[]> {
  const progress = new Progress(terminal, 'hashing', totalBytes(found));
  try {
    return await hashFiles(found, (bytes) => progress.add(bytes), terminal.signal);
  } finally {
    progress.end();
  }
}

async function upload(
  client: AdminClient,
  version: VersionDto,
  files: readonly HashedFile[],
  { terminal, pace }: { terminal: Terminal; pace: UploadPace },
): Promise<void> {
  const progress = new Progress(terminal, 'uploading', totalBytes(files), receivedBytesOf(version));
  const events = {
    onBytes: (bytes: number) => progress.add(bytes),
    onResumed: (receivedBytes: number) => progress.reset(receivedBytes),
    onTrouble: (reason: string, delayMs: number) => progress.note(`${reason} Trying again in ${delayMs / 1000} s.`),
  };
  try {
    await uploadFiles(files, { client, version, events, signal: terminal.signal, pace });
  } finally {
    progress.end();
  }
}

/** An upload can only go on with the files that it began with. */
function checkResumable(version: VersionDto, files: readonly HashedFile[]): VersionDto {
  if (version.phase !== 'Uploading') {
    throw new UsageError(
      `version ${version.number} of ${version.model} is ${version.phase}; there is no upload to go on with`,
    );
  }
  const differing =
    files.find(({ path, sizeBytes, digest }) => {
      const entry = version.files.find((file) => file.path === path);
      return entry?.sizeBytes !== sizeBytes || (entry.digest !== null && entry.digest !== digest);
    })?.path ?? version.files.find(({ path }) => !files.some((file) => file.path === path))?.path;
  if (differing === undefined) return version;
  throw new UsageError(
    `version ${version.number} was begun with other files: ${differing} differs; publish without --resume`,
  );
}

function totalBytes(files: readonly { sizeBytes: number }[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
