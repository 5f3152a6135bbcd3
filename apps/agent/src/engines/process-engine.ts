// This installation's own engine, as child processes of this machine (DESIGN §9 `process`). It tells its port and its
// readiness by its folder; what holds for every process stands in `engine-processes.ts`.
import type { Logger } from 'pino';
import { z } from 'zod';
import type { AgentMetrics } from '../metrics.ts';
import { EngineAdapter, type EngineInstance, type EngineSpec, type EngineState } from './engine-adapter.ts';
import { EngineProcesses } from './engine-processes.ts';
import * as folders from './instance-folder.ts';

const PROBE_TIMEOUT_MS = 3_000;
/** An engine of ours drains for at most 10 s. */
const STOP_TIMEOUT_MS = 12_000;

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
  readonly #processes: EngineProcesses;

  constructor(options: ProcessEngineOptions) {
    super();
    this.#options = options;
    this.#processes = new EngineProcesses({ ...options, stopTimeoutMs: options.stopTimeoutMs ?? STOP_TIMEOUT_MS });
  }

  override async start(spec: EngineSpec, generation: number): Promise<EngineInstance> {
    const { command, modulesDirectory } = this.#options;
    const environment: Record<string, string> = modulesDirectory ? { ATOLL_ENGINE_MODULES: modulesDirectory } : {};
    return this.#processes.start(spec, generation, () => ({ command, environment }));
  }

  override async probe(instance: EngineInstance): Promise<EngineState> {
    const processes = this.#processes;
    const folder = processes.folderOf(instance.instanceId);
    if (!(await processes.isAlive(instance))) return { state: 'gone', reason: await processes.whyGone(instance) };
    const ready = await folders.readReady(folder);
    if (ready?.instanceId !== instance.instanceId) return { state: 'starting' };
    const token = await folders.readToken(folder);
    if (token === null || !(await answersAs(instance.instanceId, ready.port, token))) return { state: 'silent' };
    await processes.boundLog(instance);
    return { state: 'ready', url: `http://127.0.0.1:${ready.port}`, token };
  }

  override async noteProven(instance: EngineInstance): Promise<void> {
    await this.#processes.noteProven(instance);
  }

  override async stop(instance: EngineInstance): Promise<void> {
    await this.#processes.stop(instance);
  }

  override async list(): Promise<EngineInstance[]> {
    return this.#processes.list((instance) => this.probe(instance));
  }

  override slots(_engine: string | undefined, maxConcurrent: number | undefined): number | undefined {
    return maxConcurrent;
  }
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
