// What is held is hashed again: at the times that the centre says, or now; and drift, which is content on disk that is no
// longer what was published, is told and repaired. The order of files and rounds is decided in `verification-plan.ts`.
//
// Invariants (DESIGN §7.5): a version that is found damaged is distrusted at once: its replicas stop without draining,
// nobody is served from it, and it is neither started nor fetched until its folder and the damaged blob are gone; the
// normal reconcile then fetches what is missing, which is the damaged file alone. The event is on disk before what it
// tells of is removed. Every held version that is linked to the same bytes goes with it.
// Cost: one reader of 256 KiB at a time a round, at most `bytesPerSecondMax` over all rounds, so that serving is not
// delayed. Until the centre says otherwise a round by sample runs once a day.
// Limit: the bytes are those that the system gives, which are what an engine maps; what only the disk has wrong shows
// once its cached pages are read again.

import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { DesiredFetchReply } from '#contracts';
import type { VersionFile } from '#domain';
import { hasCode, messageOf } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';
import { blobPath, removeBlob } from './blob-download.ts';
import { pace, TokenBucket } from './rate-limit.ts';
import { dueAfter, filesOfRound, type HeldFile, type VerificationMode } from './verification-plan.ts';
import type { VersionFolder } from './version-folder.ts';

const CHUNK_BYTES = 262_144;
/** Of one file, while it is replaced again and again. */
const READINGS_MAX = 3;
/** Without a word from the centre. */
const DEFAULT_INTERVAL_MS = 86_400_000;
/** A timer is set again this often, for longer ones than 24 days do not exist. */
const TIMER_MS_MAX = 3_600_000;

export interface Drift {
  readonly versionDigest: string;
  readonly path: string;
  /** Null when it cannot be read. */
  readonly foundDigest: string | null;
}

export interface VerificationOptions {
  readonly folder: Pick<VersionFolder, 'pathOf' | 'blobsFolder'>;
  /** Version digest → its files, of every version that is held now. */
  readonly held: () => ReadonlyMap<string, readonly VersionFile[]>;
  /** From its call on the version is not held; resolves once its folder is gone. */
  readonly drop: (versionDigest: string) => Promise<void>;
  /** Stops what uses the version before it returns; resolves once the event cannot be lost. */
  readonly onDrift: (drift: Drift) => Promise<void>;
  /** Every byte of the version was hashed at `at` or later. */
  readonly onVerified: (versionDigest: string, at: Date) => void;
  /** A version that was distrusted is gone from disk, and may be fetched again. */
  readonly onRepairable: () => void;
  readonly bytesPerSecondMax: number;
  readonly sampleBytes: number;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

interface Reading {
  /** Null when there is nothing that can be read. */
  readonly digest: string | null;
  /** Which bytes on disk it read, whatever name they have now; null when there was nothing by that name. */
  readonly inode: string | null;
}

export interface VerificationOutcome {
  readonly filesRead: number;
  /** Version digests. */
  readonly drifted: readonly string[];
}

export class Verification {
  readonly #options: VerificationOptions;
  readonly #bucket = new TokenBucket();
  readonly #stopping = new AbortController();
  /** Version digest → path → wall clock at which its last hashing began. */
  readonly #verifiedAtMs = new Map<string, Map<string, number>>();
  readonly #distrusted = new Set<string>();
  readonly #rounds = new Map<string, Promise<VerificationOutcome>>();
  #mode: VerificationMode = 'sample';
  #dueAtMs = Number.POSITIVE_INFINITY;
  #beganAtMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: VerificationOptions) {
    this.#options = options;
    this.#bucket.limit(options.bytesPerSecondMax, performance.now());
  }

  /** Versions found damaged that are on their way out: neither started, nor fetched, nor served. */
  get distrusted(): ReadonlySet<string> {
    return this.#distrusted;
  }

  start(): void {
    if (this.#dueAtMs === Number.POSITIVE_INFINITY) this.#dueAtMs = performance.now() + DEFAULT_INTERVAL_MS;
    this.#arm();
  }

  /** What the centre says with every answer to a fetch. */
  told({ mode, dueInSeconds }: NonNullable<DesiredFetchReply['verification']>): void {
    this.#mode = mode;
    const before = { dueAtMs: this.#dueAtMs, beganAtMs: this.#beganAtMs };
    this.#dueAtMs = dueAfter(before, dueInSeconds * 1_000, performance.now());
    this.#arm();
  }

  /** A version is held since now: all its files were just hashed. */
  held(versionDigest: string, files: readonly VersionFile[], atMs = Date.now()): void {
    this.#verifiedAtMs.set(versionDigest, new Map(files.map(({ path }) => [path, atMs])));
  }

  /**
   * Hashes all files of one held version, or of all. Asked again while it runs, the answer is that of the one that runs.
   * Rejects only when the agent stops.
   */
  verifyNow(versionDigest?: string): Promise<VerificationOutcome> {
    return this.#round(versionDigest ?? 'all', () =>
      this.#files().filter((file) => versionDigest === undefined || file.versionDigest === versionDigest),
    );
  }

  /** Ends all rounds; a repair that has begun is finished. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#timer);
    await Promise.allSettled(this.#rounds.values());
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#stopping.signal.aborted) return;
    const waitMs = Math.min(TIMER_MS_MAX, Math.max(0, this.#dueAtMs - performance.now()));
    this.#timer = setTimeout(() => {
      if (performance.now() >= this.#dueAtMs) this.#runDue();
      this.#arm();
    }, Math.ceil(waitMs));
  }

  #runDue(): void {
    const [mode, { log, sampleBytes }] = [this.#mode, this.#options];
    this.#beganAtMs = performance.now();
    this.#dueAtMs = this.#beganAtMs + DEFAULT_INTERVAL_MS;
    const files = filesOfRound(this.#files(), mode, sampleBytes);
    const bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    log.info({ mode, files: files.length, bytes }, 'verification of held versions begins');
    this.#round('due', () => files).then(
      (outcome) => log.info({ mode, ...outcome }, 'held versions verified'),
      () => undefined, // the agent stops
    );
  }

  #round(key: string, choose: () => readonly HeldFile[]): Promise<VerificationOutcome> {
    const running = this.#rounds.get(key);
    if (running !== undefined) return running;
    const round = this.#verify(choose()).finally(() => this.#rounds.delete(key));
    this.#rounds.set(key, round);
    return round;
  }

  async #verify(files: readonly HeldFile[]): Promise<VerificationOutcome> {
    const drifted = new Set<string>();
    let filesRead = 0;
    for (const file of files) {
      this.#stopping.signal.throwIfAborted();
      for (const versionDigest of await this.#verifyFile(file)) drifted.add(versionDigest);
      filesRead += 1;
    }
    return { filesRead, drifted: [...drifted] };
  }

  /** The versions that it proved damaged. A file that cannot be looked at for other reasons is looked at next time. */
  async #verifyFile(file: HeldFile): Promise<readonly string[]> {
    const { versionDigest, path, digest } = file;
    try {
      for (let reading = 1; reading <= READINGS_MAX && this.#isHeld(file); reading += 1) {
        const beganAtMs = Date.now();
        const found = await this.#read(this.#pathOf(file));
        if (found.digest === digest) {
          this.#proven(file, beganAtMs);
          return [];
        }
        // While it was read it may have been replaced with its version: then what is there now is read.
        const isStillThere = (await inodeOf(this.#pathOf(file))) === found.inode;
        if (isStillThere && this.#isHeld(file)) return await this.#repair(file, found);
      }
    } catch (cause) {
      this.#stopping.signal.throwIfAborted();
      this.#options.log.warn(
        { version: versionDigest, file: path, reason: messageOf(cause) },
        'a file is not verified',
      );
    }
    return [];
  }

  /** Takes every version that has these very bytes out of use, tells of it, and makes room for the right ones. */
  async #repair(file: HeldFile, { digest: foundDigest, inode }: Reading): Promise<readonly string[]> {
    const { folder, drop, onDrift, onRepairable, log, metrics } = this.#options;
    this.#distrusted.add(file.versionDigest);
    const damaged = [file, ...(await this.#linkedTo(inode, file))];
    const digests = damaged.map(({ versionDigest }) => versionDigest);
    for (const versionDigest of digests) this.#distrusted.add(versionDigest);
    try {
      const told = damaged.map(async ({ versionDigest, path }) => {
        metrics.versionDrifted();
        log.error({ version: versionDigest, file: path, foundDigest }, 'a held version is damaged; repairing it');
        await onDrift({ versionDigest, path, foundDigest });
      });
      const warn = (what: string) => (cause: unknown) => log.error({ reason: messageOf(cause) }, what);
      await Promise.all(told.map((each) => each.catch(warn('drift not told'))));
      // A folder that cannot be removed is found damaged by the next fetch, which says so.
      await Promise.all(digests.map((versionDigest) => drop(versionDigest).catch(warn('damaged version not removed'))));
      const blob = await this.#read(blobPath(folder.blobsFolder, file.digest));
      if (blob.digest !== file.digest) await removeBlob(folder.blobsFolder, file.digest);
    } finally {
      for (const versionDigest of digests) this.#distrusted.delete(versionDigest);
      onRepairable();
    }
    return digests;
  }

  /** Files of other held versions that are links to the same bytes on disk. */
  async #linkedTo(inode: string | null, { digest, versionDigest }: HeldFile): Promise<HeldFile[]> {
    const linked: HeldFile[] = [];
    for (const other of inode === null ? [] : this.#files()) {
      if (other.digest !== digest || other.versionDigest === versionDigest) continue;
      const isOnce = linked.every((each) => each.versionDigest !== other.versionDigest);
      if (isOnce && (await inodeOf(this.#pathOf(other))) === inode && this.#isHeld(other)) linked.push(other);
    }
    return linked;
  }

  #files(): HeldFile[] {
    const held = this.#options.held();
    for (const digest of this.#verifiedAtMs.keys()) if (!held.has(digest)) this.#verifiedAtMs.delete(digest);
    return [...held].flatMap(([versionDigest, files]) =>
      files.map((file) => {
        const verifiedAtMs = this.#verifiedAtMs.get(versionDigest)?.get(file.path) ?? 0;
        return { ...file, versionDigest, verifiedAtMs };
      }),
    );
  }

  #isHeld({ versionDigest }: HeldFile): boolean {
    return this.#options.held().has(versionDigest) && !this.#distrusted.has(versionDigest);
  }

  #proven({ versionDigest, path }: HeldFile, beganAtMs: number): void {
    const times = this.#verifiedAtMs.get(versionDigest) ?? new Map<string, number>();
    this.#verifiedAtMs.set(versionDigest, times.set(path, beganAtMs));
    const isWhole = times.size === this.#options.held().get(versionDigest)?.length;
    if (isWhole) this.#options.onVerified(versionDigest, new Date(Math.min(...times.values())));
  }

  #pathOf({ versionDigest, path }: HeldFile): string {
    return join(this.#options.folder.pathOf(versionDigest), path);
  }

  async #read(path: string): Promise<Reading> {
    const { signal } = this.#stopping;
    let inode: string | null = null;
    try {
      const handle = await open(path, 'r');
      try {
        const [hash, buffer] = [createHash('sha256'), Buffer.allocUnsafe(CHUNK_BYTES)];
        inode = inodeName(await handle.stat({ bigint: true }));
        for (;;) {
          const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES, null);
          if (bytesRead === 0) return { digest: hash.digest('hex'), inode };
          hash.update(buffer.subarray(0, bytesRead));
          this.#options.metrics.verifiedBytes(bytesRead);
          await pace(this.#bucket, bytesRead, signal);
          signal.throwIfAborted();
        }
      } finally {
        await handle.close();
      }
    } catch (cause) {
      if (hasCode(cause, 'ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'EIO')) return { digest: null, inode };
      throw cause;
    }
  }
}

/** Null when there is nothing at that path. */
async function inodeOf(path: string): Promise<string | null> {
  return stat(path, { bigint: true }).then(inodeName, () => null);
}

function inodeName({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${dev}:${ino}`;
}
