/**
 * What running jobs upload: files of checkpoints and outputs, each by its digest, in parts that may be cut anywhere.
 * `uploads/<attempt id>/<digest>` is one under way; once it is whole and verified it is a blob, and `<digest>.kept` stays
 * in its place.
 *
 * A checkpoint can take longer to arrive than blobs that nothing refers to are kept (`collection.ts`): until its manifest
 * is noted for the job, its files live by their marks here. A mark is renewed whenever the agent asks for its blob, and
 * goes with its attempt or after `uploadAbandonedAfterHours`.
 *
 * Bounds: bytes of a blob, and new bytes of an attempt within an hour, counted by this process. Content is not judged:
 * nothing of it is served or loaded unless it is published, which judges it then. Who knows a digest may refer to its
 * blob: digests are not told to other tenants.
 */
import { mkdir, open, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { SHA256_HEX, UUID } from '#domain';
import { RequestError } from '../errors.ts';
import { Settings } from '../installation/settings.ts';
import { BlobStore } from './blob-store.ts';
import { BLOB_GRACE_MS } from './collection.ts';
import { HashedAppends } from './hashed-appends.ts';

export interface BlobPart {
  readonly attemptId: string;
  readonly digest: string;
  /** Of the whole blob. */
  readonly sizeBytes: number;
  readonly offset: number;
  readonly source: AsyncIterable<Buffer>;
}

const HOUR_MS = 3_600_000;
const ATTEMPTS_COUNTED_MAX = 10_000;
const MARK = '.kept';

@Injectable()
export class BlobUploads {
  readonly #appends = new HashedAppends();
  /** Attempt → what it sent, newest last. */
  readonly #sent = new Map<string, { readonly atMs: number; readonly bytes: number }[]>();

  constructor(
    private readonly blobs: BlobStore,
    private readonly settings: Settings,
  ) {}

  /** Whether the blob is here, in this size; it is then kept for the attempt. */
  async keep(attemptId: string, digest: string, sizeBytes: number): Promise<boolean> {
    if ((await this.blobs.sizeBytes(digest)) !== sizeBytes) return false;
    // In this order: a collection that set it aside before finds the mark, or the blob is gone and is sent again.
    await this.#mark(attemptId, digest);
    return this.blobs.renew(digest);
  }

  /**
   * Takes one part; the last one makes it a blob. Repeating parts of a blob that is here is harmless.
   *
   * @returns how much of it is here
   * @throws RequestError 409 at another offset or while another part comes (`receivedBytes` says where to go on), 413 and
   *   429 beyond the bounds, 422 for other bytes than the digest's, which are forgotten then
   */
  async append(part: BlobPart): Promise<{ receivedBytes: number }> {
    const { attemptId, digest, sizeBytes } = part;
    if (sizeBytes > this.settings.uploadBytesMax)
      throw tooLarge(`at most ${this.settings.uploadBytesMax} bytes a blob`);
    if (await this.keep(attemptId, digest, sizeBytes)) return { receivedBytes: sizeBytes };
    const path = this.#pathOf(attemptId, digest);
    const received = await lengthOf(path);
    const busy = () => conflict('another part of it is under way; wait for it', received);
    return this.#appends.alone(path, busy, async () => {
      const receivedBytes = await lengthOf(path);
      if (part.offset !== receivedBytes) {
        throw conflict(`the part begins at ${part.offset}, but ${receivedBytes} bytes are here`, receivedBytes);
      }
      await this.#demandRoom(part);
      await mkdir(this.#folderOf(attemptId), { recursive: true, mode: 0o750 });
      return this.#write(path, part);
    });
  }

  /** Digests that must not be collected whatever refers to them. */
  async keptDigests(): Promise<Set<string>> {
    const kept = new Set<string>();
    for (const attemptId of await this.attemptIds()) {
      for (const name of await readdir(this.#folderOf(attemptId)).catch(() => [])) {
        if (name.endsWith(MARK)) kept.add(name.slice(0, -MARK.length));
      }
    }
    return kept;
  }

  /** Attempts that have a folder here. */
  async attemptIds(): Promise<string[]> {
    return (await readdir(this.#directory).catch(() => [])).filter((name) => UUID.test(name));
  }

  /**
   * Removes what nobody goes on with: folders of attempts that are not among `live` and were not written within the
   * grace of blobs, and within the others what is older than an upload may be.
   */
  async clean(live: ReadonlySet<string>, now: Date): Promise<void> {
    for (const attemptId of await this.attemptIds()) {
      const folder = this.#folderOf(attemptId);
      if (!live.has(attemptId) && (await ageMs(folder, now)) > BLOB_GRACE_MS) {
        this.#appends.forget(folder);
        await rm(folder, { recursive: true, force: true });
        continue;
      }
      for (const name of await readdir(folder).catch(() => [])) {
        const path = join(folder, name);
        if ((await ageMs(path, now)) > this.settings.uploadAbandonedAfterMs) await rm(path, { force: true });
      }
    }
  }

  async #write(path: string, part: BlobPart): Promise<{ receivedBytes: number }> {
    const { attemptId, digest, sizeBytes, offset } = part;
    const beyond = () => tooLarge(`more bytes came than the declared ${sizeBytes}; nothing of this part was kept`);
    const written = await this.#appends.write(path, { ...part, tooLarge: beyond }).finally(async () => {
      this.#count(attemptId, Math.max(0, (await lengthOf(path)) - offset));
    });
    if (written.digest === null) return { receivedBytes: written.bytes };
    if (written.digest !== digest) {
      await rm(path, { force: true });
      const reason = `its SHA-256 is ${written.digest}, not ${digest}; upload it again`;
      throw new RequestError(422, 'content-refused', `The blob is another one: ${reason}.`, {}, [
        { field: 'digest', message: reason },
      ]);
    }
    await this.blobs.adopt(path, digest);
    await this.#mark(attemptId, digest);
    await rm(path, { force: true });
    return { receivedBytes: sizeBytes };
  }

  async #demandRoom({ attemptId, sizeBytes, offset }: BlobPart): Promise<void> {
    const bytes = sizeBytes - offset;
    if (this.#sentBytes(attemptId) + bytes > this.settings.attemptBytesPerHourMax) {
      const reason = `An attempt may upload ${this.settings.attemptBytesPerHourMax} bytes an hour; go on later.`;
      throw new RequestError(429, 'too-much', reason, { 'retry-after': '60' });
    }
    const { freeBytes } = await this.blobs.space();
    if (bytes > freeBytes) {
      throw new RequestError(507, 'storage-full', `The blob storage has ${freeBytes} bytes left; free some space.`);
    }
  }

  #sentBytes(attemptId: string): number {
    const since = performance.now() - HOUR_MS;
    return (this.#sent.get(attemptId) ?? []).reduce((sum, { atMs, bytes }) => (atMs > since ? sum + bytes : sum), 0);
  }

  /** One entry a minute is exact enough. */
  #count(attemptId: string, bytes: number): void {
    const atMs = Math.floor(performance.now() / 60_000) * 60_000;
    const entries = (this.#sent.get(attemptId) ?? []).filter((entry) => entry.atMs > atMs - HOUR_MS);
    const last = entries.at(-1);
    if (last?.atMs === atMs) entries[entries.length - 1] = { atMs, bytes: last.bytes + bytes };
    else entries.push({ atMs, bytes });
    this.#sent.delete(attemptId);
    this.#sent.set(attemptId, entries);
    if (this.#sent.size > ATTEMPTS_COUNTED_MAX) this.#sent.delete(this.#sent.keys().next().value!);
  }

  async #mark(attemptId: string, digest: string): Promise<void> {
    const path = `${this.#pathOf(attemptId, digest)}${MARK}`;
    await mkdir(this.#folderOf(attemptId), { recursive: true, mode: 0o750 });
    await (await open(path, 'a', 0o640)).close();
    await utimes(path, new Date(), new Date());
  }

  get #directory(): string {
    return join(this.blobs.directory, 'uploads');
  }

  #folderOf(attemptId: string): string {
    return join(this.#directory, attemptId);
  }

  #pathOf(attemptId: string, digest: string): string {
    if (!SHA256_HEX.test(digest) || !UUID.test(attemptId)) throw new Error('An upload is named by an id and a digest.');
    return join(this.#folderOf(attemptId), digest);
  }
}

async function lengthOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** 0 for what is not there. */
async function ageMs(path: string, now: Date): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => now.getTime() - mtimeMs,
    () => 0,
  );
}

function conflict(reason: string, receivedBytes: number): RequestError {
  return new RequestError(409, 'upload-conflict', `${reason}; go on at receivedBytes.`, {}, [], { receivedBytes });
}

function tooLarge(reason: string): RequestError {
  return new RequestError(413, 'too-large', `The blob is too large: ${reason}.`, {}, [
    { field: 'size', message: reason },
  ]);
}
