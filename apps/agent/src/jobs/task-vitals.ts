// Whether a task's process lives, how long it ran, and with what it ended. Asked several times a second; what is dear to
// ask (does the runner live) every second.
import type { ExitRecord } from './runner/runner-contract.ts';
import type { TaskExecution } from './task-execution.ts';
import type { TaskFolder } from './task-folder.ts';
import type { TaskServices } from './task-services.ts';

const LOOKS_BETWEEN = 5;

/** `vanished`: its process is gone and left no exit code. */
export type TaskExit = ExitRecord | 'vanished';

export interface TaskVitalsOptions {
  readonly taskId: string;
  readonly folder: Pick<TaskFolder, 'readExit'>;
  readonly process: TaskExecution;
  readonly services: Pick<TaskServices, 'uptime' | 'cgroups' | 'log'>;
}

export class TaskVitals {
  /** Null while it runs, or before. */
  exit: TaskExit | null = null;
  readonly #options: TaskVitalsOptions;
  #overAtSeconds = 0;
  #seenSeconds = 0;
  #looks = 0;

  constructor(options: TaskVitalsOptions) {
    this.#options = options;
  }

  /** How long it had run when an earlier agent last saw it. */
  restore(ranSeconds: number): void {
    this.#seenSeconds = ranSeconds;
  }

  get ranSeconds(): number {
    const { process, services } = this.#options;
    if (this.exit !== null || process.startedAtSeconds === undefined) return this.#seenSeconds;
    return Math.max(0, services.uptime() - process.startedAtSeconds);
  }

  /** Since it is gone; 0 before. */
  get overSeconds(): number {
    return this.exit === null ? 0 : this.#options.services.uptime() - this.#overAtSeconds;
  }

  /** True at the longer looks. Once it is gone, nothing that it started is left. */
  async look(): Promise<boolean> {
    const isLong = this.#looks % LOOKS_BETWEEN === 0;
    this.#looks += 1;
    if (this.exit !== null) return isLong;
    const exit = (await this.#options.folder.readExit()) ?? (isLong ? await this.#lookForLife() : null);
    if (exit !== null) await this.#over(exit);
    return isLong;
  }

  /** Null while the runner lives. */
  async #lookForLife(): Promise<TaskExit | null> {
    const { process, folder } = this.#options;
    // What it left came before its end.
    if (!(await process.isAlive())) return (await folder.readExit()) ?? 'vanished';
    this.#seenSeconds = this.ranSeconds;
    return null;
  }

  async #over(exit: TaskExit): Promise<void> {
    const { process, services, taskId } = this.#options;
    const strays = await process.sweep(exit === 'vanished');
    if (strays > 0) services.log.warn({ task: taskId, strays }, 'processes that a task left were ended');
    await services.cgroups.end(taskId);
    this.#overAtSeconds = services.uptime();
    if (exit !== 'vanished') this.#seenSeconds = exit.ranSeconds;
    this.exit = exit;
  }
}
