// Carries out a sync plan: every file that it makes becomes a verified blob, or the outcome says whose fault it is that
// one did not, so that the next plan goes another way.
//
// Nothing that came and verifies is fetched again: blobs that are here are proven by their hash and left out. Bases are
// hashed before a diff is applied to them. Transfers stop when the window closes; making files goes on.

import { stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { SyncPlanReply, SyncStepMessage } from '#contracts';
import type { DesiredVersion } from '#domain';
import { BadArtifactError, hasCode, messageOf, SyncError } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';
import { blobPath, bytesHere, hashFile, removeBlob } from './blob-download.ts';
import { checkDisk, type DiskOptions } from './disk-space.ts';
import type { FileMaker } from './file-maker.ts';
import { type Measures, PieceTimer } from './measures.ts';
import type { OneAtATime } from './one-at-a-time.ts';
import { diskBytesOf, type FileWork, wireBytesOf, workOf } from './plan-work.ts';
import type { ProgressMeter } from './progress.ts';
import { isWhole, type Transfers } from './transfers.ts';
import type { VersionFolder } from './version-folder.ts';

export type GoPlan = Extract<SyncPlanReply, { decision: 'go' }>;

/** `bad-base`: `digest` is the base's, `foundDigest` what is in its place; null: nothing. */
export type ExecutionOutcome =
  | { readonly outcome: 'done' | 'window-closed' }
  | { readonly outcome: 'bad-artifact'; readonly artifactId: string; readonly reason: string }
  | { readonly outcome: 'bad-neighbour'; readonly name: string; readonly reason: string }
  | { readonly outcome: 'bad-base'; readonly digest: string; readonly foundDigest: string | null }
  | { readonly outcome: 'bad-plan'; readonly reason: string }
  /** The token of a step; `neighbour`: whose it is, null for the registry. */
  | { readonly outcome: 'refused'; readonly neighbour: string | null; readonly reason: string };

/** The fetch that a plan is carried out for. */
export interface PlannedFetch {
  readonly version: DesiredVersion;
  readonly signal: AbortSignal;
  readonly meter: ProgressMeter;
  /** File digests whose blobs were hashed for this fetch. */
  readonly proven: Set<string>;
  /** Wire bytes that came; negative when what was here proved worthless. */
  readonly onBytes: (bytes: number) => void;
  /** So much of a file of the version is here. */
  readonly onFile: (digest: string, bytesHere: number) => void;
}

export interface PlanExecutionOptions extends DiskOptions {
  readonly folder: VersionFolder;
  /** Whoever writes a blob has its path in hand. */
  readonly files: OneAtATime;
  readonly transfers: Transfers;
  readonly maker: FileMaker;
  readonly measures: Measures;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

const TIMER_MS_MAX = 2 ** 31 - 1;

export class PlanExecution {
  readonly #options: PlanExecutionOptions;

  constructor(options: PlanExecutionOptions) {
    this.#options = options;
  }

  /** @throws SyncError what the next try may not meet again: the registry is away, the disk is full; the signal's reason */
  async run(plan: GoPlan, fetch: PlannedFetch): Promise<ExecutionOutcome> {
    const { folder, transfers } = this.#options;
    const { version, signal, meter } = fetch;

    // 1. What is here already, and so what is to be done.
    const aside = folder.fetchFolder(version.digest);
    const here = await this.#lookAround(plan, fetch, aside);
    let work: FileWork[];
    try {
      work = workOf(plan.steps, version, (digest) => here.has(digest));
    } catch (cause) {
      return { outcome: 'bad-plan', reason: messageOf(cause) };
    }

    // 2. The disk, before the first byte.
    await this.#checkDisk(work, version, aside);
    const wireHave = await Promise.all(work.map((each) => wireBytesHere(each, folder.blobsFolder, aside)));
    meter.begin(
      plan.path,
      wireHave.reduce((sum, bytes) => sum + bytes, 0),
      wireBytesOf(work),
    );

    // 3. File by file, within the limits of the moment.
    transfers.limit(plan.bytesPerSecondMax);
    const window = new AbortController();
    const closes = plan.windowClosesInSeconds;
    const timer =
      closes === null ? undefined : setTimeout(() => window.abort(), Math.min(closes * 1000, TIMER_MS_MAX)).unref();
    try {
      for (const each of work) {
        signal.throwIfAborted();
        const outcome = await this.#bring(each, fetch, aside, window.signal);
        if (outcome !== null) return outcome;
      }
      return { outcome: 'done' };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Digests that need not be made. Bases that the plan takes for granted are looked at when they are used. */
  async #lookAround(plan: GoPlan, fetch: PlannedFetch, aside: string): Promise<Set<string>> {
    const { folder } = this.#options;
    const here = new Set<string>();
    for (const file of fetch.version.files) {
      if (!fetch.proven.has(file.digest) && (await isWhole(folder.blobsFolder, file, fetch.signal))) {
        fetch.proven.add(file.digest);
      }
      if (fetch.proven.has(file.digest)) here.add(file.digest);
      fetch.onFile(file.digest, await bytesHere(folder.blobsFolder, file.digest));
    }
    const others = plan.steps.flatMap(({ files }) => files);
    for (const { digest } of others) if (await isWhole(aside, { digest }, fetch.signal)) here.add(digest);
    const made = new Set(others.map(({ digest }) => digest));
    for (const { baseDigest } of others) if (baseDigest !== null && !made.has(baseDigest)) here.add(baseDigest);
    return here;
  }

  async #checkDisk(work: readonly FileWork[], version: DesiredVersion, aside: string): Promise<void> {
    const { folder } = this.#options;
    const [results, encodings] = [new Map<string, number>(), new Map<string, number>()];
    for (const { file, isFinal } of work) {
      results.set(file.digest, await bytesHere(isFinal ? folder.blobsFolder : aside, file.digest));
      encodings.set(file.blobDigest, await bytesHere(aside, file.blobDigest));
    }
    const neededBytes = diskBytesOf(work, {
      encoding: (digest) => encodings.get(digest) ?? 0,
      result: (digest) => results.get(digest) ?? 0,
    });
    const check = () => checkDisk(folder.blobsFolder, neededBytes, this.#options);
    await check().catch(async (cause: unknown) => {
      // What an earlier plan left may serve again, but not while it keeps this one from its place.
      const used = work.flatMap(({ file }) => [file.digest, file.blobDigest, file.baseDigest ?? '']);
      if (!(await folder.trimFetchFolder(version.digest, new Set(used)))) throw cause;
      await check();
    });
  }

  /** Null: the file is here now. */
  async #bring(
    work: FileWork,
    fetch: PlannedFetch,
    aside: string,
    window: AbortSignal,
  ): Promise<ExecutionOutcome | null> {
    const { file, step, isFinal } = work;
    const into = isFinal ? this.#options.folder.blobsFolder : aside;
    fetch.meter.from(step.source.name);
    try {
      if (file.encoding === 'whole') await this.#transfer(work, into, fetch, window);
      else {
        const base = file.baseDigest === null ? null : await this.#proveBase(file.baseDigest, fetch, aside);
        if (base !== null && 'outcome' in base) return base;
        await this.#transfer(work, aside, fetch, window);
        await this.#make(work, base, into, fetch, aside);
        await removeBlob(aside, file.blobDigest);
      }
    } catch (cause) {
      fetch.signal.throwIfAborted();
      if (window.aborted && !(cause instanceof BadArtifactError)) return { outcome: 'window-closed' };
      const outcome = outcomeOf(cause, step);
      if (outcome === null) throw cause;
      if (outcome.outcome === 'bad-artifact') await this.#discard(step, aside, fetch);
      return outcome;
    }
    if (isFinal) {
      fetch.proven.add(file.digest);
      fetch.onFile(file.digest, file.sizeBytes);
    }
    return null;
  }

  async #transfer({ file, step, isFinal }: FileWork, into: string, fetch: PlannedFetch, window: AbortSignal) {
    const { version, signal } = fetch;
    const path = version.files.find(({ digest }) => digest === file.digest)?.path ?? `file ${file.digest.slice(0, 12)}`;
    const isResult = isFinal && file.encoding === 'whole';
    let have = isResult ? await bytesHere(into, file.digest) : 0;
    await this.#options.transfers.fetch(
      { path, digest: file.blobDigest, sizeBytes: file.blobBytes },
      { kind: step.source.kind, url: step.source.url, token: step.source.token },
      into,
      {
        signal: AbortSignal.any([signal, window]),
        onBytes: (bytes) => {
          fetch.onBytes(bytes);
          have += bytes;
          if (isResult) fetch.onFile(file.digest, have);
        },
      },
    );
  }

  async #proveBase(
    digest: string,
    { signal }: PlannedFetch,
    aside: string,
  ): Promise<{ path: string; digest: string } | ExecutionOutcome> {
    // One that this fetch made itself was hashed then, or when the fetch began.
    if (await isFile(blobPath(aside, digest))) return { path: blobPath(aside, digest), digest };
    const path = blobPath(this.#options.folder.blobsFolder, digest);
    const hash = await hashFile(path, signal).catch((cause: unknown) => {
      signal.throwIfAborted();
      if (hasCode(cause, 'ENOENT', 'EIO', 'EISDIR')) return null;
      throw cause;
    });
    const foundDigest = hash?.digest('hex') ?? null;
    return foundDigest === digest ? { path, digest } : { outcome: 'bad-base', digest, foundDigest };
  }

  async #make(
    { file, step, isFinal }: FileWork,
    base: { path: string; digest: string } | null,
    into: string,
    fetch: PlannedFetch,
    aside: string,
  ): Promise<void> {
    const { files, maker, measures, metrics } = this.#options;
    const { signal } = fetch;
    await files.run(blobPath(into, file.digest), signal, async () => {
      // Another version that has it too may have been quicker.
      if (await isWhole(into, file, signal)) return;
      const timer = new PieceTimer();
      await maker.make({
        digest: file.digest,
        sizeBytes: file.sizeBytes,
        encodingPath: blobPath(aside, file.blobDigest),
        base,
        blobsFolder: into,
        signal,
        onProgress: (bytes) => {
          timer.reached(bytes, performance.now());
          if (isFinal) fetch.onFile(file.digest, bytes);
        },
      });
      const made = timer.ended(file.sizeBytes, performance.now());
      if (made !== null) measures.applied(step.profile, made.bytes, made.ms);
      metrics.fileMade(step.profile, file.sizeBytes);
    });
  }

  /** All that came of an artifact that is no good. */
  async #discard(step: SyncStepMessage, aside: string, fetch: PlannedFetch): Promise<void> {
    for (const { blobDigest, encoding } of step.files) {
      if (encoding === 'whole') continue;
      fetch.onBytes(-(await bytesHere(aside, blobDigest)));
      await removeBlob(aside, blobDigest);
      await removeBlob(aside, `${blobDigest}.partial`);
    }
  }
}

/** Whose fault it is; null when waiting may help. */
function outcomeOf(cause: unknown, step: SyncStepMessage): ExecutionOutcome | null {
  const reason = messageOf(cause);
  const { artifactId, source } = step;
  if (cause instanceof BadArtifactError) {
    return artifactId === null ? { outcome: 'bad-plan', reason } : { outcome: 'bad-artifact', artifactId, reason };
  }
  if (!(cause instanceof SyncError) || cause.fault === 'disk-full') return null;
  const neighbour = source.kind === 'neighbour' ? source.name : null;
  if (cause.fault === 'unauthorized') return { outcome: 'refused', neighbour, reason };
  if (neighbour !== null) return { outcome: 'bad-neighbour', name: neighbour, reason };
  const isAtFault = cause.fault === 'wrong-bytes' || cause.fault === 'torn' || cause.fault === 'gone';
  return isAtFault && artifactId !== null ? { outcome: 'bad-artifact', artifactId, reason } : null;
}

/** Wire bytes of a file's encoding that are here already. */
function wireBytesHere({ file, isFinal }: FileWork, blobsFolder: string, aside: string): Promise<number> {
  return bytesHere(file.encoding === 'whole' && isFinal ? blobsFolder : aside, file.blobDigest);
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
