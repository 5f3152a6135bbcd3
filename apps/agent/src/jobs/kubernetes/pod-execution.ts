// The command of a task as a pod of its attempt's Job. What the command and the agent say to each other goes through the
// task's folder, which lies on a volume that both have; exit code and log are read from the API and laid into the folder,
// where the rest of the agent looks for them.
//
// The Job is the attempt's: the first member that starts makes it, for all members, and whoever ends one ends it. A pod
// that the API server is silent about is alive.
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { DesiredTask } from '#domain';
import { writeLightly } from '#files';
import { EngineError, messageOf } from '../../errors.ts';
import type { Contact } from '../contact.ts';
import { requestCheckpoint } from '../runner/checkpoint-request.ts';
import { type ExitRecord, logPartName } from '../runner/runner-contract.ts';
import { silenceStep } from '../runner/silence.ts';
import { TaskExecution } from '../task-execution.ts';
import { isThere, TaskFolder } from '../task-folder.ts';
import type { KubernetesTaskLauncher, MemberState } from './task-launcher.ts';
import { type GangOrder, podGraceSeconds } from './task-objects.ts';

/** Between two readings of a log. */
const LOG_MS = 1_000;
const RENEW_SECONDS_MIN = 1;
const KILLED_CODE = 137;
const SILENT = 'the control plane is out of contact';

export interface PodExecutionOptions {
  readonly launcher: Pick<KubernetesTaskLauncher, 'start' | 'look' | 'stop' | 'renew' | 'readLog'>;
  /** The agent's public key. */
  readonly agent: string;
  readonly contact: Pick<Contact, 'silentSeconds'>;
  /** Seconds of this boot. */
  readonly uptime: () => number;
  readonly versionPath: (digest: string) => string;
  /** Members of an attempt that are here. */
  readonly membersOf: (attemptId: string) => readonly DesiredTask[];
  /** Its attempt is gone, and it is not asked for any more. */
  readonly onDiscarded?: () => void;
  readonly log: Pick<Logger, 'warn'>;
}

export class PodExecution extends TaskExecution {
  readonly #folder: TaskFolder;
  /** Null: its record is damaged. */
  readonly #task: DesiredTask | null;
  readonly #options: PodExecutionOptions;
  #startedAtSeconds: number | undefined;
  #stopping: Promise<void> | undefined;
  /** A checkpoint was asked for because of a silence. */
  #isAsked = false;
  /** Ended because of one. */
  #isCutOff = false;
  #logReadAtMs = Number.NEGATIVE_INFINITY;
  #renewedAtSeconds = Number.NEGATIVE_INFINITY;

  constructor(folder: TaskFolder, task: DesiredTask | null, options: PodExecutionOptions) {
    super();
    this.#folder = folder;
    this.#task = task;
    this.#options = options;
  }

  get hasTask(): boolean {
    return this.#task !== null;
  }

  get attemptId(): string {
    return this.#folder.attemptId;
  }

  /** The order is taken first: who finds it taken knows that there may be a Job. */
  override async start(): Promise<void> {
    const order = await this.#order();
    const { order: orderFile, taken } = this.#folder.files;
    await rename(orderFile, taken);
    await this.#options.launcher.start(order).catch(async (cause: unknown) => {
      await rename(taken, orderFile);
      throw cause;
    });
  }

  override get commandId(): undefined {
    return undefined;
  }

  override get startedAtSeconds(): number | undefined {
    return this.#startedAtSeconds;
  }

  override record(): Promise<null> {
    return Promise.resolve(null);
  }

  override async isAlive(): Promise<boolean> {
    const { launcher, uptime } = this.#options;
    const { attemptId, rank } = this.#member();
    if (this.#task !== null) await this.#minded(this.#task);
    const state = await launcher.look(attemptId, rank);
    if (state?.state === 'running') this.#startedAtSeconds ??= uptime() - state.ranSeconds;
    if (state?.state !== 'ended') return true;
    await this.#noteExit(state);
    return false;
  }

  /**
   * A pod can be told to end and nothing else: what the command should hear before that is in the pod (`lifecycleOf`). A
   * checkpoint in between is asked for by the request file.
   */
  override signal(_signal: NodeJS.Signals, isLast: boolean): Promise<void> {
    if (isLast) this.#stopLater();
    return Promise.resolve();
  }

  override signalGroup(_signal: NodeJS.Signals): Promise<boolean> {
    this.#stopLater();
    return Promise.resolve(this.#startedAtSeconds !== undefined);
  }

  override async sweep(isRunnerToo: boolean): Promise<number> {
    if (isRunnerToo) await this.#stop();
    return 0;
  }

  override async refreshLog(): Promise<void> {
    const now = performance.now();
    if (now - this.#logReadAtMs < LOG_MS) return;
    this.#logReadAtMs = now;
    const { attemptId, rank } = this.#member();
    const { launcher, log } = this.#options;
    const path = join(this.#folder.files.logs, logPartName(0));
    await launcher
      .readLog(attemptId, rank)
      .then((text) => (text === '' ? undefined : writeLightly(path, text)))
      .catch((cause: unknown) =>
        log.warn({ attempt: attemptId, rank, reason: messageOf(cause) }, 'log of a pod not read'),
      );
  }

  override async discard(): Promise<void> {
    await this.#stop();
    this.#options.onDiscarded?.();
  }

  /** All members are here and have their folders: then the Job is of all of them. */
  async #order(): Promise<GangOrder> {
    const { agent, versionPath, membersOf } = this.#options;
    const task = this.#task!;
    const members = membersOf(task.attemptId);
    if (members.length < task.worldSize) {
      throw new EngineError(`${members.length} of ${task.worldSize} members are here, and a Job has all of them`);
    }
    const folders = members.map(({ rank }) => new TaskFolder(this.#folder.jobsFolder, task.attemptId, rank));
    const areThere = await Promise.all(folders.map(({ files }) => isThere(files.control)));
    if (areThere.includes(false)) throw new EngineError('other members of its attempt are not prepared yet');
    const devices = members.flatMap((member) => member.devices ?? []);
    return { task, devices, agent, attemptFolder: this.#folder.attempt.folder, versionPath };
  }

  /**
   * Out of contact for too long it ends, before the centre runs it elsewhere: by us, and when no agent lives by the Job's
   * own deadline, which every contact moves on.
   */
  async #minded(task: DesiredTask): Promise<void> {
    const { contact, uptime, launcher, log } = this.#options;
    const { silentSeconds } = contact;
    const stopAfterSilentSeconds = task.stopAfterSilentSeconds - podGraceSeconds(task);
    const rules = { stopAfterSilentSeconds, graceSeconds: task.graceSeconds, canSave: task.checkpoint.mode !== 'none' };
    const isSaved = await isThere(this.#folder.files.done);
    const state = { silentSeconds, isAsked: this.#isAsked, isSaved, isTold: this.#stopping !== undefined };
    const step = silenceStep(rules, state);
    if (step === 'ask') {
      requestCheckpoint(this.#folder.path, { reason: SILENT, deadlineSeconds: podGraceSeconds(task) });
      this.#isAsked = true;
    } else if (step !== 'go-on') {
      this.#isCutOff = true;
      this.#stopLater();
    } else if (uptime() - this.#renewedAtSeconds >= Math.max(RENEW_SECONDS_MIN, stopAfterSilentSeconds / 10)) {
      this.#renewedAtSeconds = uptime();
      launcher
        .renew(task.attemptId, stopAfterSilentSeconds - silentSeconds)
        .catch((cause: unknown) =>
          log.warn({ attempt: task.attemptId, reason: messageOf(cause) }, 'deadline not moved'),
        );
    }
  }

  async #noteExit({ exitCode, reason, isOverdue }: Extract<MemberState, { state: 'ended' }>): Promise<void> {
    this.#logReadAtMs = Number.NEGATIVE_INFINITY;
    await this.refreshLog();
    if (isOverdue || this.#isCutOff) {
      return this.#writeExit({ exitCode: KILLED_CODE, signal: 'SIGKILL', cause: 'silence', reason: '' });
    }
    if (exitCode !== null) return this.#writeExit({ exitCode, signal: null, cause: 'exit', reason: '' });
    // One that was told to end and left no code: whoever told it knows why.
    if (this.#stopping !== undefined) return;
    await this.#writeExit({ exitCode: KILLED_CODE, signal: null, cause: 'not-started', reason });
  }

  async #writeExit(exit: Omit<ExitRecord, 'ranSeconds'>): Promise<void> {
    const startedAtSeconds = this.#startedAtSeconds ?? this.#options.uptime();
    const ranSeconds = Math.max(0, this.#options.uptime() - startedAtSeconds);
    await writeLightly(this.#folder.files.exit, JSON.stringify({ ...exit, ranSeconds }));
  }

  #stopLater(): void {
    const { attemptId } = this.#member();
    this.#stop().catch((cause: unknown) =>
      this.#options.log.warn({ attempt: attemptId, reason: messageOf(cause) }, 'an attempt is still to be ended'),
    );
  }

  /** One at a time; one that failed is made again by the next call. */
  #stop(): Promise<void> {
    this.#stopping ??= this.#options.launcher
      .stop(this.#member().attemptId, this.#task?.graceSeconds ?? 0)
      .catch((cause: unknown) => {
        this.#stopping = undefined;
        throw cause;
      });
    return this.#stopping;
  }

  #member(): { attemptId: string; rank: number } {
    return this.#folder;
  }
}
