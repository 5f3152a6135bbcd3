// Brings versions here and knows which are held. A version is held only when every byte of it was hashed in this boot
// of the agent: fetched now, or found on disk and read again (a flipped bit loads without complaint, so it is looked for).
//
// How it comes is the fetcher's matter. Bounds: two versions at a time; each failure waits `retryDelayMs` of the tries
// since the last progress, at most 60 s; what is not wanted any more is cancelled. A try that has to wait for its window
// or a neighbour ends, so that it holds up nothing else, and another is made after at most five minutes (R8).
import { type DesiredVersion, type HeldVersion, retryDelayMs, type SyncMeasures, type VersionFile } from '#domain';
import { messageOf, SyncError } from '../errors.ts';
import { removeBlob } from './blob-download.ts';
import { ProgressMeter } from './progress.ts';
import {
  bytesHaveOf,
  bytesOf,
  type FetcherOptions,
  type FetchState,
  VersionFetcher,
  type Wait,
} from './version-fetcher.ts';
import { checkManifest, type DamagedFile } from './version-folder.ts';

const FETCHES_MAX = 2;
const WAIT_MS_MAX = 300_000;
/** A fetch that goes on is told of at most this often. */
const PROGRESS_MS = 2_000;

export interface VersionSyncOptions extends Omit<FetcherOptions, 'damaged'> {
  /** Why a version may not be here at all, before a byte of it is fetched; null when it may. Default: all may. */
  readonly refusal?: (version: DesiredVersion) => string | null;
  readonly onHeld: (version: DesiredVersion, isNew: boolean) => void;
  /**
   * A held version, or one found on disk, has other content than it should. It is not held any more; it goes from disk
   * once this has resolved, and is fetched again if it is wanted. Must not reject.
   */
  readonly onDrift: (versionDigest: string, damaged: DamagedFile) => Promise<void>;
  /** Something that a report shows has changed. */
  readonly onChange: () => void;
  /** A fetch is further; not called more often than every two seconds. */
  readonly onProgress: () => void;
}

interface Fetch extends FetchState {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

interface Held {
  readonly bytes: number;
  readonly files: readonly VersionFile[];
  verifiedAt: Date;
}

/** Why a version is not being fetched now, and until when. */
interface Pause {
  readonly phase: 'Failed' | 'Fetching';
  readonly reason: string;
  /** Failures since the last progress. */
  readonly attempts: number;
  readonly retryAtMs: number;
  readonly bytesHave: number;
}

export class VersionSync {
  readonly #options: VersionSyncOptions;
  readonly #fetcher: VersionFetcher;
  readonly #held = new Map<string, Held>();
  readonly #fetches = new Map<string, Fetch>();
  readonly #pauses = new Map<string, Pause>();
  readonly #proofs = new Map<string, Promise<boolean>>();
  readonly #dropping = new Set<string>();
  readonly #stopping = new AbortController();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: VersionSyncOptions) {
    this.#options = options;
    this.#fetcher = new VersionFetcher({ ...options, damaged: (damaged) => this.damaged(damaged) });
  }

  /** Takes up what an earlier start measured. */
  async open(): Promise<void> {
    await this.#options.measures.open();
  }

  get heldDigests(): ReadonlySet<string> {
    return new Set(this.#held.keys());
  }

  /** Version digest → its files. */
  get heldFiles(): ReadonlyMap<string, readonly VersionFile[]> {
    return new Map([...this.#held].map(([digest, { files }]) => [digest, files]));
  }

  filesOf(digest: string): readonly VersionFile[] | undefined {
    return this.#held.get(digest)?.files;
  }

  get fetchingDigests(): ReadonlySet<string> {
    return new Set(this.#fetches.keys());
  }

  get fetchRetryAtMs(): ReadonlyMap<string, number> {
    return new Map([...this.#pauses].map(([digest, pause]) => [digest, pause.retryAtMs]));
  }

  get measures(): SyncMeasures {
    return this.#options.measures.current();
  }

  /** What the report says of the wanted versions and of every other one that is held. */
  report(wanted: readonly DesiredVersion[]): HeldVersion[] {
    const others = [...this.#held].filter(([digest]) => !wanted.some((version) => version.digest === digest));
    return [
      ...wanted.map((version) => this.#reportOne(version)),
      ...others.map(([digest, held]) => heldReport(digest, held)),
    ];
  }

  /** Single-flight a digest: asking again while it runs changes nothing. */
  fetch(version: DesiredVersion): void {
    const { digest: wanted } = version;
    // What is on its way out must be gone first; the next turn asks again.
    if (this.#fetches.has(wanted) || this.#held.has(wanted) || this.#dropping.has(wanted)) return;
    const abort = new AbortController();
    const meter = new ProgressMeter();
    const have = new Map<string, number>();
    const fetch: Fetch = {
      version,
      abort,
      signal: abort.signal,
      meter,
      have,
      proven: new Set(),
      netBytes: 0,
      onBytes: (bytes) => {
        fetch.netBytes += bytes;
        meter.add(bytes, performance.now());
        this.#tellProgress();
      },
      onFile: (digest, bytes) => {
        have.set(digest, bytes);
        this.#tellProgress();
      },
      done: Promise.resolve().then(() => this.#run(fetch)),
    };
    this.#fetches.set(version.digest, fetch);
  }

  cancel(digest: string): void {
    this.#fetches.get(digest)?.abort.abort();
  }

  /** What is desired has changed: whoever waits by an earlier plan asks for a new one at the next turn. */
  wake(): void {
    this.#retryAtOnce(({ phase }) => phase === 'Fetching');
  }

  /** The control plane can be asked again: what failed may have failed for that. Failures in a row still count. */
  reconnected(): void {
    this.#retryAtOnce(() => true);
  }

  /** A held version that is no longer to be trusted (or wanted) here. */
  async drop(digest: string, beforeItGoes: () => Promise<void> = async () => undefined): Promise<void> {
    this.#held.delete(digest);
    this.#dropping.add(digest);
    try {
      await beforeItGoes();
      await this.#options.folder.remove(digest);
    } finally {
      this.#dropping.delete(digest);
    }
  }

  /** Every byte of a held version was hashed again, just now or at `at`. Of one that is not held it changes nothing. */
  verified(digest: string, at: Date): void {
    const held = this.#held.get(digest);
    // Of a version with many files each one that is hashed may say it anew: the oldest of them has not changed.
    if (held === undefined || held.verifiedAt.getTime() === at.getTime()) return;
    held.verifiedAt = at;
    this.#options.onChange();
  }

  /** Hashes every byte of a held version: its first damaged file, or null. The caller says what follows. */
  async findDamaged(digest: string, signal: AbortSignal): Promise<DamagedFile | null> {
    const held = this.#held.get(digest);
    return held === undefined ? null : this.#options.folder.findDamaged(digest, held.files, signal);
  }

  /**
   * A file's content was found to be wrong: every held version with it goes from here, is told of, and is fetched again
   * if it is wanted. Returns how many there were.
   */
  async damaged(damaged: Pick<DamagedFile, 'digest' | 'foundDigest'>): Promise<number> {
    const { folder } = this.#options;
    const found = [...this.#held].flatMap(([digest, { files }]) => {
      const file = files.find((each) => each.digest === damaged.digest);
      return file === undefined ? [] : [{ digest, file: { ...file, foundDigest: damaged.foundDigest } }];
    });
    await Promise.all(found.map(({ digest, file }) => this.drop(digest, () => this.#tellDrift(digest, file))));
    await removeBlob(folder.blobsFolder, damaged.digest);
    this.#options.onChange();
    return found.length;
  }

  /** Failures of versions that nobody wants any more are forgotten. */
  forgetFailures(wanted: ReadonlySet<string>): void {
    for (const digest of this.#pauses.keys()) if (!wanted.has(digest)) this.#pauses.delete(digest);
  }

  /** Cancels everything and waits until it has ended; partial files stay for the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const fetch of this.#fetches.values()) fetch.abort.abort();
    await Promise.all([...this.#fetches.values()].map(({ done }) => done));
    await this.#fetcher.rest();
  }

  async #run(fetch: Fetch): Promise<void> {
    const { version, signal } = fetch;
    const { digest } = version;
    const { log } = this.#options;
    const before = this.#pauses.get(digest);
    await this.#turn();
    try {
      // A plan that said to wait is asked for again and again: that alone is no change.
      if (before?.phase !== 'Fetching') this.#options.onChange();
      signal.throwIfAborted();
      checkManifest(version);
      const refusal = this.#options.refusal?.(version) ?? null;
      if (refusal !== null) throw new SyncError(refusal);
      const isNew = !(await this.#prove(digest, version.files));
      signal.throwIfAborted();
      if (isNew) await this.#proveBases(fetch);
      const held = () => [...this.#held.keys()];
      const wait = isNew ? await this.#fetcher.bring(fetch, held) : null;
      if (wait !== null) return this.#waitFor(fetch, wait, before);
      if (isNew) await this.#options.folder.assemble(version);
      await this.#options.folder.removeFetchFolder(digest);
      this.#hold(digest, version.files);
      this.#pauses.delete(digest);
      log.info({ version: digest, model: version.modelName, isNew }, 'version verified');
      this.#options.onHeld(version, isNew);
      this.#options.onChange();
    } catch (cause) {
      if (!signal.aborted) this.#failed(fetch, before?.attempts ?? 0, cause);
      this.#options.onChange();
    } finally {
      this.#fetches.delete(digest);
      this.#release();
      if (this.#fetches.size === 0) await this.#fetcher.rest();
    }
  }

  #retryAtOnce(isMeant: (pause: Pause) => boolean): void {
    for (const [digest, pause] of this.#pauses) {
      if (isMeant(pause)) this.#pauses.set(digest, { ...pause, retryAtMs: 0 });
    }
  }

  #hold(digest: string, files: readonly VersionFile[]): void {
    this.#held.set(digest, { bytes: bytesOf(files), files, verifiedAt: new Date() });
  }

  #waitFor({ version, have }: Fetch, { reason, waitMs }: Wait, before: Pause | undefined): void {
    const retryAtMs = performance.now() + Math.min(waitMs, WAIT_MS_MAX);
    const bytesHave = bytesHaveOf(version.files, have);
    this.#pauses.set(version.digest, { phase: 'Fetching', reason, attempts: 0, retryAtMs, bytesHave });
    if (before?.phase === 'Fetching' && before.reason === reason) return;
    this.#options.log.info({ version: version.digest, reason }, 'version waits');
    this.#options.onChange();
  }

  #failed({ version, have, netBytes }: Fetch, attemptsBefore: number, cause: unknown): void {
    const { log, metrics } = this.#options;
    const attempts = netBytes > 0 ? 1 : attemptsBefore + 1;
    const waitMs = retryDelayMs(attempts);
    const reason = messageOf(cause);
    const bytesHave = bytesHaveOf(version.files, have);
    const retryAtMs = performance.now() + waitMs;
    this.#pauses.set(version.digest, { phase: 'Failed', reason, attempts, retryAtMs, bytesHave });
    metrics.syncFailed();
    log.warn({ version: version.digest, reason, attempts, waitMs }, 'version not fetched; trying again');
  }

  /**
   * Reads a version on disk again; false when it is not there, or not any more. Single-flight.
   * Invariant: damaged content is removed here, so that nothing can start from it and it is fetched again.
   */
  #prove(digest: string, files: readonly VersionFile[]): Promise<boolean> {
    const running = this.#proofs.get(digest);
    if (running !== undefined) return running;
    const proof = this.#proveOnce(digest, files).finally(() => this.#proofs.delete(digest));
    this.#proofs.set(digest, proof);
    return proof;
  }

  async #proveOnce(digest: string, files: readonly VersionFile[]): Promise<boolean> {
    const { folder, log } = this.#options;
    if (this.#held.has(digest)) return true;
    if (!(await folder.list()).has(digest)) return false;
    const damaged = await folder.findDamaged(digest, files, this.#stopping.signal);
    if (damaged === null) return true;
    log.error({ version: digest, file: damaged.path }, 'a file on disk is not what it was; fetching it again');
    await this.#tellDrift(digest, damaged);
    await folder.remove(digest);
    await removeBlob(folder.blobsFolder, damaged.digest);
    return false;
  }

  async #tellDrift(digest: string, damaged: DamagedFile): Promise<void> {
    this.#options.metrics.versionDrifted();
    await this.#options.onDrift(digest, damaged);
  }

  /** Versions of the model that lie here from an earlier start may be what a diff builds on. */
  async #proveBases({ version, signal }: Fetch): Promise<void> {
    const { folder } = this.#options;
    for (const [digest, { modelName, files }] of await folder.list()) {
      if (modelName !== version.modelName || digest === version.digest) continue;
      if (this.#held.has(digest) || this.#dropping.has(digest)) continue;
      if ((await this.#prove(digest, files)) && !this.#held.has(digest)) this.#hold(digest, files);
      signal.throwIfAborted();
    }
  }

  async #turn(): Promise<void> {
    if (this.#running < FETCHES_MAX) {
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

  #tellProgress(): void {
    const nowMs = performance.now();
    if (nowMs - this.#toldAtMs < PROGRESS_MS) return;
    this.#toldAtMs = nowMs;
    this.#options.onProgress();
  }

  #reportOne({ digest, files }: DesiredVersion): HeldVersion {
    const held = this.#held.get(digest);
    if (held !== undefined) return heldReport(digest, held);
    const bytesTotal = bytesOf(files);
    const fetch = this.#fetches.get(digest);
    const pause = this.#pauses.get(digest);
    const reason = (pause?.reason ?? '').slice(0, 500);
    if (fetch === undefined && pause?.phase === 'Failed') {
      return { digest, phase: 'Failed', bytesHave: pause.bytesHave, bytesTotal, reason };
    }
    const isLooked = fetch !== undefined && fetch.have.size > 0;
    const bytesHave = isLooked ? bytesHaveOf(files, fetch.have) : (pause?.bytesHave ?? 0);
    const sync = (fetch?.meter ?? new ProgressMeter()).show(performance.now());
    return { digest, phase: 'Fetching', bytesHave, bytesTotal, reason: sync.path === 'waiting' ? reason : '', sync };
  }
}

function heldReport(digest: string, { bytes, verifiedAt }: Held): HeldVersion {
  return {
    digest,
    phase: 'Held',
    bytesHave: bytes,
    bytesTotal: bytes,
    reason: '',
    verifiedAt: verifiedAt.toISOString(),
  };
}
