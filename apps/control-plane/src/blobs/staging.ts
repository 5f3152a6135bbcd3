// Uploads under way: `staging/<version id>/<n>`, and `<n>.digest` once a file is whole and verified. Files stay here
// until their version is published, so giving up an upload is removing a folder.
//
// Invariants: bytes are appended at exactly the offset that is there; nothing larger than declared stays. How files grow
// is in hashed-appends.ts.

import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SHA256_HEX } from '#domain';
import { writeDurably } from '#files';
import { RequestError } from '../errors.ts';
import { type ContentRules, contentProblem, HEAD_BYTES, headProblem } from './content-rules.ts';
import { openFileSource } from './file-bytes.ts';
import { HashedAppends } from './hashed-appends.ts';

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

export class Staging {
  readonly #directory: string;
  readonly #appends = new HashedAppends();

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
  append(part: Append): Promise<StagedFile> {
    const path = this.pathOf(part.versionId, part.index);
    const busy = () => conflict(part, 'another upload of this file is under way; wait for it');
    return this.#appends.alone(path, busy, async () => {
      const staged = await this.read(part.versionId, part.index);
      if (part.offset !== staged.receivedBytes) {
        throw conflict(
          part,
          `offset is ${part.offset}, but receivedBytes is ${staged.receivedBytes}; go on from there`,
        );
      }
      if (staged.digest !== null) return staged;
      await mkdir(join(this.#directory, part.versionId), { recursive: true, mode: 0o750 });
      const { bytes, digest } = await this.#appends.write(path, {
        ...part,
        tooLarge: () => tooLarge(part),
        judgeFirst: (chunk) => this.#judgeHead(path, part, chunk),
      });
      return digest === null ? { receivedBytes: bytes, digest } : this.#complete(path, part, digest);
    });
  }

  /** Forgets an upload. Quietly nothing when there is none. */
  async discard(versionId: string): Promise<void> {
    const folder = join(this.#directory, versionId);
    this.#appends.forget(folder);
    await rm(folder, { recursive: true, force: true });
  }

  /** Version ids that have a folder here. */
  async list(): Promise<string[]> {
    return readdir(this.#directory).catch(() => []);
  }

  async #complete(path: string, part: Append, digest: string): Promise<StagedFile> {
    await this.#judgeContent(path, part);
    if (part.declaredDigest !== '' && part.declaredDigest !== digest) {
      await rm(path, { force: true });
      throw unfit(part, `its SHA-256 is ${digest}, not the declared ${part.declaredDigest}; upload it again`);
    }
    await writeDurably(`${path}.digest`, `${digest} ${part.sizeBytes}`, 0o640);
    return { receivedBytes: part.sizeBytes, digest };
  }

  /** So that nobody uploads gigabytes of what will be refused at the end. */
  async #judgeHead(path: string, part: Append, chunk: Buffer): Promise<void> {
    if (chunk.length < HEAD_BYTES) return;
    const head = chunk.subarray(0, HEAD_BYTES);
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
