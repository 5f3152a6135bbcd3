// Engines as child processes of this machine, each in a folder of its own: what every adapter that starts processes needs.
//
// Invariants (R10): a child exists only with a folder that has its spec.json, or is on its way out; an instance is
// adopted only when its process has this very folder in its environment, or the start that was noted (an id alone may belong
// to anybody), its spec is whole, and it answers as itself, is still loading, or is too busy to answer (where there is no
// /proc nothing proves who it is, and it has to answer). Everything else is ended: spec.json first, so that a child that starts late finds it gone, then
// SIGTERM, then SIGKILL, for whatever has that folder in its environment.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { ENGINE_FOLDER_VARIABLE } from '#domain';
import { deviceEnvironment } from '../devices/visible-devices.ts';
import { EngineError, messageOf } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';
import { environmentOf, isProcessAlive, processesWith, processGroupOf, processStartTicks } from '../state/processes.ts';
import type { EngineInstance, EngineSpec, EngineState } from './engine-adapter.ts';
import { boundLog, lastLine, logPath, openLog, sweepLogs } from './engine-log.ts';
import * as folders from './instance-folder.ts';

export const INSTANCE_VARIABLE = ENGINE_FOLDER_VARIABLE;
const EXIT_POLL_MS = 50;
const KILL_MS_MAX = 5_000;
/** Looks at all processes, of one that starts others faster than they can be ended. */
const SWEEPS_MAX = 10;
/** Engines yield to the agent when the machine is full (R9). */
const ENGINE_NICENESS = 5;
/** Of 1,000. When memory runs out, the system ends an engine and not the agent, nor whatever else runs here. */
const ENGINE_OOM_SCORE = 500;
/** What a child needs of our environment; our own secrets are not among it. */
const INHERITED = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'LC_ALL', 'TZ', 'LD_LIBRARY_PATH', 'CUDA_VISIBLE_DEVICES'];

/** Python's setproctitle (vLLM and Ray name their processes by it) writes over the environment by which we know them. */
const KEEPS_ENVIRONMENT = { SPT_NOENV: '1' };

export interface EngineProcessesOptions {
  readonly stateFolder: string;
  /** Name of the engine in the configuration; absent: this installation's own. */
  readonly engine?: string;
  /** Of this process; engines get only what they need of it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** From SIGTERM to SIGKILL. */
  readonly stopTimeoutMs: number;
  /** Writes down which process an instance is. Default: `process.json` in its folder. */
  readonly noteProcessId?: (folder: string, processId: number) => Promise<void>;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export interface EngineLaunch {
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

export class EngineProcesses {
  readonly #options: EngineProcessesOptions;
  readonly #enginesFolder: string;
  readonly #logsFolder: string;
  /** Children of this process; adopted ones are not here. */
  readonly #children = new Map<string, ChildProcess>();

  constructor(options: EngineProcessesOptions) {
    this.#options = options;
    this.#enginesFolder = enginesFolderOf(options.stateFolder, options.engine);
    this.#logsFolder = join(options.stateFolder, 'logs');
  }

  folderOf(instanceId: string): string {
    return join(this.#enginesFolder, instanceId);
  }

  /** `launch` is asked once the folder is whole. @throws EngineError */
  async start(
    spec: EngineSpec,
    generation: number,
    launch: (folder: string) => Promise<EngineLaunch> | EngineLaunch,
  ): Promise<EngineInstance> {
    const instanceId = uuidv7();
    const folder = this.folderOf(instanceId);
    const { deploymentId, ...engineSpec } = spec;
    const child = await folders
      .createInstanceFolder(folder, { ...engineSpec, instanceId, generation }, deploymentId)
      .then(async () => this.#spawn(folder, spec, await launch(folder)))
      .catch(async (cause: unknown) => {
        await this.#removeFolder(folder);
        throw new EngineError(`The engine cannot be started: ${messageOf(cause)}`, { cause });
      });
    const processId = child.pid!;
    this.#children.set(instanceId, child);
    const { noteProcessId = folders.noteProcessId, log } = this.#options;
    // The child lives whatever the disk says; its environment tells whose it is.
    await noteProcessId(folder, processId).catch((cause: unknown) =>
      log.warn({ pid: processId, reason: messageOf(cause) }, 'engine process id not noted'),
    );
    lowerPriority(processId);
    await offerToOutOfMemory(processId);
    await this.#sweepLogs();
    return instanceOf({ ...spec, instanceId, generation }, deploymentId, processId, false);
  }

  async isAlive({ instanceId, processId }: EngineInstance): Promise<boolean> {
    const child = this.#children.get(instanceId);
    if (child !== undefined) return child.exitCode === null && child.signalCode === null;
    return processId !== undefined && this.#owns(processId, this.folderOf(instanceId));
  }

  /** One sentence with how it ended, where that was seen, and its last words. */
  async whyGone({ instanceId, replicaId }: EngineInstance): Promise<string> {
    const child = this.#children.get(instanceId);
    const end = child?.signalCode ? `by ${child.signalCode}` : child ? `with code ${child.exitCode}` : 'unseen';
    const line = await lastLine(logPath(this.#logsFolder, replicaId));
    return `The engine ended ${end}${line === '' ? '.' : `; its last words: ${line}`}`;
  }

  async boundLog({ replicaId }: EngineInstance): Promise<void> {
    await boundLog(logPath(this.#logsFolder, replicaId));
  }

  async noteProven({ instanceId }: EngineInstance): Promise<void> {
    const folder = this.folderOf(instanceId);
    await folders
      .noteProven(folder)
      .catch((cause: unknown) => this.#warnOf(folder, cause, 'proof of an engine not noted'));
  }

  async stop(instance: EngineInstance): Promise<void> {
    const folder = this.folderOf(instance.instanceId);
    await this.#revokeSpec(folder);
    await this.#end(folder, instance.processId!, () => this.isAlive(instance));
    this.#children.delete(instance.instanceId);
    await this.#removeFolder(folder);
  }

  /** Living instances of an earlier agent, as far as `probe` knows them; everything else of ours is ended and removed. */
  async list(probe: (instance: EngineInstance) => Promise<EngineState>): Promise<EngineInstance[]> {
    const enginesFolder = this.#enginesFolder;
    await mkdir(enginesFolder, { recursive: true, mode: 0o700 });
    const living = new Map<string, number[]>();
    for (const { pid, value } of (await processesWith(INSTANCE_VARIABLE)) ?? []) {
      if (value.startsWith(`${enginesFolder}/`)) living.set(value, [...(living.get(value) ?? []), pid]);
    }
    const known = new Set([...(await folders.listInstanceFolders(enginesFolder)), ...living.keys()]);
    const found = await Promise.all([...known].map((folder) => this.#inspect(folder, living.get(folder) ?? [], probe)));
    return found.filter((instance) => instance !== null);
  }

  /** Of the whole engine, once nothing of it is left. */
  async removeFolder(): Promise<void> {
    await this.#removeFolder(this.#enginesFolder);
  }

  async #inspect(
    folder: string,
    pids: readonly number[],
    probe: (instance: EngineInstance) => Promise<EngineState>,
  ): Promise<EngineInstance | null> {
    const instance = await this.#readInstance(folder, pids);
    const state = instance === null ? null : await probe(instance);
    // What is stuck is noticed by whoever adopts it; a full machine must not cost an engine (R9).
    const isBusy = state?.state === 'silent' && (await isIdentityKnown());
    if (isBusy || state?.state === 'ready' || state?.state === 'starting') return instance;
    await this.#revokeSpec(folder);
    const leader = instance === null ? await this.#notedLeader(folder) : instance.processId!;
    const orphans = [...new Set([...(leader === null ? [] : [leader]), ...pids])];
    await Promise.all(orphans.map((pid) => this.#end(folder, pid, () => this.#owns(pid, folder))));
    for (const _ of pids) this.#options.metrics.orphanEnded();
    if (pids.length > 0) this.#options.log.warn({ pids, folder: basename(folder) }, 'engine of nobody ended');
    await this.#removeFolder(folder);
    return null;
  }

  /** Of an instance that is not whole: its environment may tell nothing, but its id and its start are still its own. */
  async #notedLeader(folder: string): Promise<number | null> {
    const noted = await folders.readProcessId(folder);
    return noted !== null && (await folders.isNotedProcess(folder, noted)) ? noted : null;
  }

  /** `pids` have the folder in their environment: the lowest leads, where an agent died before it noted which. */
  async #readInstance(folder: string, pids: readonly number[]): Promise<EngineInstance | null> {
    const [spec, owner, noted, isProven] = await Promise.all([
      folders.readSpec(folder),
      folders.readOwner(folder),
      folders.readProcessId(folder),
      folders.isProven(folder),
    ]);
    const processId = noted ?? (await groupLeader(pids));
    if (spec === null || owner === null || processId === null || spec.instanceId !== basename(folder)) return null;
    return instanceOf(spec, owner.deploymentId, processId, isProven);
  }

  async #spawn(folder: string, spec: EngineSpec, { command, environment }: EngineLaunch): Promise<ChildProcess> {
    const [program, ...parameters] = command as [string, ...string[]];
    const { replicaId } = spec;
    const log = await openLog(logPath(this.#logsFolder, replicaId));
    try {
      const child = spawn(program, parameters, {
        cwd: folder,
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        env: {
          ...inheritedFrom(this.#options.environment),
          ...visibleTo(spec),
          ...environment,
          ...KEEPS_ENVIRONMENT,
          [INSTANCE_VARIABLE]: folder,
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

  /** Where there is no /proc, an id in use is all that can be known; `probe` then asks the process itself. */
  async #owns(pid: number, folder: string): Promise<boolean> {
    if (!isProcessAlive(pid)) return false;
    if (!(await isIdentityKnown())) return true;
    // Some write over their environment; then their start, as it was noted, tells.
    return (await environmentOf(pid, INSTANCE_VARIABLE)) === folder || folders.isNotedProcess(folder, pid);
  }

  /** The leader is asked and may take its time; what it leaves behind when it ends is asked too, and gets what is left of it. */
  async #end(folder: string, pid: number, isAlive: () => Promise<boolean>): Promise<void> {
    const untilMs = performance.now() + this.#options.stopTimeoutMs;
    if (await isAlive()) {
      send(pid, 'SIGTERM');
      if (!(await isGoneBy(untilMs, isAlive))) {
        this.#options.log.warn({ pid }, 'engine did not end by itself; killing it');
        // It leads its own process group: what it started goes with it.
        send(-pid, 'SIGKILL');
        await isGoneBy(performance.now() + KILL_MS_MAX, isAlive);
      }
    }
    await this.#sweep(folder, pid, untilMs);
  }

  /** What has the folder in its environment and outlived its leader, in whatever group. */
  async #sweep(folder: string, leader: number, untilMs: number): Promise<void> {
    const left = async () => (await pidsOf(folder)).filter((pid) => pid !== leader);
    const found = await left();
    if (found.length === 0) return;
    for (const pid of found) send(pid, 'SIGTERM');
    if (await isGoneBy(untilMs, async () => (await left()).length > 0)) return;
    for (let pass = 0; pass < SWEEPS_MAX; pass += 1) {
      const pids = await left();
      if (pids.length === 0) return;
      this.#options.log.warn({ pids }, 'processes that an engine left behind are killed');
      for (const pid of pids) send(pid, 'SIGKILL');
      await delay(EXIT_POLL_MS);
    }
  }

  /** A disk that takes no writes must not keep a process alive: what cannot be removed is said, and ended all the same. */
  async #revokeSpec(folder: string): Promise<void> {
    await folders.revokeSpec(folder).catch((cause: unknown) => this.#warnOf(folder, cause));
  }

  async #removeFolder(folder: string): Promise<void> {
    await folders.removeInstanceFolder(folder).catch((cause: unknown) => this.#warnOf(folder, cause));
  }

  /** Logs lie together, whatever engine wrote them. */
  async #sweepLogs(): Promise<void> {
    const { stateFolder, log } = this.#options;
    const sweep = async () => sweepLogs(this.#logsFolder, new Set(await livingReplicas(stateFolder)));
    await sweep().catch((cause: unknown) => log.warn({ reason: messageOf(cause) }, 'old engine logs not removed'));
  }

  #warnOf(folder: string, cause: unknown, what = 'instance folder not removed'): void {
    this.#options.log.warn({ folder: basename(folder), reason: messageOf(cause) }, what);
  }
}

/** Instances of each engine lie apart: nobody takes up, or ends, what another adapter started. */
function enginesFolderOf(stateFolder: string, engine: string | undefined): string {
  return engine === undefined ? join(stateFolder, 'engines') : join(stateFolder, 'named-engines', engine);
}

/** Names of engines that have, or had, processes here. */
export async function enginesWithFolders(stateFolder: string): Promise<string[]> {
  return readdir(join(stateFolder, 'named-engines')).catch(() => []);
}

/** Of whatever engine. */
async function livingReplicas(stateFolder: string): Promise<string[]> {
  const engines = [undefined, ...(await enginesWithFolders(stateFolder))];
  const here = await Promise.all(
    engines.map((engine) => folders.listInstanceFolders(enginesFolderOf(stateFolder, engine))),
  );
  const specs = await Promise.all(here.flat().map((folder) => folders.readSpec(folder)));
  return specs.flatMap((spec) => (spec === null ? [] : [spec.replicaId]));
}

/** What an instance folder's spec and its process say of the instance. */
function instanceOf(
  spec: folders.InstanceSpec,
  deploymentId: string,
  processId: number,
  isProven: boolean,
): EngineInstance {
  const { instanceId, replicaId, versionDigest, generation, servedModel, engine, devices } = spec;
  return {
    instanceId,
    replicaId,
    deploymentId,
    versionDigest,
    generation,
    specHash: folders.specHashOf(spec),
    servedModel,
    ...(engine === undefined ? {} : { engine }),
    processId,
    ...(devices === undefined ? {} : { devices }),
    isProven,
  };
}

/**
 * Of a claim of `cpu` all accelerators are hidden, bound or not. Other claims without bound devices see what the agent
 * sees. What the engine's own template sets wins over that.
 */
function visibleTo({ claim, devices }: EngineSpec): Readonly<Record<string, string>> {
  if (claim === undefined || (devices === undefined && claim.deviceType !== 'cpu')) return {};
  return deviceEnvironment(claim.deviceType, devices ?? []);
}

function inheritedFrom(environment: EngineProcessesOptions['environment']): Record<string, string> {
  const entries = INHERITED.map((name) => [name, environment[name]] as const);
  return Object.fromEntries(entries.filter((entry): entry is readonly [string, string] => entry[1] !== undefined));
}

async function pidsOf(folder: string): Promise<number[]> {
  const all = (await processesWith(INSTANCE_VARIABLE)) ?? [];
  return all.filter(({ value }) => value === folder).map(({ pid }) => pid);
}

/** The one that leads its own process group, as every engine of ours does; null: none is left. */
async function groupLeader(pids: readonly number[]): Promise<number | null> {
  for (const pid of pids) if ((await processGroupOf(pid)) === pid) return pid;
  return null;
}

/** Whether this system tells more of a process than that its id is in use. */
async function isIdentityKnown(): Promise<boolean> {
  return (await processStartTicks(process.pid)) !== null;
}

async function isGoneBy(untilMs: number, isAlive: () => Promise<boolean>): Promise<boolean> {
  while (performance.now() < untilMs) {
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

async function offerToOutOfMemory(pid: number): Promise<void> {
  // Only a courtesy too: where there is no such file, the system chooses by itself.
  await writeFile(`/proc/${pid}/oom_score_adj`, String(ENGINE_OOM_SCORE)).catch(() => undefined);
}

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, ENGINE_NICENESS);
  } catch {
    // Already gone, or the system does not let us; it is only a courtesy.
  }
}
