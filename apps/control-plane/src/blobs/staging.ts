// Uploads under way: `staging/<version id>/<n>`, and `<n>.digest` once a file is whole and verified. Files stay here
// until their version is published, so giving up an upload is removing a folder.
//
// Invariants: bytes are appended at exactly the offset that is there; one writer a file; what a cut connection left is
// kept and counted; nothing larger than declared stays. Bytes are hashed on the way; a prefix that this process did not
// see is hashed again from disk.

import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SHA256_HEX } from '#domain';
import { RequestError } from '../errors.ts';
import { type ContentRules, contentProblem, HEAD_BYTES, headProblem } from './content-rules.ts';
import { openFileSource } from './file-bytes.ts';

export interface StagedFile {
  readonly receivedBytes: number;
  /** Null until the file is whole and verified. */
  readonly digest: string | null;
}

export interface Append {
  readonly versionId: string;
  /** Place of the file in the version's list. */
  readonly index: number;
  readonly path: string;
  readonly sizeBytes: number;
  /** Empty when the uploader did not declare one. */
  readonly declaredDigest: string;
  readonly offset: number;
  readonly source: AsyncIterable<Buffer>;
}

const HASHES_MAX = 256;

export class Staging {
  readonly #directory: string;
  readonly #writing = new Set<string>();
  /** File → hash of its first `bytes` bytes, for the next part of the same upload. */
  readonly #hashes = new Map<string, { readonly bytes: number; readonly hash: Hash }>();

  constructor(
    directory: string,
    private readonly rules: ContentRules,
  ) {
    this.#directory = join(directory, 'staging');
  }

  pathOf(versionId: string, index: number): string {
    return join(this.#directory, versionId, String(index));
  }

  async read(versionId: string, index: number): Promise<StagedFile> {
    const path = this.pathOf(versionId, index);
    const [size, mark] = await Promise.all([
      stat(path).then(
        (found) => found.size,
        () => 0,
      ),
      readFile(`${path}.digest`, 'utf8').catch(() => ''),
    ]);
    const [digest = '', bytes = '0'] = mark.split(' ');
    return SHA256_HEX.test(digest) ? { receivedBytes: Number(bytes), digest } : { receivedBytes: size, digest: null };
  }

  /**
   * Takes one part of a file. The last part completes it: its digest is compared with the declared one and noted.
   *
   * @throws RequestError 409 at another offset or while another part comes, 413 beyond the declared size, 422 for content
   *   that is not what it is declared to be; 413 and 422 leave nothing of this part (422: of this file)
   */
  async append(part: Append): Promise<StagedFile> {
    const path = this.pathOf(part.versionId, part.index);
    if (this.#writing.has(path)) throw conflict(part, 'another upload of this file is under way; wait for it');
    this.#writing.add(path);
    try {
      const staged = await this.read(part.versionId, part.index);
      if (part.offset !== staged.receivedBytes) {
        throw conflict(
          part,
          `offset is ${part.offset}, but receivedBytes is ${staged.receivedBytes}; go on from there`,
        );
      }
      if (staged.digest !== null) return staged;
      await mkdir(join(this.#directory, part.versionId), { recursive: true, mode: 0o750 });
      const { bytes, hash } = await this.#write(path, part);
      if (bytes < part.sizeBytes) return { receivedBytes: bytes, digest: null };
      return await this.#complete(path, part, hash.digest('hex'));
    } finally {
      this.#writing.delete(path);
    }
  }

  /** Forgets an upload. Quietly nothing when there is none. */
  async discard(versionId: string): Promise<void> {
    const folder = join(this.#directory, versionId);
    for (const path of this.#hashes.keys()) if (path.startsWith(`${folder}/`)) this.#hashes.delete(path);
    await rm(folder, { recursive: true, force: true });
  }

  /** Version ids that have a folder here. */
  async list(): Promise<string[]> {
    return readdir(this.#directory).catch(() => []);
  }

  async #write(path: string, part: Append): Promise<{ bytes: number; hash: Hash }> {
    const hash = await this.#hashUpTo(path, part.offset);
    const file = await open(path, part.offset === 0 ? 'w' : 'r+', 0o640);
    let bytes = part.offset;
    try {
      for await (const chunk of part.source) {
        if (bytes + chunk.length > part.sizeBytes) {
          await file.truncate(part.offset);
          throw tooLarge(part);
        }
        if (bytes === 0 && chunk.length >= HEAD_BYTES) await this.#judgeHead(path, part, chunk.subarray(0, HEAD_BYTES));
        await writeWhole(file, chunk, bytes);
        hash.update(chunk);
        bytes += chunk.length;
      }
      this.#remember(path, bytes, hash);
    } catch (cause) {
      if (!(cause instanceof RequestError)) this.#remember(path, bytes, hash);
      throw outOfSpace(cause) ?? cause;
    } finally {
      await file.sync().catch(() => undefined);
      await file.close();
    }
    return { bytes, hash };
  }

  async #hashUpTo(path: string, bytes: number): Promise<Hash> {
    const known = this.#hashes.get(path);
    this.#hashes.delete(path);
    if (bytes === 0) return createHash('sha256');
    if (known?.bytes === bytes) return known.hash;
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path, { end: bytes - 1, highWaterMark: 1_048_576 })) hash.update(chunk);
    return hash;
  }

  #remember(path: string, bytes: number, hash: Hash): void {
    this.#hashes.set(path, { bytes, hash });
    if (this.#hashes.size > HASHES_MAX) this.#hashes.delete(this.#hashes.keys().next().value!);
  }

  async #complete(path: string, part: Append, digest: string): Promise<StagedFile> {
    this.#hashes.delete(path);
    await this.#judgeContent(path, part);
    if (part.declaredDigest !== '' && part.declaredDigest !== digest) {
      await rm(path, { force: true });
      throw unfit(part, `its SHA-256 is ${digest}, not the declared ${part.declaredDigest}; upload it again`);
    }
    const draft = await open(`${path}.draft`, 'w', 0o640);
    try {
      await draft.writeFile(`${digest} ${part.sizeBytes}`);
      await draft.sync();
    } finally {
      await draft.close();
    }
    await rename(`${path}.draft`, `${path}.digest`);
    return { receivedBytes: part.sizeBytes, digest };
  }

  /** So that nobody uploads gigabytes of what will be refused at the end. */
  async #judgeHead(path: string, part: Append, head: Buffer): Promise<void> {
    await this.#refuse(path, part, await headProblem(part.path, head, this.rules));
  }

  async #judgeContent(path: string, part: Append): Promise<void> {
    const source = await openFileSource(path);
    try {
      await this.#refuse(path, part, await contentProblem(part.path, source, this.rules));
    } finally {
      await source.close();
    }
  }

  async #refuse(path: string, part: Append, problem: string | null): Promise<void> {
    if (problem === null) return;
    await rm(path, { force: true });
    throw unfit(part, problem);
  }
}

async function writeWhole(file: Awaited<ReturnType<typeof open>>, chunk: Buffer, position: number): Promise<void> {
  for (let written = 0; written < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, written, chunk.length - written, position + written);
    written += bytesWritten;
  }
}

function conflict(part: Append, reason: string): RequestError {
  return new RequestError(409, 'upload-conflict', `${part.path}: ${reason}.`, {}, [
    { field: 'offset', message: reason },
  ]);
}

function tooLarge(part: Append): RequestError {
  const reason = `more bytes came than the declared ${part.sizeBytes}; nothing of this part was kept`;
  return new RequestError(413, 'too-large', `${part.path}: ${reason}.`, {}, [{ field: 'sizeBytes', message: reason }]);
}

function unfit(part: Append, reason: string): RequestError {
  return new RequestError(422, 'content-refused', `${part.path} ${reason}.`, {}, [
    { field: `files[${part.index}]`, message: reason },
  ]);
}

function outOfSpace(cause: unknown): RequestError | null {
  const { code } = (cause ?? {}) as { code?: unknown };
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return null;
  return new RequestError(507, 'storage-full', 'The blob storage is full; free some space and resume the upload.');
}
