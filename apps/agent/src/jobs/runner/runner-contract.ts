// What the agent and the runner of a task say to each other: files in the task's folder. The runner imports nothing but
// this, its neighbours and Node, so that it starts fast and small; what it reads was written and checked by the agent.
import { join } from 'node:path';

/** In the environment of a runner and of everything that it starts: whose process this is. */
export const TASK_VARIABLE = 'ATOLL_TASK_DIR';

/** One part of a log; the newest two are kept. */
export const LOG_PART_BYTES_MAX = 10 * 1_048_576;

/**
 * `run.json`: the right to run, once. The runner takes it by renaming it to `running.json` before it starts anything; who
 * finds it gone starts nothing. So an agent that removes it knows that the task never ran, and never will.
 */
export interface RunOrder {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** The whole environment of the command. */
  readonly environment: Readonly<Record<string, string>>;
  readonly workFolder: string;
  readonly checkpoint: { readonly mode: 'none' | 'file' | 'signal'; readonly signal: NodeJS.Signals };
  readonly graceSeconds: number;
  /** Out of contact for so long the command is dead. */
  readonly stopAfterSilentSeconds: number;
  /** When the control plane had last answered as this was written, by `os.uptime()`: a start forgives no silence. */
  readonly contactAtSeconds: number;
  /** What the agent renews at each contact (`ContactRecord`). */
  readonly contactFile: string;
  /** A cgroup v2 folder to run in; null: none. */
  readonly cgroupFolder: string | null;
}

/** `process.json`, once the command runs. */
export interface ProcessRecord {
  readonly runnerProcessId: number;
  /** It leads a process group of its own. */
  readonly commandProcessId: number;
  /** With its id, a name that is never used twice (`/proc/<id>/stat`); empty where the system does not say. */
  readonly commandStartTicks: string;
  /** `os.uptime()`: it is the same clock in every process of a boot, and counts sleep. */
  readonly startedAtSeconds: number;
  readonly machineBootId: string;
}

/** `exit.json`, once the command and all of its process group are gone. */
export interface ExitRecord {
  /** 0..255; 128 and the signal's number when a signal ended it; 126, 127: it could not be started. */
  readonly exitCode: number;
  readonly signal: string | null;
  /** `silence`: the runner ended it, for the control plane was out of contact for too long. */
  readonly cause: 'exit' | 'silence' | 'not-started';
  /** Why it could not be started; empty otherwise. */
  readonly reason: string;
  readonly ranSeconds: number;
}

/** When the control plane last answered, by `os.uptime()` of the boot. */
export interface ContactRecord {
  readonly atSeconds: number;
  readonly machineBootId: string;
}

/** What the request file says to the command. */
export interface CheckpointRequest {
  /** Rises with each request of a task. */
  readonly sequence: number;
  readonly reason: string;
  /** So long the answer may take; null: as long as it likes. */
  readonly deadlineSeconds: number | null;
}

/** Every file of a task that both know. */
export function runnerFiles(folder: string) {
  const control = join(folder, 'control');
  return {
    order: join(folder, 'run.json'),
    taken: join(folder, 'running.json'),
    process: join(folder, 'process.json'),
    exit: join(folder, 'exit.json'),
    logs: join(folder, 'log'),
    control,
    request: join(control, 'checkpoint-request.json'),
    lastRequest: join(control, 'last-request.json'),
    done: join(control, 'checkpoint-done'),
    /** The same, once the agent has it in hand. */
    doneTaken: join(control, 'checkpoint-taken'),
    /** Of lines that begin with `atoll: progress `. */
    said: join(control, 'said'),
    /** The command's own. */
    progress: join(control, 'progress'),
  };
}

const LOG_NAME = /^(\d{15})\.log$/;

/** The name tells which byte of the whole log the part begins with. */
export function logPartName(startBytes: number): string {
  return `${startBytes.toString().padStart(15, '0')}.log`;
}

/** Null: not a part of a log. */
export function logPartStart(name: string): number | null {
  const digits = LOG_NAME.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}
