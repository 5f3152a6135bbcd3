// All replicas of this machine: executes what the reconciler decides, single-flight a replica, and tells what is so.
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { DesiredReplica, LocalReplica, ReplicaReport, VersionFile } from '#domain';
import type { AgentMetrics } from '../metrics.ts';
import { AdapterKeeper } from './adapter-keeper.ts';
import type { EngineAdapter, EngineInstance, EngineSpec } from './engine-adapter.ts';
import { specHashOf } from './instance-folder.ts';
import { Replica } from './replica.ts';

const REASON_CHARACTERS_MAX = 500;

export interface ReplicaSupervisorOptions {
  readonly engine: EngineAdapter;
  readonly startTimeoutMs: number;
  readonly drainMs: number;
  readonly settings: Pick<EngineSpec, 'contextSize' | 'maxConcurrent' | 'maxQueue'>;
  /** The folder of a version. */
  readonly versionPath: (digest: string) => string;
  readonly onChange: () => void;
  readonly onFailed: (replica: Replica, reason: string) => void;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export class ReplicaSupervisor {
  readonly #options: ReplicaSupervisorOptions;
  readonly #replicas = new Map<string, Replica>();
  readonly #stops = new Map<string, Promise<void>>();
  readonly #adapters: AdapterKeeper;

  constructor(options: ReplicaSupervisorOptions) {
    this.#options = options;
    this.#adapters = new AdapterKeeper(options.engine, options.log);
  }

  /**
   * Takes over the engines of an earlier agent, before anything is started (R5, R10). One that should now run with
   * another spec, or whose version may not be here (`refusal`), is ended; without a document (`wanted` null) everything alive is kept, for nobody said otherwise (R7).
   */
  async adopt(
    wanted: readonly DesiredReplica[] | null,
    filesOf: (digest: string) => readonly VersionFile[] | undefined,
    refusal: (versionDigest: string) => string | null = () => null,
  ): Promise<void> {
    const { engine, log, metrics } = this.#options;
    const living = (await engine.list()).sort((left, right) => right.generation - left.generation);
    for (const instance of living) {
      const spec = wanted?.find((replica) => replica.replicaId === instance.replicaId);
      const files = spec === undefined ? undefined : filesOf(spec.versionDigest);
      const isChanged = spec !== undefined && files !== undefined && this.#isChanged(instance, spec, files);
      const refused = refusal(instance.versionDigest);
      if (this.#replicas.has(instance.replicaId) || isChanged || refused !== null) {
        if (refused !== null) log.warn({ replica: instance.replicaId, reason: refused }, 'engine not adopted');
        metrics.orphanEnded();
        await engine.stop(instance);
        continue;
      }
      log.info({ replica: instance.replicaId, pid: instance.processId }, 'engine adopted');
      metrics.engineAdopted();
      this.#add(new Replica(instance, this.#replicaOptions())).adopt(instance);
    }
  }

  local(): LocalReplica[] {
    return [...this.#replicas.values()].map(({ replicaId, versionDigest, phase, retryAtMs, devices }) => ({
      replicaId,
      versionDigest,
      phase,
      ...(devices === undefined ? {} : { devices }),
      ...(phase === 'Failed' && retryAtMs !== undefined ? { retryAtMs } : {}),
    }));
  }

  find(replicaId: string): Replica | undefined {
    return this.#replicas.get(replicaId);
  }

  /** Every replica that is here, whatever its phase. */
  all(): Iterable<Replica> {
    return this.#replicas.values();
  }

  /** Digests that a local engine has open. */
  usedDigests(): ReadonlySet<string> {
    return new Set([...this.#replicas.values()].map(({ versionDigest }) => versionDigest));
  }

  /**
   * Precondition: the version is held, so every byte of `files` is verified, or its engine needs none; nobody else has
   * the `devices`.
   */
  start(desired: DesiredReplica, files: readonly VersionFile[], devices?: EngineSpec['devices']): void {
    const { log, metrics } = this.#options;
    const replica = this.#replicas.get(desired.replicaId) ?? this.#add(new Replica(desired, this.#replicaOptions()));
    log.info({ replica: desired.replicaId, version: desired.versionDigest }, 'engine starts');
    metrics.engineStarted();
    replica.start(this.#specOf(desired, files, devices));
  }

  /** Adapters of those that are wanted and Ready: a look that finds nothing to do costs nothing. */
  keepAdapters(
    wanted: readonly DesiredReplica[],
    filesOf: (digest: string) => readonly VersionFile[] | undefined,
  ): void {
    for (const { replicaId, adapters = [] } of wanted) {
      const replica = this.#replicas.get(replicaId);
      const held = adapters.flatMap(({ name, versionDigest }) => {
        const files = filesOf(versionDigest);
        const path = files && join(this.#options.versionPath(versionDigest), modelFileOf(files));
        return path === undefined ? [] : [{ name, versionDigest, path }];
      });
      if (replica !== undefined) this.#adapters.keep(replica, held);
    }
  }

  /** What holds one of these devices has failed. */
  fail(replicaId: string, reason: string): void {
    this.#replicas.get(replicaId)?.fail(reason);
  }

  /** Idempotent: a replica that is stopping goes on stopping. `isAtOnce` lets no answer finish, also of one that drains. */
  stop(replicaId: string, reason: string, isAtOnce = false): void {
    const replica = this.#replicas.get(replicaId);
    if (isAtOnce) replica?.cutDrain();
    if (replica === undefined || this.#stops.has(replicaId)) return;
    this.#options.log.info({ replica: replicaId, reason }, 'engine stops');
    const done = replica.stop(reason, isAtOnce ? 0 : this.#options.drainMs).then(
      () => this.#forget(replicaId),
      (cause: unknown) => {
        this.#options.log.error({ replica: replicaId, cause }, 'engine could not be stopped');
        this.#forget(replicaId);
      },
    );
    this.#stops.set(replicaId, done);
  }

  /** Every replica of a version, at once: not one more byte may come from it. */
  stopVersion(versionDigest: string, reason: string): void {
    for (const replica of this.#replicas.values()) {
      if (replica.versionDigest === versionDigest) this.stop(replica.replicaId, reason, true);
    }
  }

  async stopAll(reason: string): Promise<void> {
    for (const replicaId of this.#replicas.keys()) this.stop(replicaId, reason);
    await Promise.all(this.#stops.values());
  }

  /** Processes of this machine end; what runs elsewhere under this agent's name is another's to keep or end. */
  async stopOwn(reason: string): Promise<void> {
    const replicas = [...this.#replicas.values()];
    const isHere = ({ instance }: Replica) => instance?.processId !== undefined;
    for (const replica of replicas.filter(isHere)) this.stop(replica.replicaId, reason);
    await Promise.all(replicas.filter((replica) => !isHere(replica)).map((replica) => replica.leave()));
    await Promise.all(this.#stops.values());
  }

  /** Engines stay for the next agent; only the watching ends. */
  async leaveAll(): Promise<void> {
    await Promise.all([...this.#replicas.values()].map((replica) => replica.leave()));
    await Promise.all(this.#stops.values());
  }

  load(): { inflight: number; queued: number } {
    const { maxConcurrent } = this.#options.settings;
    let [inflight, queued] = [0, 0];
    for (const replica of this.#replicas.values()) {
      inflight += Math.min(replica.inflight, maxConcurrent);
      queued += Math.max(0, replica.inflight - maxConcurrent);
    }
    return { inflight, queued };
  }

  countByPhase(): Record<Replica['phase'], number> {
    const counts = { Starting: 0, Ready: 0, Failed: 0, Stopping: 0 };
    for (const { phase } of this.#replicas.values()) counts[phase] += 1;
    return counts;
  }

  reports(): ReplicaReport[] {
    return [...this.#replicas.values()].map((replica) => ({
      replicaId: replica.replicaId,
      deploymentId: replica.deploymentId,
      versionDigest: replica.versionDigest,
      phase: replica.phase,
      reason: replica.reason.slice(0, REASON_CHARACTERS_MAX),
      restarts: replica.restarts,
      ...(replica.instance === undefined ? {} : { processId: replica.instance.processId }),
      ...(replica.engine === undefined ? {} : { engine: replica.engine }),
      ...(replica.devices === undefined ? {} : { devices: replica.devices }),
    }));
  }

  /** One that holds devices is asked for with those, unless the centre gives it others; an older one noted none. */
  #isChanged(instance: EngineInstance, desired: DesiredReplica, files: readonly VersionFile[]): boolean {
    const devices = instance.devices === undefined ? undefined : (desired.devices ?? instance.devices);
    return specHashOf(this.#specOf(desired, files, devices)) !== instance.specHash;
  }

  #specOf(desired: DesiredReplica, files: readonly VersionFile[], devices: EngineSpec['devices']): EngineSpec {
    const { replicaId, deploymentId, versionDigest, servedModel, engine, claim, nodes } = desired;
    // Whether files are here must not make another spec for an engine that reads none.
    const needed = this.#options.engine.needsFiles(engine) ? files : [];
    const modelPath = join(this.#options.versionPath(versionDigest), modelFileOf(needed));
    return {
      ...{ replicaId, deploymentId, versionDigest, servedModel, modelPath, claim },
      ...this.#options.settings,
      ...(engine === undefined ? {} : { engine }),
      ...(devices === undefined ? {} : { devices }),
      ...(nodes === undefined ? {} : { nodes }),
    };
  }

  #replicaOptions() {
    const { engine, settings, startTimeoutMs, onChange, onFailed, log, metrics } = this.#options;
    return {
      engine,
      startTimeoutMs,
      maxConcurrent: settings.maxConcurrent,
      onChange,
      onReady: ({ replicaId }: Replica) => log.info({ replica: replicaId }, 'engine ready'),
      onFailed: (replica: Replica, reason: string) => {
        metrics.engineFailed();
        log.warn({ replica: replica.replicaId, reason }, 'engine failed');
        onFailed(replica, reason);
      },
    };
  }

  #add(replica: Replica): Replica {
    this.#replicas.set(replica.replicaId, replica);
    return replica;
  }

  #forget(replicaId: string): void {
    this.#stops.delete(replicaId);
    this.#replicas.delete(replicaId);
    this.#options.onChange();
  }
}

/** The GGUF file (the first part of a split one), or '' for the folder itself when there is none. */
export function modelFileOf(files: readonly VersionFile[]): string {
  const candidates = files
    .map(({ path }) => path)
    .filter((path) => path.toLowerCase().endsWith('.gguf'))
    .sort();
  return candidates.find((path) => /-0*1-of-\d+\.gguf$/i.test(path)) ?? candidates[0] ?? '';
}
