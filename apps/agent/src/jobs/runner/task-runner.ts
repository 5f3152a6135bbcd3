// The process between the agent and the command of a task: `node task-runner.js <folder>`.
//
// Why there is one: the command must outlive the agent (an upgrade must not end a week of training), and then its exit
// code, its output and its running time belong to nobody; and a command whose agent died must end all the same before the
// centre may run it elsewhere (DESIGN §7.4). So this small process is its parent: it writes the log in bounded parts,
// counts the time, is the dead man's switch that ends the command when the contact record is not renewed, ends what the
// command left behind in its process group, and leaves the exit code in the folder by a rename. It takes orders from
// nobody but the files of the folder; ending a task otherwise is the agent's matter, by signals to the command's group.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { constants, setPriority, uptime } from 'node:os';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { requestCheckpoint } from './checkpoint-request.ts';
import { RotatingLog } from './rotating-log.ts';
import {
  type ContactRecord,
  type ExitRecord,
  type ProcessRecord,
  type RunOrder,
  runnerFiles,
} from './runner-contract.ts';
import { SaidProgress } from './said-progress.ts';
import { silenceStep } from './silence.ts';

/** Commands yield to the agent when the machine is full. */
const NICENESS = 5;
const WATCH_MS = 500;
const PROGRESS_MS = 1_000;
/** What the command left behind may hold its output open. */
const OUTPUT_MS_MAX = 2_000;
const EXIT_RETRY_MS = 1_000;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

const folder = process.argv[2] ?? '.';
const files = runnerFiles(folder);
const machineBootId = readBootId();

function main(): void {
  const order = takeOrder();
  if (order === null) return;
  lowerPriority();
  if (order.cgroupFolder !== null) joinCgroup(order.cgroupFolder);
  const startedAtSeconds = uptime();
  let command: ChildProcess;
  try {
    command = startCommand(order);
  } catch (cause) {
    leaveExit(notStarted(order, cause as NodeJS.ErrnoException));
    return;
  }
  command.once('error', (cause: NodeJS.ErrnoException) => {
    if (command.pid === undefined) leaveExit(notStarted(order, cause));
  });
  command.once('spawn', () => {
    const commandProcessId = command.pid!;
    const commandStartTicks = readStartTicks(commandProcessId);
    const run = { runnerProcessId: process.pid, commandProcessId, commandStartTicks, startedAtSeconds, machineBootId };
    note(files.process, run);
    accompany(command, order, run);
  });
}

/** From its first moment to its exit code. */
function accompany(command: ChildProcess, order: RunOrder, run: ProcessRecord): void {
  const log = new RotatingLog(files.logs);
  const said = new SaidProgress();
  const state: WatchState = { isAsked: false, isTold: false, isSilent: false, silentSeconds: 0 };
  const watch = setInterval(() => watchContact(order, run, state), WATCH_MS);
  const tell = setInterval(() => tellProgress(said), PROGRESS_MS);
  const closed = listenTo(command, log, said);
  command.once('exit', (code, signal) => {
    const ranSeconds = uptime() - run.startedAtSeconds;
    clearInterval(watch);
    // What it started and did not wait for ends with it.
    send(-run.commandProcessId, 'SIGKILL');
    void Promise.race([closed, after(OUTPUT_MS_MAX)]).then(() => {
      clearInterval(tell);
      tellProgress(said);
      log.close();
      const exitCode = code ?? 128 + (constants.signals[signal!] ?? 0);
      leaveExit({ exitCode, signal, cause: state.isSilent ? 'silence' : 'exit', reason: '', ranSeconds });
    });
  });
}

/** Null: somebody took it back, or an earlier runner had it. */
function takeOrder(): RunOrder | null {
  try {
    renameSync(files.order, files.taken);
  } catch {
    return null;
  }
  syncFolder(folder);
  return JSON.parse(readFileSync(files.taken, 'utf8')) as RunOrder;
}

function startCommand({ command, environment, workFolder }: RunOrder): ChildProcess {
  const [program, ...parameters] = command as [string, ...string[]];
  return spawn(program, parameters, {
    cwd: workFolder,
    env: environment,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Resolves when nobody holds the output open any more. */
function listenTo(command: ChildProcess, log: RotatingLog, said: SaidProgress): Promise<void> {
  for (const stream of [command.stdout!, command.stderr!]) {
    const decoder = new StringDecoder('utf8');
    stream.on('data', (chunk: Buffer) => {
      log.write(chunk);
      if (stream === command.stdout) said.take(decoder.write(chunk));
    });
    stream.on('error', () => undefined);
  }
  return new Promise((resolve) => command.once('close', () => resolve()));
}

interface WatchState {
  isAsked: boolean;
  isTold: boolean;
  isSilent: boolean;
  silentSeconds: number;
}

function watchContact(order: RunOrder, run: ProcessRecord, state: WatchState): void {
  const { stopAfterSilentSeconds, graceSeconds, checkpoint } = order;
  // Who took the folder away wants nothing of it any more.
  if (isGone(files.taken)) return void send(-run.commandProcessId, 'SIGKILL');
  const silentSeconds = uptime() - Math.max(order.contactAtSeconds, lastContact(order.contactFile));
  // Contact is back: the next silence is another one.
  if (silentSeconds < state.silentSeconds) state.isAsked = false;
  state.silentSeconds = silentSeconds;
  const isSaved = state.isAsked && (existsSync(files.done) || !existsSync(files.request));
  const rules = { stopAfterSilentSeconds, graceSeconds, canSave: checkpoint.mode !== 'none' };
  switch (silenceStep(rules, { ...state, isSaved })) {
    case 'go-on':
      break;
    case 'ask':
      state.isAsked = true;
      ask(order, run, Math.max(1, Math.floor(stopAfterSilentSeconds - silentSeconds)));
      break;
    case 'tell':
      state.isTold = true;
      state.isSilent = true;
      send(-run.commandProcessId, 'SIGTERM');
      break;
    case 'kill':
      state.isSilent = true;
      send(-run.commandProcessId, 'SIGKILL');
      break;
  }
}

function ask({ checkpoint }: RunOrder, { commandProcessId }: ProcessRecord, deadlineSeconds: number): void {
  try {
    requestCheckpoint(folder, { reason: 'the control plane is out of contact', deadlineSeconds });
  } catch {
    // A full disk takes no checkpoint either.
  }
  if (checkpoint.mode === 'signal') send(commandProcessId, checkpoint.signal);
}

/** 0 when it was never noted in this boot; what is yet to come is of another clock. */
function lastContact(contactFile: string): number {
  const record = readJson<ContactRecord>(contactFile);
  return record?.machineBootId === machineBootId && record.atSeconds <= uptime() ? record.atSeconds : 0;
}

function tellProgress(said: SaidProgress): void {
  const fresh = said.fresh();
  if (fresh !== undefined) note(files.said, fresh);
}

function notStarted({ command, workFolder }: RunOrder, cause: NodeJS.ErrnoException): ExitRecord {
  const isMissing = cause.code === 'ENOENT' && existsSync(workFolder);
  const reason = isMissing
    ? `The command ${command[0]} does not exist on this machine.`
    : `The command ${command[0]} cannot be started: ${cause.message}.`;
  const exitCode = isMissing ? NOT_FOUND : NOT_EXECUTABLE;
  return { exitCode, signal: null, cause: 'not-started', reason, ranSeconds: 0 };
}

/** A disk that is full now may have room later; until the exit code is on it, this process keeps it. */
function leaveExit(exit: ExitRecord): void {
  if (note(files.exit, exit) || isGone(folder)) {
    syncFolder(folder);
    process.exit(0);
  }
  setTimeout(() => leaveExit(exit), EXIT_RETRY_MS);
}

/** By a rename. False when the disk does not take it. */
function note(path: string, value: unknown): boolean {
  try {
    writeFileSync(`${path}.tmp`, JSON.stringify(value), { mode: 0o600, flush: path === files.exit });
    renameSync(`${path}.tmp`, path);
    return true;
  } catch {
    return false;
  }
}

/** Not of what a disk does not say just now. */
function isGone(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) === undefined;
  } catch {
    return false;
  }
}

function readJson<Value>(path: string): Value | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Value;
  } catch {
    return null;
  }
}

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

/** The same field as `processStartTicks` of the agent reads. */
function readStartTicks(processId: number): string {
  try {
    const stat = readFileSync(`/proc/${processId}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function syncFolder(path: string): void {
  try {
    const file = openSync(path, 'r');
    fsyncSync(file);
    closeSync(file);
  } catch {
    // Some filesystems refuse to sync a folder.
  }
}

function joinCgroup(cgroupFolder: string): void {
  try {
    writeFileSync(join(cgroupFolder, 'cgroup.procs'), String(process.pid));
  } catch {
    // Limits are a courtesy of the system; the task runs without them.
  }
}

function lowerPriority(): void {
  try {
    setPriority(NICENESS);
  } catch {
    // The same.
  }
}

function send(processId: number, signal: NodeJS.Signals): void {
  try {
    process.kill(processId, signal);
  } catch {
    // Already gone.
  }
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

// The end of its command is what it waits for; a terminal or an agent that goes is none of its business.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
main();
