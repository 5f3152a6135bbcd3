// One try to bring a version here: every file of it becomes a verified blob, by the control plane's plan, which is asked
// for anew whenever something on the way was no good; what no plan brings comes as whole files.
//
// Bounds: after three artifacts that were no good, or 32 plans, whole files; a plan that says to wait ends the try. Disk
// is asked before the first byte.
import type { Logger } from 'pino';
import type { VersionFile } from '#domain';
import { messageOf, SyncError } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';
import { type BlobSource, bytesHere } from './blob-download.ts';
import { checkDisk, type DiskOptions } from './disk-space.ts';
import { FileMaker } from './file-maker.ts';
import type { Measures } from './measures.ts';
import { OneAtATime, orAborted } from './one-at-a-time.ts';
import { type ExecutionOutcome, PlanExecution, type PlannedFetch } from './plan-execution.ts';
import type { SyncPlanner } from './sync-planner.ts';
import { isWhole, Transfers } from './transfers.ts';
import type { VersionFolder } from './version-folder.ts';

const BAD_ARTIFACTS_MAX = 3;
const PLANS_MAX = 32;
const WINDOW_CLOSED_MS = 1_000;

export interface FetcherOptions extends DiskOptions {
  readonly folder: VersionFolder;
  readonly planner: Pick<SyncPlanner, 'ask' | 'avoidArtifact' | 'avoidNeighbour'>;
  readonly measures: Measures;
  /** A source whose token is fresh enough; `isRefused` asks for a new one. */
  readonly source: (isRefused: boolean, signal: AbortSignal) => Promise<BlobSource>;
  readonly stallTimeoutMs: number;
  /** Threads that make files from their encodings, 1..16. */
  readonly applyThreads: number;
  /** A base was found to be wrong; returns how many held versions had it. */
  readonly damaged: (base: { digest: string; foundDigest: string | null }) => Promise<number>;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export interface FetchState extends PlannedFetch {
  /** File digest → bytes of it that are here. */
  readonly have: Map<string, number>;
  /** What came, less what proved worthless. */
  netBytes: number;
}

/** Why the try ended before its end, and when the next may come. */
export interface Wait {
  readonly reason: string;
  readonly waitMs: number;
}

export class VersionFetcher {
  readonly #options: FetcherOptions;
  readonly #transfers: Transfers;
  readonly #maker: FileMaker;
  readonly #execution: PlanExecution;

  constructor(options: FetcherOptions) {
    this.#options = options;
    const { stallTimeoutMs, measures, metrics, applyThreads } = options;
    const files = new OneAtATime();
    this.#transfers = new Transfers({ files, stallTimeoutMs, measures, metrics });
    this.#maker = new FileMaker(applyThreads);
    this.#execution = new PlanExecution({ ...options, files, transfers: this.#transfers, maker: this.#maker });
  }

  /**
   * Null: every file is a verified blob here.
   * @throws SyncError; the signal's reason
   */
  async bring(fetch: FetchState, held: () => readonly string[]): Promise<Wait | null> {
    let badArtifacts = 0;
    for (let plans = 0; plans < PLANS_MAX && badArtifacts < BAD_ARTIFACTS_MAX; plans += 1) {
      const plan = await this.#ask(fetch, held());
      if (plan === null) break;
      if (plan.decision === 'wait') return { reason: plan.reason, waitMs: plan.retryAfterSeconds * 1000 };
      const bytesBefore = fetch.netBytes;
      const outcome = judgeRefusal(await this.#execution.run(plan, fetch), () => fetch.netBytes > bytesBefore);
      if (outcome.outcome === 'window-closed') {
        return { reason: 'waits for its window, which has closed', waitMs: WINDOW_CLOSED_MS };
      }
      if (!(await this.#mayAskAgain(outcome, fetch))) break;
      if (outcome.outcome === 'bad-artifact') badArtifacts += 1;
    }
    await this.#wholeFiles(fetch);
    return null;
  }

  /** Nothing is being fetched: threads are not kept for nothing, and what was measured is written down. Never rejects. */
  async rest(): Promise<void> {
    const { measures, log } = this.#options;
    await this.#maker.close();
    await measures.store().catch((cause: unknown) => log.warn({ reason: messageOf(cause) }, 'measures not stored'));
  }

  async #ask({ version, signal }: FetchState, held: readonly string[]) {
    const { planner, measures, metrics, log } = this.#options;
    await measures.refreshDisk().catch(() => undefined);
    const plan = await orAborted(signal, planner.ask(version.digest, held));
    if (plan === null) metrics.syncDiverted('no-plan');
    if (plan?.decision === 'go') {
      log.info({ version: version.digest, path: plan.path, reason: plan.reason }, 'sync plan');
    }
    return plan;
  }

  /** What an outcome says about the next plan; false: no other plan would bring more. */
  async #mayAskAgain(outcome: ExecutionOutcome, { version }: FetchState): Promise<boolean> {
    if (outcome.outcome === 'done') return false;
    const { planner, damaged, log, metrics } = this.#options;
    metrics.syncDiverted(outcome.outcome);
    log.warn({ version: version.digest, ...outcome }, 'the sync goes another way');
    if (outcome.outcome === 'bad-artifact') planner.avoidArtifact(outcome.artifactId);
    if (outcome.outcome === 'bad-neighbour') planner.avoidNeighbour(outcome.name);
    if (outcome.outcome === 'bad-base') return (await damaged(outcome)) > 0;
    return outcome.outcome !== 'bad-plan';
  }

  /** What no plan has brought, from the registry with the cluster's blob token. */
  async #wholeFiles(fetch: FetchState): Promise<void> {
    const { folder } = this.#options;
    const missing = new Map<string, VersionFile>();
    for (const file of fetch.version.files) {
      if (fetch.proven.has(file.digest) || (await isWhole(folder.blobsFolder, file, fetch.signal))) {
        fetch.proven.add(file.digest);
      } else missing.set(file.digest, file);
      fetch.onFile(file.digest, await bytesHere(folder.blobsFolder, file.digest));
    }
    if (missing.size === 0) return;
    const files = [...missing.values()];
    const here = bytesHaveOf(files, fetch.have);
    const check = () => checkDisk(folder.blobsFolder, bytesOf(files) - here, this.#options);
    await check().catch(async (cause: unknown) => {
      // Nothing that plans have left aside is of use for whole files.
      if (!(await folder.trimFetchFolder(fetch.version.digest, new Set()))) throw cause;
      await check();
    });
    fetch.meter.begin('whole-files', here, bytesOf(files));
    fetch.meter.from('registry');
    for (const file of files) await this.#wholeFile(file, fetch);
  }

  async #wholeFile(file: VersionFile, fetch: FetchState): Promise<void> {
    const { folder, source } = this.#options;
    const { signal } = fetch;
    let have = fetch.have.get(file.digest) ?? 0;
    const onBytes = (bytes: number) => {
      have += bytes;
      fetch.onBytes(bytes);
      fetch.onFile(file.digest, have);
    };
    const download = async (isRefused: boolean) => {
      const from = { kind: 'registry', ...(await source(isRefused, signal)) } as const;
      await this.#transfers.fetch(file, from, folder.blobsFolder, { signal, onBytes });
    };
    try {
      await download(false);
    } catch (cause) {
      if (!(cause instanceof SyncError) || !cause.isUnauthorized) throw cause;
      await download(true);
    }
  }
}

/**
 * A token that is refused before anything came will be refused again: by the registry, that ends the try; by a neighbour,
 * it is left alone. Later, the token has only come of age, and the next plan has another.
 * @throws SyncError
 */
function judgeRefusal(outcome: ExecutionOutcome, hasCome: () => boolean): ExecutionOutcome {
  if (outcome.outcome !== 'refused' || hasCome()) return outcome;
  const { neighbour, reason } = outcome;
  if (neighbour === null) throw new SyncError(reason);
  return { outcome: 'bad-neighbour', name: neighbour, reason };
}

export function bytesOf(files: readonly VersionFile[]): number {
  return files.reduce((sum, file) => sum + file.sizeBytes, 0);
}

export function bytesHaveOf(files: readonly VersionFile[], have: ReadonlyMap<string, number>): number {
  return files.reduce((sum, { digest, sizeBytes }) => {
    return sum + Math.min(sizeBytes, Math.max(0, have.get(digest) ?? 0));
  }, 0);
}
