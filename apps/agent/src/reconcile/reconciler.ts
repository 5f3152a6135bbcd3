// Makes what is here what is desired: the pure decision of the domain, executed. Woken by every change and each second,
// so a lost wake-up costs a second. Without a document nothing is decided (R7).
import type { Logger } from 'pino';
import { type AgentAction, type DesiredState, type DesiredVersion, type Node, reconcileCluster } from '#domain';
import type { EngineAdapter } from '../engines/engine-adapter.ts';
import type { ReplicaSupervisor } from '../engines/replica-supervisor.ts';
import { messageOf } from '../errors.ts';
import type { TaskSupervisor } from '../jobs/task-supervisor.ts';
import type { VersionFolder } from '../sync/version-folder.ts';
import type { VersionSync } from '../sync/version-sync.ts';

const TICK_MS = 1_000;
/** A disk that did not let old versions go is not asked again at every turn. */
const PRUNE_RETRY_MS = 60_000;

export interface ReconcilerOptions {
  readonly desired: () => DesiredState | null;
  /** Model name → digest of the version before the wanted one, which stays on disk for a rollback (DESIGN §7.5). */
  readonly previous: () => Readonly<Record<string, string>>;
  readonly sync: VersionSync;
  readonly folder: VersionFolder;
  readonly replicas: ReplicaSupervisor;
  readonly tasks: Pick<TaskSupervisor, 'reconcile' | 'stopVersion' | 'usedDigests' | 'holdings'>;
  /** What engines of the configuration need of this machine. */
  readonly engines: Pick<EngineAdapter, 'needsFiles' | 'bindsDevices'>;
  /** As they are listed now. */
  readonly nodes: () => readonly Node[];
  /** Digest → why, of the versions that may not be here (signatures). */
  readonly refusals: (versions: readonly DesiredVersion[]) => ReadonlyMap<string, string>;
  /** Versions found damaged that are on their way out: not started, and not fetched before they are gone. */
  readonly distrusted: () => ReadonlySet<string>;
  readonly log: Logger;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  #timer: NodeJS.Timeout | undefined;
  #isWoken = false;
  #pruning: Promise<void> | undefined;
  #prunedFor: string | undefined;
  #waits: ReadonlyMap<string, string> = new Map();
  #pruneAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.#turn(), TICK_MS);
    this.wake();
  }

  /** Replica id → what it waits for before it can start. */
  get waits(): ReadonlyMap<string, string> {
    return this.#waits;
  }

  /** Changes of one moment make one turn. */
  wake(): void {
    if (this.#isWoken || this.#timer === undefined) return;
    this.#isWoken = true;
    setImmediate(() => {
      this.#isWoken = false;
      if (this.#timer !== undefined) this.#turn();
    });
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#pruning;
  }

  #turn(): void {
    const { sync, replicas, tasks, engines, log } = this.#options;
    const desired = this.#options.desired();
    if (desired === null) return;
    try {
      sync.forgetFailures(new Set(desired.versions.map(({ digest }) => digest)));
      const refusals = this.#options.refusals(desired.versions);
      for (const [digest, reason] of refusals) {
        replicas.stopVersion(digest, reason);
        tasks.stopVersion(digest, reason);
      }
      const distrusted = this.#options.distrusted();
      const usable = [...sync.heldDigests].filter((digest) => !refusals.has(digest) && !distrusted.has(digest));
      const local = {
        replicas: replicas.local(),
        heldDigests: new Set(usable),
        fetchingDigests: new Set([...sync.fetchingDigests, ...distrusted]),
        fetchRetryAtMs: sync.fetchRetryAtMs,
        refusedDigests: new Set(refusals.keys()),
        needsFiles: (engine: string | undefined) => engines.needsFiles(engine),
        book: {
          nodes: this.#options.nodes(),
          tasks: tasks.holdings(),
          bindsDevices: (engine: string | undefined) => engines.bindsDevices(engine),
        },
      };
      const actions = reconcileCluster(desired, local, performance.now());
      this.#waits = new Map(actions.flatMap((each) => (each.action === 'wait' ? [[each.replicaId, each.reason]] : [])));
      for (const action of actions) this.#execute(action);
      replicas.keepAdapters(desired.replicas, (digest) => (usable.includes(digest) ? sync.filesOf(digest) : undefined));
      tasks.reconcile(desired, local.heldDigests);
      this.#prune(desired);
    } catch (cause) {
      log.error({ reason: messageOf(cause) }, 'a turn of the reconciler failed; the next comes in a second');
    }
  }

  #execute(action: AgentAction): void {
    const { sync, replicas, engines } = this.#options;
    switch (action.action) {
      case 'fetch':
        // Blobs that come now could be taken for garbage by the sweep; the next turn fetches.
        if (this.#pruning === undefined) sync.fetch(action.version);
        break;
      case 'cancel-fetch':
        sync.cancel(action.digest);
        // What it leaves is garbage now, though the versions to keep may be those of the last sweep.
        this.#prunedFor = undefined;
        break;
      case 'start': {
        const { replica, devices } = action;
        const files = sync.filesOf(replica.versionDigest) ?? (engines.needsFiles(replica.engine) ? undefined : []);
        if (files !== undefined) replicas.start(replica, files, devices);
        break;
      }
      case 'wait':
        break;
      case 'drain':
        replicas.stop(action.replicaId, 'draining');
        break;
      case 'stop':
        replicas.stop(action.replicaId, action.reason);
        break;
    }
  }

  /** Versions go only when no document, no engine and no rollback needs them, and nothing is on its way. */
  #prune(desired: DesiredState): void {
    const { sync, folder, log } = this.#options;
    if (this.#pruning !== undefined || sync.fetchingDigests.size > 0 || performance.now() < this.#pruneAtMs) return;
    const key = [...this.#kept(desired)].sort().join();
    if (key === this.#prunedFor) return;
    this.#pruning = this.#pruneNow(() => this.#options.desired() ?? desired)
      .then(() => {
        this.#prunedFor = key;
      })
      .catch((cause: unknown) => {
        this.#pruneAtMs = performance.now() + PRUNE_RETRY_MS;
        log.warn({ reason: messageOf(cause), folder: folder.blobsFolder }, 'old versions not removed');
      })
      .finally(() => {
        this.#pruning = undefined;
      });
  }

  #kept(desired: DesiredState): ReadonlySet<string> {
    const { replicas, tasks, previous } = this.#options;
    return new Set([
      ...desired.versions.map(({ digest }) => digest),
      ...replicas.usedDigests(),
      ...tasks.usedDigests(),
      ...Object.values(previous()),
    ]);
  }

  /** What is needed is asked again before each version goes: a document may come meanwhile, and an engine start. */
  async #pruneNow(desired: () => DesiredState): Promise<void> {
    const { folder, sync, log } = this.#options;
    for (const digest of await folder.digests()) {
      if (this.#kept(desired()).has(digest)) continue;
      log.info({ version: digest }, 'version removed: nothing needs it');
      await sync.drop(digest);
    }
    const wanted = desired().versions;
    const held = sync.heldDigests;
    await folder.sweep(
      new Set(wanted.flatMap(({ files }) => files.map(({ digest }) => digest))),
      new Set(wanted.map(({ digest }) => digest).filter((digest) => !held.has(digest))),
    );
  }
}
