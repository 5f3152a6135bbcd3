// What is to be published: the files of a folder (or one file), with sizes and digests.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { VERSION_FILES_MAX } from '#contracts';
import { versionPathProblem } from '#domain';
import { UsageError } from '../errors.ts';

export interface LocalFile {
  /** Relative POSIX path inside the version. */
  readonly path: string;
  /** Where it is on this machine. */
  readonly source: string;
  readonly sizeBytes: number;
}

export interface HashedFile extends LocalFile {
  readonly digest: string;
}

/** Sorted by path. Throws UsageError for what cannot be a version: nothing there, no files, odd names, sockets. */
export async function findFiles(source: string): Promise<LocalFile[]> {
  const found = await stat(source).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(
      `${source} cannot be read${error.code === 'ENOENT' ? ': no such file or folder' : ` (${error.code})`}`,
    );
  });
  const names = found.isDirectory() ? await readdir(source, { recursive: true }) : [''];
  const files: LocalFile[] = [];
  for (const name of names.sort()) {
    const path = name === '' ? basename(source) : name;
    const full = name === '' ? source : join(source, name);
    const entry = await stat(full);
    if (entry.isDirectory()) continue;
    if (!entry.isFile()) throw new UsageError(`${full} is neither a file nor a folder`);
    const problem = versionPathProblem(path);
    if (problem !== null) throw new UsageError(`the path ${JSON.stringify(path)} ${problem}`);
    files.push({ path, source: full, sizeBytes: entry.size });
    if (files.length > VERSION_FILES_MAX) throw new UsageError(`${source} has more than ${VERSION_FILES_MAX} files`);
  }
  if (files.length === 0) throw new UsageError(`${source} holds no files`);
  return files;
}

/** Reads every file once. `onBytes` gets the size of each piece. */
export async function hashFiles(
  files: readonly LocalFile[],
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<HashedFile[]> {
  const hashed: HashedFile[] = [];
  for (const file of files) {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const piece of createReadStream(file.source, { highWaterMark: 1024 * 1024, signal })) {
      hash.update(piece as Buffer);
      sizeBytes += (piece as Buffer).length;
      onBytes((piece as Buffer).length);
    }
    // What was read counts: the file may have changed since it was found.
    hashed.push({ ...file, sizeBytes, digest: hash.digest('hex') });
  }
  return hashed;
}
