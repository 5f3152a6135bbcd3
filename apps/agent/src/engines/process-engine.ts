// Engines as child processes of this machine (DESIGN §9 `process`).
//
// Invariants (R10): a child exists only with a folder that has its spec.json, or is on its way out; an instance is
// adopted only when its process has this very folder in its environment (an id alone may belong to anybody), its spec is
// whole, and it answers as itself or is still loading. Everything else is ended: spec.json first, so that a child that
// starts late finds it gone, then SIGTERM, then SIGKILL.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { EngineError, messageOf } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';
import { environmentOf, isProcessAlive, processesWith, processStartTicks } from '../state/processes.ts';
import { EngineAdapter, type EngineInstance, type EngineSpec, type EngineState } from './engine-adapter.ts';
import { boundLog, lastLine, logPath, openLog, sweepLogs } from './engine-log.ts';
import * as folders from './instance-folder.ts';

const VARIABLE = 'ATOLL_INSTANCE_DIR';
const PROBE_TIMEOUT_MS = 3_000;
const EXIT_POLL_MS = 50;
/** Engines yield to the agent when the machine is full (R9). */
const ENGINE_NICENESS = 5;
/** What a child needs of our environment; our own secrets are not among it. */
const INHERITED = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'LC_ALL', 'TZ', 'LD_LIBRARY_PATH', 'CUDA_VISIBLE_DEVICES'];

const answerSchema = z.object({ instanceId: z.string() });

export interface ProcessEngineOptions {
  readonly stateFolder: string;
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly modulesDirectory?: string;
  /** Of this process; engines get only what they need of it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** From SIGTERM to SIGKILL. Default 12 s: an engine drains for at most 10 s. */
  readonly stopTimeoutMs?: number;
  /** Writes down which process an instance is. Default: `process.json` in its folder. */
  readonly noteProcessId?: (folder: string, processId: number) => Promise<void>;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export class ProcessEngine extends EngineAdapter {
  readonly #options: ProcessEngineOptions;
  readonly #enginesFolder: string;
  readonly #logsFolder: string;
  /** Children of this process; adopted ones are not here. */
  readonly #children = new Map<string, ChildProcess>();

  constructor(options: ProcessEngineOptions) {
    super();
    this.#options = options;
    this.#enginesFolder = join(options.stateFolder, 'engines');
    this.#logsFolder = join(options.stateFolder, 'logs');
  }

  override async start(spec: EngineSpec, generation: number): Promise<EngineInstance> {
    const instanceId = uuidv7();
    const folder = this.#folderOf(instanceId);
    const { deploymentId, ...engineSpec } = spec;
    const child = await folders
      .createInstanceFolder(folder, { ...engineSpec, instanceId, generation }, deploymentId)
      .then(() => this.#spawn(folder, spec.replicaId))
      .catch(async (cause: unknown) => {
        await this.#removeFolder(folder);
        throw new EngineError(`The engine cannot be started: ${messageOf(cause)}`, { cause });
      });
    const processId = child.pid!;
    this.#children.set(instanceId, child);
    const { noteProcessId = folders.noteProcessId, log } = this.#options;
    // The child lives whatever the disk says; it tells its id itself, and its environment does.
    await noteProcessId(folder, processId).catch((cause: unknown) =>
      log.warn({ pid: processId, reason: messageOf(cause) }, 'engine process id not noted'),
    );
    lowerPriority(processId);
    await this.#sweepLogs();
    return instanceOf({ ...spec, instanceId, generation }, deploymentId, processId, false);
  }

  override async probe(instance: EngineInstance): Promise<EngineState> {
    const folder = this.#folderOf(instance.instanceId);
    if (!(await this.#isAlive(instance))) return { state: 'gone', reason: await this.#whyGone(instance) };
    const ready = await folders.readReady(folder);
    if (ready?.instanceId !== instance.instanceId) return { state: 'starting' };
    const token = await folders.readToken(folder);
    if (token === null || !(await answersAs(instance.instanceId, ready.port, token))) return { state: 'silent' };
    await boundLog(logPath(this.#logsFolder, instance.replicaId));
    return { state: 'ready', url: `http://127.0.0.1:${ready.port}`, token };
  }

  override async noteProven({ instanceId }: EngineInstance): Promise<void> {
    const folder = this.#folderOf(instanceId);
    await folders
      .noteProven(folder)
      .catch((cause: unknown) => this.#warnOf(folder, cause, 'proof of an engine not noted'));
  }

  override async stop(instance: EngineInstance): Promise<void> {
    const folder = this.#folderOf(instance.instanceId);
    await this.#revokeSpec(folder);
    await this.#end(instance.processId!, () => this.#isAlive(instance));
    this.#children.delete(instance.instanceId);
    await this.#removeFolder(folder);
  }

  override async list(): Promise<EngineInstance[]> {
    await mkdir(this.#enginesFolder, { recursive: true, mode: 0o700 });
    const living = new Map<string, number[]>();
    for (const { pid, value } of (await processesWith(VARIABLE)) ?? []) {
      if (value.startsWith(`${this.#enginesFolder}/`)) living.set(value, [...(living.get(value) ?? []), pid]);
    }
    const known = new Set([...(await folders.listInstanceFolders(this.#enginesFolder)), ...living.keys()]);
    const found = await Promise.all([...known].map((folder) => this.#inspect(folder, living.get(folder) ?? [])));
    return found.filter((instance) => instance !== null);
  }

  async #inspect(folder: string, pids: readonly number[]): Promise<EngineInstance | null> {
    const instance = await this.#readInstance(folder);
    const state = instance === null ? null : await this.probe(instance);
    if (instance !== null && (state?.state === 'ready' || state?.state === 'starting')) return instance;
    await this.#revokeSpec(folder);
    const orphans = instance === null ? pids : [...new Set([instance.processId!, ...pids])];
    await Promise.all(orphans.map((pid) => this.#end(pid, () => this.#owns(pid, folder))));
    for (const _ of pids) this.#options.metrics.orphanEnded();
    if (pids.length > 0) this.#options.log.warn({ pids, folder: basename(folder) }, 'engine of nobody ended');
    await this.#removeFolder(folder);
    return null;
  }

  async #readInstance(folder: string): Promise<EngineInstance | null> {
    const [spec, owner, processId, isProven] = await Promise.all([
      folders.readSpec(folder),
      folders.readOwner(folder),
      folders.readProcessId(folder),
      folders.isProven(folder),
    ]);
    if (spec === null || owner === null || processId === null || spec.instanceId !== basename(folder)) return null;
    return instanceOf(spec, owner.deploymentId, processId, isProven);
  }

  async #spawn(folder: string, replicaId: string): Promise<ChildProcess> {
    const [program, ...parameters] = this.#options.command as [string, ...string[]];
    const log = await openLog(logPath(this.#logsFolder, replicaId));
    try {
      const child = spawn(program, parameters, {
        cwd: folder,
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        env: {
          ...inheritedFrom(this.#options.environment),
          [VARIABLE]: folder,
          ...(this.#options.modulesDirectory ? { ATOLL_ENGINE_MODULES: this.#options.modulesDirectory } : {}),
        },
      });
      await once(child, 'spawn');
      child.on('error', (cause) => this.#options.log.warn({ reason: cause.message }, 'engine process error'));
      child.unref();
      return child;
    } finally {
      await log.close();
    }
  }

  async #isAlive({ instanceId, processId }: EngineInstance): Promise<boolean> {
    const child = this.#children.get(instanceId);
    if (child !== undefined) return child.exitCode === null && child.signalCode === null;
    return processId !== undefined && this.#owns(processId, this.#folderOf(instanceId));
  }

  /** Where there is no /proc, an id in use is all that can be known; `probe` then asks the process itself. */
  async #owns(pid: number, folder: string): Promise<boolean> {
    if (!isProcessAlive(pid)) return false;
    if ((await processStartTicks(process.pid)) === null) return true;
    return (await environmentOf(pid, VARIABLE)) === folder;
  }

  async #end(pid: number, isAlive: () => Promise<boolean>): Promise<void> {
    if (!(await isAlive())) return;
    send(pid, 'SIGTERM');
    if (await isGoneWithin(this.#options.stopTimeoutMs ?? 12_000, isAlive)) return;
    this.#options.log.warn({ pid }, 'engine did not end by itself; killing it');
    // It leads its own process group: what it started goes with it.
    send(-pid, 'SIGKILL');
    await isGoneWithin(5_000, isAlive);
  }

  async #whyGone({ instanceId, replicaId }: EngineInstance): Promise<string> {
    const child = this.#children.get(instanceId);
    const end = child?.signalCode ? `by ${child.signalCode}` : child ? `with code ${child.exitCode}` : 'unseen';
    const line = await lastLine(logPath(this.#logsFolder, replicaId));
    return `The engine ended ${end}${line === '' ? '.' : `; its last words: ${line}`}`;
  }

  /** A disk that takes no writes must not keep a process alive: what cannot be removed is said, and ended all the same. */
  async #revokeSpec(folder: string): Promise<void> {
    await folders.revokeSpec(folder).catch((cause: unknown) => this.#warnOf(folder, cause));
  }

  async #removeFolder(folder: string): Promise<void> {
    await folders.removeInstanceFolder(folder).catch((cause: unknown) => this.#warnOf(folder, cause));
  }

  async #sweepLogs(): Promise<void> {
    const here = await folders.listInstanceFolders(this.#enginesFolder);
    const specs = await Promise.all(here.map((folder) => folders.readSpec(folder)));
    const living = new Set(specs.flatMap((spec) => (spec === null ? [] : [spec.replicaId])));
    await sweepLogs(this.#logsFolder, living).catch((cause: unknown) =>
      this.#options.log.warn({ reason: messageOf(cause) }, 'old engine logs not removed'),
    );
  }

  #warnOf(folder: string, cause: unknown, what = 'instance folder not removed'): void {
    this.#options.log.warn({ folder: basename(folder), reason: messageOf(cause) }, what);
  }

  #folderOf(instanceId: string): string {
    return join(this.#enginesFolder, instanceId);
  }
}

/** What an instance folder's spec and its process say of the instance. */
function instanceOf(
  spec: folders.InstanceSpec,
  deploymentId: string,
  processId: number,
  isProven: boolean,
): EngineInstance {
  const { instanceId, replicaId, versionDigest, generation, servedModel } = spec;
  return {
    instanceId,
    replicaId,
    deploymentId,
    versionDigest,
    generation,
    specHash: folders.specHashOf(spec),
    servedModel,
    processId,
    isProven,
  };
}

function inheritedFrom(environment: ProcessEngineOptions['environment']): Record<string, string> {
  const entries = INHERITED.map((name) => [name, environment[name]] as const);
  return Object.fromEntries(entries.filter((entry): entry is readonly [string, string] => entry[1] !== undefined));
}

async function answersAs(instanceId: string, port: number, token: string): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/instance`, {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    return response.ok && answerSchema.parse(await response.json()).instanceId === instanceId;
  } catch {
    return false;
  }
}

async function isGoneWithin(timeoutMs: number, isAlive: () => Promise<boolean>): Promise<boolean> {
  const until = performance.now() + timeoutMs;
  while (performance.now() < until) {
    if (!(await isAlive())) return true;
    await delay(EXIT_POLL_MS);
  }
  return !(await isAlive());
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It was already gone.
  }
}

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, ENGINE_NICENESS);
  } catch {
    // Already gone, or the system does not let us; it is only a courtesy.
  }
}
