// The folder through which an agent and an engine that it starts know each other: the side of the engine, be it the
// embedded one or the simulator. The agent makes it before the spawn, with `spec.json` and `token`; the engine adds
// `pid.json` and `ready.json`. A `spec.json` that is gone means "withdrawn": the engine ends by itself, also when the agent
// died meanwhile, so that an agent's restart leaves no orphans.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeLightly } from '#files';
import { EngineExit, exitInvalidSpec, exitWithdrawn } from './engine-exit.ts';

export const instanceSpecSchema = z.object({
  instanceId: z.string().min(1),
  replicaId: z.string().min(1),
  generation: z.int().min(0),
  modelPath: z.string().min(1),
  /** The name that requests must ask for. */
  servedModel: z.string().min(1),
  versionDigest: z.string().min(1),
  /** Tokens; default: the model's own, at most 4096. */
  contextSize: z.int().min(8).optional(),
  /** Generations at a time. */
  maxConcurrent: z.int().min(1).max(64).default(2),
  /** Requests that wait; more are refused. */
  maxQueue: z.int().min(0).max(10_000).default(32),
  /** CPU threads of llama.cpp. */
  threads: z.int().min(1).max(256).default(1),
});
export type InstanceSpec = z.infer<typeof instanceSpecSchema>;

const tokenLengthMin = 16;
const wantedPollMs = 2_000;

export class InstanceFolder {
  constructor(
    private readonly path: string,
    readonly spec: InstanceSpec,
    readonly token: string,
  ) {}

  /** Reads `spec.json` and `token`. Throws `EngineExit` 3 when withdrawn, 2 when not valid. */
  static async open(path: string): Promise<InstanceFolder> {
    const text = await readSpec(path);
    if (text === null) throw new EngineExit(`withdrawn: there is no spec.json in ${path}`, exitWithdrawn);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new EngineExit('spec.json is not valid JSON', exitInvalidSpec, { cause });
    }
    const parsed = instanceSpecSchema.safeParse(value);
    if (!parsed.success) {
      throw new EngineExit(`spec.json is not valid: ${z.prettifyError(parsed.error)}`, exitInvalidSpec);
    }
    const token = (await readFile(join(path, 'token'), 'utf8').catch(() => '')).trim();
    if (token.length < tokenLengthMin) {
      throw new EngineExit(`token is missing or shorter than ${tokenLengthMin} characters`, exitInvalidSpec);
    }
    return new InstanceFolder(path, parsed.data, token);
  }

  /** False when `spec.json` is gone or now speaks of another instance. What cannot be read or parsed counts as there. */
  async isWanted(): Promise<boolean> {
    const text = await readSpec(this.path).catch(() => '');
    if (text === null) return false;
    try {
      return instanceSpecSchema.parse(JSON.parse(text)).instanceId === this.spec.instanceId;
    } catch {
      return true;
    }
  }

  /** Looks every 2 s whether it is still wanted. Keeps no process alive. */
  watch(onWithdrawn: () => void, onTrouble: (cause: unknown) => void): void {
    const timer = setInterval(() => {
      this.isWanted().then((isWanted) => {
        if (isWanted) return;
        clearInterval(timer);
        onWithdrawn();
      }, onTrouble);
    }, wantedPollMs);
    timer.unref();
  }

  /**
   * Says which process this is. The spec is looked at again afterwards: an agent that withdraws an instance removes the
   * spec and then looks for the pid, so one of the two sees the other.
   */
  async writePid(pid: number, startedAt: Date): Promise<void> {
    await this.#write('pid.json', { pid, instanceId: this.spec.instanceId, startedAt: startedAt.toISOString() });
    if (!(await this.isWanted())) throw new EngineExit('withdrawn while starting', exitWithdrawn);
  }

  async writeReady(pid: number, port: number): Promise<void> {
    await this.#write('ready.json', { pid, port, instanceId: this.spec.instanceId });
  }

  async #write(name: string, value: unknown): Promise<void> {
    const target = join(this.path, name);
    try {
      await writeLightly(target, `${JSON.stringify(value)}\n`);
    } catch (cause) {
      throw new EngineExit(`${name} could not be written: the folder is gone or not ours`, exitWithdrawn, { cause });
    }
  }
}

async function readSpec(path: string): Promise<string | null> {
  try {
    return await readFile(join(path, 'spec.json'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
