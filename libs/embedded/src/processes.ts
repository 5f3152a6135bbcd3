/**
 * Child processes with a bounded life: own process group (a terminal's Ctrl-C does not reach them, so that whoever
 * started them decides the order of the end), output in a log file, known by pid *and* start time, so that a number that
 * the system has given to somebody else is never killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { tieToThisProcess } from './lifeline.ts';

const STOP_TIMEOUT_MS = 15_000;
const LOG_TAIL_BYTES = 4_096;

/** Enough to find a process again, and to know that it is the same one. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in the kernel's clock ticks; null where /proc does not exist. */
  readonly startTicks: string | null;
}

export interface StartProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly args?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
  /** Standard output and error are appended here. */
  readonly logFile: string;
  readonly uid?: number;
  readonly gid?: number;
  /** What it gets when this process ends first, however it ends. Default `TERM`. */
  readonly whenOrphaned?: 'TERM' | 'INT' | 'QUIT' | 'KILL';
}

export interface RunningProcess {
  readonly name: string;
  readonly identity: ProcessIdentity;
  readonly logFile: string;
  /** Resolves with what it ended with, however it ends. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  isRunning(): boolean;
  /** SIGTERM (or `signal`), then SIGKILL after `timeoutMs` (default 15 000). Resolves when it is gone. */
  stop(signal?: NodeJS.Signals, timeoutMs?: number): Promise<void>;
  /** The end of its log. */
  logTail(): string;
}

export function startProcess(options: StartProcessOptions): RunningProcess {
  const log = openSync(options.logFile, 'a', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(options.command, [...(options.args ?? [])], {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: options.workingDirectory,
      env: { ...process.env, ...options.environment },
      uid: options.uid,
      gid: options.gid,
    });
  } finally {
    closeSync(log);
  }
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: 127, signal: null }));
  });
  tieToThisProcess(child, options.whenOrphaned ?? 'TERM');
  const isRunning = () => child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    name: options.name,
    identity: { pid: child.pid ?? 0, startTicks: startTicksOf(child.pid ?? 0) },
    logFile: options.logFile,
    exited,
    isRunning,
    logTail: () => tailOf(options.logFile),
    stop: async (signal = 'SIGTERM', timeoutMs = STOP_TIMEOUT_MS) => {
      if (!isRunning()) return;
      child.kill(signal);
      const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** Whether this very process still lives. */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.pid <= 1) return false;
  try {
    process.kill(identity.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return identity.startTicks === null || startTicksOf(identity.pid) === identity.startTicks;
}

/** Ends a process that another one started; SIGKILL after `timeoutMs`. True when there was one to end. */
export async function endProcess(
  identity: ProcessIdentity,
  signal: NodeJS.Signals = 'SIGTERM',
  timeoutMs = STOP_TIMEOUT_MS,
): Promise<boolean> {
  if (!isAlive(identity)) return false;
  process.kill(identity.pid, signal);
  const deadlineMs = performance.now() + timeoutMs;
  while (isAlive(identity)) {
    if (performance.now() > deadlineMs) process.kill(identity.pid, 'SIGKILL');
    await delay(50);
  }
  return true;
}

/** Field 22 of /proc/<pid>/stat; null when the process or /proc is not there. A zombie counts as not there. */
export function startTicksOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

/** The last 4 KiB of a log, from a line's beginning. */
export function tailOf(logFile: string): string {
  let descriptor: number;
  try {
    descriptor = openSync(logFile, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(descriptor);
    const bytes = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
    readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
    const text = bytes.toString('utf8');
    return size > LOG_TAIL_BYTES ? text.slice(text.indexOf('\n') + 1) : text;
  } finally {
    closeSync(descriptor);
  }
}

/** Awaits `condition` (checked every 50 ms) while the process lives; false when it ended or the time is over. */
export async function waitWhileRunning(
  running: RunningProcess,
  condition: () => Promise<boolean>,
  timeoutMs: number,
): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs;
  while (performance.now() < deadlineMs && running.isRunning()) {
    if (await condition()) return true;
    await delay(50);
  }
  return false;
}
