// Brings versions here and knows which are held. A version is held only when every byte of it was hashed in this boot
// of the agent: fetched now, or found on disk and read again (a flipped bit loads without complaint, so it is looked for).
//
// Bounds: two versions at a time; each failure waits `retryDelayMs` of the tries since the last progress, at most 60 s;
// what is asked for and not wanted any more is cancelled. Disk is asked before the first byte.
import { statfs } from 'node:fs/promises';
import type { Logger } from 'pino';
import { type DesiredVersion, type HeldVersion, retryDelayMs, type VersionFile } from '#domain';
import { messageOf, SyncError } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';
import { type BlobSource, blobPath, bytesHere, downloadBlob, hashFile, removeBlob } from './blob-download.ts';
import { checkManifest, type VersionFolder } from './version-folder.ts';

const TRANSFERS_MAX = 2;

export interface VersionSyncOptions {
  readonly folder: VersionFolder;
  /** A source whose token is fresh enough; `isRefused` asks for a new one. */
  readonly source: (isRefused: boolean, signal: AbortSignal) => Promise<BlobSource>;
  readonly stallTimeoutMs: number;
  readonly headroomBytes: number;
  readonly onHeld: (version: DesiredVersion, isNew: boolean) => void;
  /** Something that a report shows has changed. */
  readonly onChange: () => void;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
  /** Free bytes of the disk that holds the folder. Default: what the filesystem says. */
  readonly freeBytes?: (path: string) => Promise<number>;
}

interface Fetch {
  readonly version: DesiredVersion;
  readonly abort: AbortController;
  readonly done: Promise<void>;
  bytesHave: number;
}

interface Failure {
  readonly reason: string;
  readonly attempts: number;
  readonly retryAtMs: number;
}

export class VersionSync {
  readonly #options: VersionSyncOptions;
  readonly #held = new Map<string, { readonly bytes: number; readonly files: readonly VersionFile[] }>();
  readonly #fetches = new Map<string, Fetch>();
  readonly #failures = new Map<string, Failure>();
  readonly #blobsInHand = new Map<string, Promise<void>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: VersionSyncOptions) {
    this.#options = options;
  }

  get heldDigests(): ReadonlySet<string> {
    return new Set(this.#held.keys());
  }

  filesOf(digest: string): readonly VersionFile[] | undefined {
    return this.#held.get(digest)?.files;
  }

  get fetchingDigests(): ReadonlySet<string> {
    return new Set(this.#fetches.keys());
  }

  get fetchRetryAtMs(): ReadonlyMap<string, number> {
    return new Map([...this.#failures].map(([digest, failure]) => [digest, failure.retryAtMs]));
  }

  /** What the report says of the wanted versions and of every other one that is held. */
  report(wanted: readonly DesiredVersion[]): HeldVersion[] {
    const others = [...this.#held].filter(([digest]) => !wanted.some((version) => version.digest === digest));
    return [
      ...wanted.map((version) => this.#reportOne(version)),
      ...others.map(([digest, { bytes }]) => heldReport(digest, bytes)),
    ];
  }

  /** Single-flight a digest: asking again while it runs changes nothing. */
  fetch(version: DesiredVersion): void {
    if (this.#fetches.has(version.digest) || this.#held.has(version.digest)) return;
    const abort = new AbortController();
    const fetch: Fetch = { version, abort, bytesHave: 0, done: Promise.resolve().then(() => this.#run(fetch)) };
    this.#fetches.set(version.digest, fetch);
  }

  cancel(digest: string): void {
    this.#fetches.get(digest)?.abort.abort();
  }

  /** A held version that is no longer to be trusted (or wanted) here. */
  async drop(digest: string): Promise<void> {
    this.#held.delete(digest);
    await this.#options.folder.remove(digest);
  }

  /** Failures of versions that nobody wants any more are forgotten. */
  forgetFailures(wanted: ReadonlySet<string>): void {
    for (const digest of this.#failures.keys()) if (!wanted.has(digest)) this.#failures.delete(digest);
  }

  /** Cancels everything and waits until it has ended; partial files stay for the next start. */
  async stop(): Promise<void> {
    for (const fetch of this.#fetches.values()) fetch.abort.abort();
    await Promise.all([...this.#fetches.values()].map(({ done }) => done));
  }

  async #run(fetch: Fetch): Promise<void> {
    const { version, abort } = fetch;
    const { digest } = version;
    const { log, metrics } = this.#options;
    const before = this.#failures.get(digest);
    let bytesAtStart = 0;
    await this.#turn();
    try {
      this.#options.onChange();
      abort.signal.throwIfAborted();
      checkManifest(version);
      const isNew = !(await this.#isProvenOnDisk(version, abort.signal));
      if (isNew) {
        bytesAtStart = await this.#countBytes(fetch);
        await this.#transfer(fetch);
        await this.#options.folder.assemble(version);
      }
      this.#held.set(digest, { bytes: bytesOf(version), files: version.files });
      this.#failures.delete(digest);
      log.info({ version: digest, model: version.modelName, isNew }, 'version verified');
      this.#options.onHeld(version, isNew);
    } catch (cause) {
      if (abort.signal.aborted) return;
      const isProgress = fetch.bytesHave > bytesAtStart;
      const attempts = isProgress ? 1 : (before?.attempts ?? 0) + 1;
      const waitMs = retryDelayMs(attempts);
      const reason = messageOf(cause);
      this.#failures.set(digest, { reason, attempts, retryAtMs: performance.now() + waitMs });
      metrics.syncFailed();
      log.warn({ version: digest, reason, attempts, waitMs }, 'version not fetched; trying again');
    } finally {
      this.#fetches.delete(digest);
      this.#release();
      this.#options.onChange();
    }
  }

  /** Invariant: damaged content is removed here, so that nothing can start from it and it is fetched again. */
  async #isProvenOnDisk(version: DesiredVersion, signal: AbortSignal): Promise<boolean> {
    const { folder, log } = this.#options;
    const onDisk = (await folder.list()).get(version.digest);
    if (onDisk === undefined) return false;
    const damaged = await folder.findDamaged(version.digest, version.files, signal);
    if (damaged === null) return true;
    log.error({ version: version.digest, file: damaged.path }, 'a file on disk is not what it was; fetching it again');
    await folder.remove(version.digest);
    await removeBlob(folder.blobsFolder, damaged.digest);
    return false;
  }

  async #countBytes(fetch: Fetch): Promise<number> {
    const { folder } = this.#options;
    const here = await Promise.all(fetch.version.files.map((file) => bytesHere(folder.blobsFolder, file.digest)));
    fetch.bytesHave = here.reduce((sum, bytes) => sum + bytes, 0);
    await this.#checkDisk(bytesOf(fetch.version) - fetch.bytesHave);
    return fetch.bytesHave;
  }

  async #checkDisk(neededBytes: number): Promise<void> {
    const { folder, headroomBytes, freeBytes = freeBytesOf } = this.#options;
    const free = await freeBytes(folder.blobsFolder);
    if (neededBytes <= 0 || free >= neededBytes + headroomBytes) return;
    throw new SyncError(
      `Not enough disk: ${neededBytes} bytes are missing and ${headroomBytes} must stay free, but only ${free} are. Free some, or give the state folder a larger disk.`,
    );
  }

  async #transfer(fetch: Fetch): Promise<void> {
    for (const file of fetch.version.files) {
      fetch.abort.signal.throwIfAborted();
      await this.#blob(file, fetch);
    }
  }

  /** Two versions may have a file in common: it comes once, and who waits gets the first one's outcome. */
  async #blob(file: VersionFile, fetch: Fetch): Promise<void> {
    const inHand = this.#blobsInHand.get(file.digest);
    if (inHand !== undefined) {
      await inHand.catch(() => undefined);
      return this.#blob(file, fetch);
    }
    const work = this.#blobOnce(file, fetch);
    this.#blobsInHand.set(file.digest, work);
    try {
      await work;
    } finally {
      this.#blobsInHand.delete(file.digest);
    }
  }

  async #blobOnce(file: VersionFile, fetch: Fetch): Promise<void> {
    const { folder, metrics, stallTimeoutMs, source } = this.#options;
    const { signal } = fetch.abort;
    const onBytes = (bytes: number) => {
      fetch.bytesHave += bytes;
      if (bytes > 0) metrics.syncedBytes(bytes);
    };
    if (await isWhole(folder, file, signal)) return;
    const download = async (isRefused: boolean) =>
      downloadBlob(file, await source(isRefused, signal), {
        blobsFolder: folder.blobsFolder,
        stallTimeoutMs,
        signal,
        onBytes,
      });
    try {
      await download(false);
    } catch (cause) {
      if (!(cause instanceof SyncError) || !cause.isUnauthorized) throw cause;
      await download(true);
    }
  }

  async #turn(): Promise<void> {
    if (this.#running < TRANSFERS_MAX) {
      this.#running += 1;
      return;
    }
    // The one who ends hands its place on.
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running -= 1;
    else next();
  }

  #reportOne(version: DesiredVersion): HeldVersion {
    const { digest } = version;
    const bytesTotal = bytesOf(version);
    if (this.#held.has(digest)) return heldReport(digest, bytesTotal);
    const bytesHave = Math.min(bytesTotal, Math.max(0, this.#fetches.get(digest)?.bytesHave ?? 0));
    const failure = this.#failures.get(digest);
    if (failure !== undefined && !this.#fetches.has(digest)) {
      return { digest, phase: 'Failed', bytesHave, bytesTotal, reason: failure.reason.slice(0, 500) };
    }
    return { digest, phase: 'Fetching', bytesHave, bytesTotal, reason: (failure?.reason ?? '').slice(0, 500) };
  }
}

/** A blob of an earlier version, or of a try that was cut after its rename. Its content is hashed like any other. */
async function isWhole(folder: VersionFolder, file: VersionFile, signal: AbortSignal): Promise<boolean> {
  const path = blobPath(folder.blobsFolder, file.digest);
  const hash = await hashFile(path, signal).catch(() => null);
  signal.throwIfAborted();
  if (hash === null) return false;
  if (hash.digest('hex') === file.digest) return true;
  await removeBlob(folder.blobsFolder, file.digest);
  return false;
}

function bytesOf(version: DesiredVersion): number {
  return version.files.reduce((sum, file) => sum + file.sizeBytes, 0);
}

function heldReport(digest: string, bytes: number): HeldVersion {
  return { digest, phase: 'Held', bytesHave: bytes, bytesTotal: bytes, reason: '' };
}

async function freeBytesOf(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
