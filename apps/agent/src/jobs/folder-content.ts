// A folder that a job wrote, as the files of a manifest: what may be in it, and what each file's digest is.
//
// Bounds: 100,000 files. Refused, with the path and the reason: names that a version may not have, links that lead out or
// nowhere, devices and sockets. Links to files inside count as those files; links to folders inside are left out, for what
// they lead to is there already.
import { createHash } from 'node:crypto';
import { createReadStream, type Dirent } from 'node:fs';
import { copyFile, link, mkdir, readdir, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { manifestText, type VersionFile, versionPathProblem } from '#domain';
import { ContentRefusedError, hasCode, UploadError } from '../errors.ts';

export const CONTENT_FILES_MAX = 100_000;
const HASH_CHUNK_BYTES = 1_048_576;

export interface ContentFile {
  /** Inside the folder, POSIX. */
  readonly path: string;
  /** The file itself, links followed. */
  readonly from: string;
}

export interface HashedContent {
  readonly files: readonly (VersionFile & { readonly from: string })[];
  readonly manifest: Buffer;
  readonly manifestDigest: string;
  /** Of the files. */
  readonly sizeBytes: number;
}

/** In order of their names. [] when there is no such folder. @throws ContentRefusedError */
export async function listContent(folder: string, filesMax = CONTENT_FILES_MAX): Promise<ContentFile[]> {
  const root = await realpath(folder).catch(unlessMissing);
  if (root === null) return [];
  const found: ContentFile[] = [];
  const folders = [''];
  for (let at = folders.shift(); at !== undefined; at = folders.shift()) {
    const entries = await readdir(join(root, at), { withFileTypes: true });
    for (const entry of entries.sort((left, right) => (left.name < right.name ? -1 : 1))) {
      const path = at === '' ? entry.name : `${at}/${entry.name}`;
      const problem = versionPathProblem(path);
      if (problem !== null) throw refused(path, problem);
      if (entry.isDirectory()) folders.push(path);
      else found.push(...(await fileAt(root, path, entry)));
      if (found.length > filesMax) throw new ContentRefusedError(`There are more than ${filesMax} files.`);
    }
  }
  return found;
}

async function fileAt(root: string, path: string, entry: Dirent): Promise<ContentFile[]> {
  const at = join(root, path);
  if (entry.isFile()) return [{ path, from: at }];
  if (!entry.isSymbolicLink()) throw refused(path, 'is neither a file nor a folder');
  const from = await realpath(at).catch(unlessMissing);
  if (from === null) throw refused(path, 'is a link that leads nowhere');
  if (!from.startsWith(`${root}${sep}`)) throw refused(path, 'is a link that leads out of the folder');
  const target = await stat(from);
  if (target.isDirectory()) return [];
  if (!target.isFile()) throw refused(path, 'is neither a file nor a folder');
  return [{ path, from }];
}

/**
 * A copy of the folder as it is now, by hard links where the filesystem has them: what the command replaces or removes
 * afterwards does not change it. @throws ContentRefusedError
 */
export async function snapshotContent(folder: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { recursive: true, mode: 0o700 });
  const made = new Set([to]);
  for (const { path, from } of await listContent(folder)) {
    const copy = join(to, path);
    if (!made.has(dirname(copy))) await mkdir(dirname(copy), { recursive: true, mode: 0o700 });
    made.add(dirname(copy));
    await link(from, copy).catch((cause: unknown) => {
      if (!hasCode(cause, 'EPERM', 'ENOTSUP', 'EXDEV', 'EMLINK')) throw cause;
      return copyFile(from, copy);
    });
  }
}

/**
 * Files may not be younger than `youngestMs` (the machine's clock): a link to a file that was written to in place after it
 * was set aside is no copy of it. @throws ContentRefusedError; UploadError `changed` for one written to while it is read
 */
export async function hashContent(
  folder: string,
  signal: AbortSignal,
  youngestMs = Number.POSITIVE_INFINITY,
): Promise<HashedContent> {
  const files: HashedContent['files'][number][] = [];
  for (const { path, from } of await listContent(folder)) {
    const { mtimeMs, ...hashed } = await hashOne(from, path, signal);
    if (mtimeMs > youngestMs) {
      throw refused(path, 'was written to in place after it was saved; write new files and rename them');
    }
    files.push({ path, from, ...hashed });
  }
  const manifest = Buffer.from(manifestText(files));
  return {
    files,
    manifest,
    manifestDigest: createHash('sha256').update(manifest).digest('hex'),
    sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

async function hashOne(from: string, path: string, signal: AbortSignal) {
  const before = await stat(from);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of createReadStream(from, { highWaterMark: HASH_CHUNK_BYTES, signal })) {
    hash.update(chunk as Buffer);
    sizeBytes += (chunk as Buffer).length;
  }
  const after = await stat(from);
  if (sizeBytes !== before.size || after.size !== before.size || after.mtimeMs !== before.mtimeMs) {
    throw new UploadError('changed', `${path} was written to while it was read.`);
  }
  return { digest: hash.digest('hex'), sizeBytes, mtimeMs: after.mtimeMs };
}

function refused(path: string, why: string): ContentRefusedError {
  return new ContentRefusedError(`${JSON.stringify(path.slice(0, 255))} ${why}.`);
}

function unlessMissing(cause: unknown): null {
  if (hasCode(cause, 'ENOENT', 'ENOTDIR', 'ELOOP')) return null;
  throw cause;
}
