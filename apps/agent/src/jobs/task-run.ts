// One task on this machine, from its first mention to its end: a state machine around a process that may outlive us.
//
//   Pending → Fetching → Pending → Starting → Running ⇄ Checkpointing → [Stopping] → [Uploading] → an end
//
// Everything that must be known after a restart is in the task's folder before it is acted on. What is done next comes
// from `nextTaskStep`, looked at several times a second while there is a process; how it ended is said by `endOf`. A turn
// that fails (a full disk) is made again.
import { setTimeout as delay } from 'node:timers/promises';
import {
  type DesiredTask,
  isTaskEnded,
  type LocalTask,
  type NodeDevices,
  retryDelayMs,
  type TaskPhase,
  type TaskReport,
} from '#domain';
import { lastLine } from '../engines/engine-log.ts';
import { messageOf } from '../errors.ts';
import { writeOrder } from './launch.ts';
import { GoneCheckpoint, restoreCheckpoint } from './resume.ts';
import { requestCheckpoint, withdrawRequest } from './runner/checkpoint-request.ts';
import { endOf, outputEnd } from './task-end.ts';
import type { TaskExecution } from './task-execution.ts';
import { isThere, NEW_STATE, type TaskEnd, TaskFolder, type TaskState } from './task-folder.ts';
import { newestLogPart } from './task-log.ts';
import { areOthersOver, firstBefore, isFirstDone } from './task-members.ts';
import { TaskProgress } from './task-progress.ts';
import { taskReport } from './task-report.ts';
import { TaskSender } from './task-sender.ts';
import type { TaskServices } from './task-services.ts';
import { nextTaskStep, type TaskFacts } from './task-steps.ts';
import { type StopOrder, TaskStop } from './task-stop.ts';
import { TaskVitals } from './task-vitals.ts';

const LOOK_MS = 200;
/** After a look that failed. */
const FAILED_LOOK_MS = 2_000;
/** One that no document names any more gets this long to end. */
const DROPPED_GRACE_SECONDS = 10;
/** After SIGKILL of its group, a runner that still has no exit code to show is ended as well. */
const RUNNER_SECONDS = 10;
const IN_CONTACT_SECONDS = 15;
/** How far what is on disk of its running time may be behind. */
const NOTED_EVERY_SECONDS = 30;
const DROPPED = 'No document names it any more.';

export class TaskRun {
  readonly task: DesiredTask;
  readonly folder: TaskFolder;
  phase: TaskPhase = 'Pending';
  reason = '';
  /** Monotonic milliseconds since which no document names it. */
  droppedAtMs: number | undefined;
  readonly #services: TaskServices;
  readonly #process: TaskExecution;
  readonly #vitals: TaskVitals;
  readonly #sender: TaskSender;
  readonly #progress: TaskProgress;
  readonly #leaving = new AbortController();
  readonly #preparing = new AbortController();
  readonly #gone = new GoneCheckpoint();
  #state: TaskState = NEW_STATE;
  #isPrepared = false;
  #retryAtMs = 0;
  #failures = 0;
  /** What a report says of one that is Pending. */
  #waitsFor: 'Pending' | 'Fetching' = 'Pending';
  #stop: TaskStop | null = null;
  #fault: string | null = null;
  #isEndTold = false;
  #quietSinceSeconds: number;
  #life: Promise<void> = Promise.resolve();

  constructor(task: DesiredTask, services: TaskServices) {
    this.task = task;
    this.#services = services;
    this.folder = new TaskFolder(services.jobsFolder, task.attemptId, task.rank);
    this.#process = services.executionOf(this.folder, task);
    this.#vitals = new TaskVitals({ taskId: task.taskId, folder: this.folder, process: this.#process, services });
    this.#progress = new TaskProgress(this.folder.files, services.onProgress);
    this.#sender = new TaskSender(this.folder.attempt, { ...services, attemptId: task.attemptId });
    this.#quietSinceSeconds = services.uptime();
  }

  /** Takes up what an earlier agent left: its end, its process, or its place in the queue. */
  async restore(): Promise<void> {
    this.#state = await this.folder.readState();
    const { end, stop } = this.#state;
    this.#vitals.restore(this.#state.ranSeconds);
    if (end !== undefined) return this.#show(end);
    // Nobody took the order, and now nobody will: it has not run.
    if (!(await this.folder.isTakenForGood())) {
      this.#state = { ...this.#state, devices: [] };
      return;
    }
    const { log, metrics, machineBootId } = this.#services;
    if (stop?.machineBootId === machineBootId) this.#stop = TaskStop.restored(stop, this.task.graceSeconds);
    log.info({ task: this.task.taskId }, 'task adopted');
    metrics.taskAdopted();
    this.phase = 'Starting';
    if (this.#isFirst) await this.#sendAside();
    this.#life = this.#watch();
  }

  local(): LocalTask {
    const { taskId, attemptId, jobId, attempt, epoch } = this.task;
    return {
      taskId,
      attemptId,
      jobId,
      attempt,
      epoch,
      phase: this.phase,
      isPrepared: this.#isPrepared,
      retryAtMs: this.#retryAtMs,
      devices: this.isOver ? [] : this.#state.devices,
      droppedAtMs: this.droppedAtMs,
    };
  }

  report(): TaskReport {
    const standing = {
      phase: this.phase === 'Pending' ? this.#waitsFor : this.phase,
      reason: this.reason,
      ranSeconds: this.#vitals.ranSeconds,
      processId: this.isOver ? undefined : this.#process.commandId,
      progress: this.#progress.text,
    };
    return taskReport(this.task, standing, this.#state);
  }

  get isEnded(): boolean {
    return isTaskEnded(this.phase);
  }

  /** It has no process, and will have none. */
  get isOver(): boolean {
    return this.isEnded || this.#vitals.exit !== null;
  }

  /** It saved after it was told to stop. */
  get isAnswered(): boolean {
    return this.#stop?.isAnswered ?? false;
  }

  get usedDigests(): string[] {
    return this.isOver ? [] : this.task.mounts.map(({ versionDigest }) => versionDigest);
  }

  /** Makes its folder and brings the checkpoint that it resumes from. Single-flight: `Fetching` while it goes on. */
  prepare(): void {
    this.#become('Fetching', this.task.resumeFrom === null ? '' : 'its checkpoint is being fetched');
    this.#life = this.#prepare().then(
      () => {
        this.#isPrepared = true;
        if (this.phase === 'Fetching') this.#become('Pending', '');
      },
      (cause: unknown) => {
        if (this.phase !== 'Fetching') return;
        if (this.#gone.isGivenUp(cause)) this.lose(`Its checkpoint is lost: ${messageOf(cause)}`);
        else this.#retryLater('its preparation failed and is tried again', cause);
      },
    );
  }

  /** Why it cannot start yet. It stays Pending in the sense of the reconcile. */
  wait(phase: 'Pending' | 'Fetching', reason: string): void {
    if (this.phase !== 'Pending') return;
    this.#waitsFor = phase;
    this.#become('Pending', reason);
  }

  /** Precondition: prepared, its mounts are held, and nobody has the devices. */
  start(devices: readonly NodeDevices[]): void {
    this.#become('Starting', '');
    this.#state = { ...this.#state, devices: [...devices] as TaskState['devices'] };
    this.#life = this.#start()
      .catch((cause: unknown) => this.#unstart(cause))
      .then(() => (this.phase === 'Pending' ? undefined : this.#watch()));
  }

  /** Idempotent; the newest word counts, the time of the first one stays. */
  stop(order: StopOrder): void {
    if (this.isEnded) return;
    if (this.phase === 'Pending' || this.phase === 'Fetching') {
      return void this.#endUnstarted({ phase: 'Stopped', reason: `It had not begun: ${order.reason}`.slice(0, 500) });
    }
    if (this.#fault !== null && this.#stop !== null) return;
    const isNew = this.#stop === null;
    const stop = this.#stopBy(order);
    if (!isNew) return;
    this.#services.log.info({ task: this.task.taskId, reason: order.reason }, 'task stops');
    void this.#noteStop(stop);
  }

  /** Its content here is not to be trusted: it ends as failed, at once. */
  fail(reason: string): void {
    if (this.isOver || this.#fault !== null || this.phase === 'Pending' || this.phase === 'Fetching') return;
    this.#stopBy({ cause: 'drained', reason, wantsCheckpoint: false });
    this.#fault = reason;
  }

  refuse(reason: string): void {
    void this.#endUnstarted({ phase: 'Refused', reason });
  }

  /** What was known of it is lost, or what it needs. */
  lose(reason: string): void {
    void this.#endUnstarted({ phase: 'Failed', reason });
  }

  /** No document names it: it ends without ado, and nothing of it is sent any more. */
  drop(): void {
    this.droppedAtMs ??= performance.now();
    this.#sender.abort();
    if (this.isEnded) return;
    if (this.phase === 'Pending' || this.phase === 'Fetching') {
      this.#preparing.abort();
      return void this.#show({ phase: 'Stopped', reason: DROPPED });
    }
    this.#stopBy({ cause: 'cancelled', reason: DROPPED, wantsCheckpoint: false }).shorten(DROPPED_GRACE_SECONDS);
  }

  /** The agent stops and takes it with it: a shorter grace, and the word of no document. */
  stopWithin(reason: string, seconds: number): void {
    this.stop({ cause: 'drained', reason, wantsCheckpoint: true });
    this.#stop?.shorten(seconds);
  }

  /** Removes all but its record and its log. */
  async empty(): Promise<void> {
    await Promise.all([this.#sender.idle(), this.#process.discard()]);
    await this.#services.cgroups.end(this.task.taskId);
    await this.folder.removeContent();
  }

  /** Ends the watching; the process stays for the next agent. */
  async leave(): Promise<void> {
    this.#leaving.abort();
    await this.#life;
    // Not before: what is given up by an agent that leaves is no end of the task.
    this.#sender.abort();
    await this.#sender.idle();
  }

  /** Resolves when it has ended. */
  async ended(): Promise<void> {
    while (!this.isEnded && !this.#leaving.signal.aborted) await delay(LOOK_MS / 4);
    await this.#life;
  }

  get #isFirst(): boolean {
    return this.task.rank === 0;
  }

  get #members(): readonly TaskRun[] {
    return this.#services.membersOf(this.task.attemptId);
  }

  async #prepare(): Promise<void> {
    const { stallTimeoutMs, headroomBytes, blobSource, shared } = this.#services;
    await this.folder.create(this.task);
    const { resumeFrom } = this.task;
    if (resumeFrom === null) return;
    const signal = AbortSignal.any([this.#leaving.signal, this.#preparing.signal]);
    const options = { source: blobSource, stallTimeoutMs, headroomBytes, signal };
    await shared.run(this.folder.attempt.resume, signal, () =>
      restoreCheckpoint(this.folder.attempt, resumeFrom, options),
    );
  }

  async #start(): Promise<void> {
    const { contact, runner, environment, log, metrics } = this.#services;
    await this.#remember({});
    // The runner counts silence by what is noted.
    await contact.noted();
    await writeOrder(this.task, this.#state.devices, this.folder, this.#services);
    log.info({ task: this.task.taskId, job: this.task.jobName, rank: this.task.rank }, 'task starts');
    metrics.taskStarted();
    await this.#process.start(runner, environment);
  }

  /** Once nobody can take the order any more, it has not run, and may be tried again. */
  async #unstart(cause: unknown): Promise<void> {
    await this.folder.revokeOrder().catch(() => false);
    if (await this.folder.isTaken()) return;
    this.#state = { ...this.#state, devices: [] };
    this.#isPrepared = false;
    this.#retryLater('it could not be started and is tried again', cause);
  }

  #retryLater(what: string, cause: unknown): void {
    this.#failures += 1;
    this.#retryAtMs = performance.now() + retryDelayMs(this.#failures);
    this.#become('Pending', `${what}: ${messageOf(cause)}`);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#leaving;
    while (!this.isEnded && !signal.aborted) {
      const isWell = await this.#turn().then(
        () => true,
        (cause: unknown) => {
          this.#warn(cause, 'a look at a task failed');
          return false;
        },
      );
      if (this.isEnded) return;
      await delay(isWell ? LOOK_MS : FAILED_LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #turn(): Promise<void> {
    const isLong = await this.#vitals.look();
    if (isLong || this.isOver) await this.#progress.look();
    if (this.#vitals.ranSeconds - this.#state.ranSeconds >= NOTED_EVERY_SECONDS) await this.#remember({});
    const facts = await this.#facts();
    this.#showLife(facts, await isThere(this.folder.files.request));
    switch (nextTaskStep(facts)) {
      case 'wait':
        break;
      case 'save':
        return this.#save();
      case 'ask':
        return this.#ask();
      case 'tell':
        return this.#tell(this.#stop!);
      case 'kill':
        return this.#kill(this.#stop!);
      case 'give-up':
        this.#sender.abort();
        break;
      case 'conclude':
        return this.#conclude();
    }
  }

  async #facts(): Promise<TaskFacts> {
    const { uptime, contact } = this.#services;
    const now = uptime();
    await this.#process.record();
    return {
      isOver: this.#vitals.exit !== null,
      overSeconds: this.#vitals.overSeconds,
      sendIdleSeconds: this.#sender.idleSeconds(now),
      hasDone: await this.#progress.hasDone(this.isOver),
      isSaving: this.#sender.isBusy,
      canSave: this.task.checkpoint.mode !== 'none',
      intervalSeconds: this.task.checkpoint.intervalSeconds,
      quietSeconds: now - this.#quietSinceSeconds,
      stop: this.#stop?.facts(now, isFirstDone(this, this.#members)) ?? null,
      graceSeconds: this.#stop?.graceSeconds ?? this.task.graceSeconds,
      isInContact: contact.silentSeconds < IN_CONTACT_SECONDS,
    };
  }

  #showLife(facts: TaskFacts, isAsked: boolean): void {
    const isStarted = this.#process.startedAtSeconds !== undefined;
    if (facts.isOver) {
      if (facts.isSaving) this.#become('Uploading', this.reason);
    } else if (facts.stop !== null) this.#become('Stopping', this.#stop!.order.reason);
    else if (!isStarted) this.#become('Starting', '');
    else if (isAsked || facts.isSaving) this.#become('Checkpointing', '');
    else this.#become('Running', this.#sender.fault ?? '');
  }

  async #ask(): Promise<void> {
    const stop = this.#stop;
    const now = this.#services.uptime();
    const deadlineSeconds = stop?.leftSeconds(now) ?? null;
    requestCheckpoint(this.folder.path, { reason: stop?.order.reason ?? 'its interval is over', deadlineSeconds });
    this.#quietSinceSeconds = now;
    if (stop !== null) stop.isAsked = true;
    if (this.task.checkpoint.mode === 'signal') await this.#process.signal(this.task.checkpoint.signal, stop !== null);
  }

  /** The command says that a checkpoint is whole. Taken away last, so that a cut here only saves it twice. */
  async #save(): Promise<void> {
    const progress = await this.#progress.takeDone();
    if (this.#isFirst) {
      const sequence = this.#state.sequence + 1;
      const agoSeconds = await this.#progress.doneAgoSeconds(this.isOver);
      const ranSeconds = Math.max(0, this.#vitals.ranSeconds - agoSeconds);
      const note = { sequence, progress: progress || (this.#progress.text ?? ''), ranSeconds };
      await this.#remember({ sequence });
      if (await this.#sender.setAside(note)) this.#sendCheckpoint();
    }
    this.#quietSinceSeconds = this.#services.uptime();
    if (this.#stop !== null) {
      this.#stop.isAnswered = true;
      await this.#noteStop(this.#stop);
    }
    withdrawRequest(this.folder.path);
    await this.#progress.dropDone();
  }

  /** What an earlier agent had not brought to the registry. */
  async #sendAside(): Promise<void> {
    if (await this.#sender.hasAside(this.#state.checkpoint?.sequence ?? 0)) this.#sendCheckpoint();
  }

  #sendCheckpoint(): void {
    const { jobId, attemptId, epoch } = this.task;
    this.#sender.sendCheckpoint(async (checkpoint) => {
      await this.#remember({ checkpoint });
      await this.#services.emit({ kind: 'checkpoint-saved', jobId, attemptId, epoch, checkpoint });
      this.#services.onChange();
    });
  }

  /** That it is told is noted before it is, so that an agent which comes after this one takes its end for what it is. */
  async #tell(stop: TaskStop): Promise<void> {
    if (this.#process.startedAtSeconds === undefined) return;
    stop.wasTold = true;
    await this.#noteStop(stop);
    stop.isTold = await this.#process.signalGroup('SIGTERM');
  }

  async #kill(stop: TaskStop): Promise<void> {
    stop.isTold = stop.wasTold = true;
    const isStarted = await this.#process.signalGroup('SIGKILL');
    const isOverdue = stop.isOverdue(this.#services.uptime(), RUNNER_SECONDS);
    if (isOverdue) await this.#services.cgroups.end(this.task.taskId);
    await this.#process.sweep(!isStarted || isOverdue);
  }

  async #conclude(): Promise<void> {
    const end = endOf({
      exit: this.#vitals.exit === 'vanished' ? null : this.#vitals.exit,
      stop: this.#stop?.order ?? null,
      isTold: this.#stop?.wasTold ?? false,
      isAnswered: this.isAnswered || firstBefore(this, this.#members)?.isAnswered === true,
      fault: this.#fault,
      saved: this.#state.checkpoint?.progress ?? null,
      saveFault: this.#sender.fault,
      canSave: this.task.checkpoint.mode !== 'none',
      lastLine: await lastLine(await newestLogPart(this.folder.files.logs)),
    });
    if (end.phase !== 'Succeeded' || !this.#isFirst || this.droppedAtMs !== undefined) return this.#finish(end);
    const sent = this.#sender.output;
    if (sent !== undefined) return this.#finish(outputEnd(end, sent, this.task.outputRequired));
    if (!areOthersOver(this, this.#members)) return this.#become('Uploading', 'it waits for the other members to end');
    this.#become('Uploading', 'its output is being sent');
    this.#sender.sendOutput();
  }

  async #finish(end: TaskEnd): Promise<void> {
    const shown = { ...end, reason: end.reason.slice(0, 500) };
    const { emit, log, metrics } = this.#services;
    const task = { ...this.report(), ...shown } as TaskReport;
    if (this.droppedAtMs === undefined && !this.#isEndTold) await emit({ kind: 'task-ended', task: task as never });
    this.#isEndTold = true;
    await this.#remember({ end: shown, devices: [] });
    log.info({ task: this.task.taskId, ...shown }, 'task ended');
    metrics.taskEnded(end.phase);
    this.#show(shown);
  }

  /** One that never had a process. */
  async #endUnstarted(end: TaskEnd): Promise<void> {
    this.#show(end);
    this.#preparing.abort();
    await this.folder
      .create(this.task)
      .then(() => this.#finish(end))
      .catch((cause: unknown) => this.#warn(cause, 'end of a task not noted'));
  }

  #show({ phase, reason }: TaskEnd): void {
    this.#become(phase, reason);
  }

  #stopBy(order: StopOrder): TaskStop {
    this.#stop ??= new TaskStop(order, this.#services.uptime(), this.task.graceSeconds);
    this.#stop.order = order;
    return this.#stop;
  }

  async #noteStop(stop: TaskStop): Promise<void> {
    const noted = this.#remember({ stop: stop.noted(this.#services.machineBootId) });
    await noted.catch((cause: unknown) => this.#warn(cause, 'stop of a task not noted'));
  }

  async #remember(change: Partial<TaskState>): Promise<void> {
    this.#state = { ...this.#state, ranSeconds: this.#vitals.ranSeconds, ...change };
    await this.folder.writeState(this.#state);
  }

  #become(phase: TaskPhase, reason: string): void {
    if (this.phase === phase && this.reason === reason) return;
    this.phase = phase;
    this.reason = reason;
    this.#services.onChange();
  }

  #warn(cause: unknown, what: string): void {
    this.#services.log.warn({ task: this.task.taskId, reason: messageOf(cause) }, what);
  }
}
