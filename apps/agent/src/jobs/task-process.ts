// The process of a task: a runner (runner/task-runner.ts) that leads it, and the command's process group below. Neither
// need be a child of this agent: an earlier one may have started them.
//
// Whose a process is, its environment tells (ATOLL_TASK_DIR is the task's folder), for ids are used again; also of what has
// left the group. Where there is no /proc, an id in use is all that can be known.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { EngineError, messageOf } from '../errors.ts';
import { environmentOf, isProcessAlive, processesWith, processStartTicks } from '../state/processes.ts';
import { type ProcessRecord, TASK_VARIABLE } from './runner/runner-contract.ts';
import { TaskExecution } from './task-execution.ts';
import type { TaskFolder } from './task-folder.ts';

/** A runner needs little: it copies bytes and waits. */
const RUNNER_FLAGS = ['--max-old-space-size=64', '--max-semi-space-size=2', '--disable-warning=ExperimentalWarning'];

/** Looks at all processes, of one that starts others faster than they can be ended. */
const PASSES_MAX = 10;

/** Beside this file, compiled or not. */
export function runnerCommand(): string[] {
  const end = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return [process.execPath, ...RUNNER_FLAGS, fileURLToPath(new URL(`./runner/task-runner.${end}`, import.meta.url))];
}

export class TaskProcess extends TaskExecution {
  readonly #folder: TaskFolder;
  readonly #machineBootId: string;
  #child: ChildProcess | undefined;
  #record: ProcessRecord | null = null;

  /** What was noted in another boot of the machine is of no process that lives. */
  constructor(folder: TaskFolder, machineBootId: string) {
    super();
    this.#folder = folder;
    this.#machineBootId = machineBootId;
  }

  /** `environment`: of this process. Resolves once the runner exists. @throws EngineError */
  override async start(
    command: readonly string[],
    environment: Readonly<Record<string, string | undefined>>,
  ): Promise<void> {
    const [program = process.execPath, ...parameters] = command;
    try {
      const child = spawn(program, [...parameters, this.#folder.path], {
        cwd: this.#folder.path,
        detached: true,
        stdio: 'ignore',
        env: {
          PATH: environment.PATH,
          LD_LIBRARY_PATH: environment.LD_LIBRARY_PATH,
          [TASK_VARIABLE]: this.#folder.path,
        },
      });
      await once(child, 'spawn');
      child.on('error', () => undefined);
      child.unref();
      this.#child = child;
    } catch (cause) {
      throw new EngineError(`The task's runner cannot be started: ${messageOf(cause)}`, { cause });
    }
  }

  /** Undefined until the command was seen to run. */
  override get commandId(): number | undefined {
    return this.#record?.commandProcessId;
  }

  override get startedAtSeconds(): number | undefined {
    return this.#record?.startedAtSeconds;
  }

  /** Null until the command runs. */
  override async record(): Promise<ProcessRecord | null> {
    if (this.#record !== null) return this.#record;
    const record = await this.#folder.readProcess();
    if (record?.machineBootId === this.#machineBootId) this.#record = record;
    return this.#record;
  }

  /** Of the runner: while it lives there is no exit code yet. */
  override async isAlive(): Promise<boolean> {
    const child = this.#child;
    if (child !== undefined) return child.exitCode === null && child.signalCode === null;
    const record = await this.record();
    if (record !== null) return this.#owns(record.runnerProcessId);
    // A runner of an earlier agent that has not got so far as to note itself.
    return (await this.#living()).length > 0;
  }

  /** To the command alone. */
  override async signal(signal: NodeJS.Signals): Promise<void> {
    const record = await this.record();
    if (record !== null && (await this.#ownsCommand(record))) send(record.commandProcessId, signal);
  }

  /** To all of the command's process group; false while there is none yet. */
  override async signalGroup(signal: NodeJS.Signals): Promise<boolean> {
    const record = await this.record();
    if (record === null) return false;
    // The group lives as long as one of it does, also when the command itself has gone.
    if (await this.#ownsGroup(record)) send(-record.commandProcessId, signal);
    return true;
  }

  /** Whatever has this task's folder in its environment, the runner last. Returns how many there were. */
  override async sweep(isRunnerToo: boolean): Promise<number> {
    const runner = (await this.record())?.runnerProcessId ?? this.#child?.pid;
    const strays = async () => (await this.#living()).filter((pid) => pid !== runner);
    const living = await strays();
    // What is looked at may start another one before it is ended.
    for (let [left, pass] = [living, 1]; left.length > 0 && pass <= PASSES_MAX; pass += 1) {
      for (const pid of left) send(pid, 'SIGKILL');
      left = await strays();
    }
    if (isRunnerToo) await this.#endCommand();
    if (isRunnerToo && runner !== undefined && (await this.#owns(runner))) send(runner, 'SIGKILL');
    return living.length;
  }

  async #living(): Promise<number[]> {
    const found = (await processesWith(TASK_VARIABLE)) ?? [];
    return found.filter(({ value }) => value === this.#folder.path).map(({ pid }) => pid);
  }

  async #owns(pid: number): Promise<boolean> {
    if (!isProcessAlive(pid)) return false;
    if ((await processStartTicks(process.pid)) === null) return true;
    return (await environmentOf(pid, TASK_VARIABLE)) === this.#folder.path;
  }

  /** Of one whose runner is gone: its environment may tell nothing, but its id and its start are still its own. */
  async #endCommand(): Promise<void> {
    const record = await this.record();
    if (record !== null && (await this.#ownsCommand(record))) send(-record.commandProcessId, 'SIGKILL');
  }

  /** A command may have emptied its environment: then it is known by when it started. */
  async #ownsCommand({ commandProcessId, commandStartTicks }: ProcessRecord): Promise<boolean> {
    const ticks = await processStartTicks(commandProcessId);
    return (ticks !== null && ticks === commandStartTicks) || this.#owns(commandProcessId);
  }

  /** Or be a zombie whose children live: then any of the task's tells. */
  async #ownsGroup(record: ProcessRecord): Promise<boolean> {
    return (await this.#ownsCommand(record)) || (await this.#living()).length > 0;
  }
}

function send(processId: number, signal: NodeJS.Signals): void {
  try {
    process.kill(processId, signal);
  } catch {
    // It was already gone.
  }
}
