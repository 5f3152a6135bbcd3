/**
 * One task on a simulated machine, from its first mention to its end. What is next comes from the production decisions
 * (`nextTaskStep`, `endOf`, `outputEnd`); this carries them out as the production run does, on fake commands and uploads.
 */
import { type DesiredTask, isTaskEnded, type LocalTask, type NodeDevices, retryDelayMs, type TaskPhase } from '#domain';
import { endOf, outputEnd } from '../../apps/agent/src/jobs/task-end.ts';
import type { TaskEnd, TaskState } from '../../apps/agent/src/jobs/task-folder.ts';
import { taskReport } from '../../apps/agent/src/jobs/task-report.ts';
import type { Sent } from '../../apps/agent/src/jobs/task-sender.ts';
import { nextTaskStep, type TaskFacts, type TaskStep } from '../../apps/agent/src/jobs/task-steps.ts';
import type { StopOrder } from '../../apps/agent/src/jobs/task-stop.ts';
import type { Command, DoneMark } from './commands.ts';
import type { TaskServices } from './tasks.ts';

const DROPPED_GRACE_SECONDS = 10;
const IN_CONTACT_SECONDS = 15;
const UPLOAD_RETRY_MS = 2_000;
const DROPPED = 'No document names it any more.';

/** What a task's folder keeps: it is known after a restart of the agent, and for as long as nobody forgets it. */
export interface TaskFolder {
  readonly task: DesiredTask;
  state: TaskState;
  stop: { readonly order: StopOrder; readonly atMs: number } | null;
  /** Set aside, and not yet brought to the registry. */
  aside: (DoneMark & { readonly sequence: number }) | null;
  /** Null until somebody took the order to run. */
  command: Command | null;
}

export const NEW_STATE: TaskState = { devices: [], sequence: 0, ranSeconds: 0 };

interface Stopping {
  readonly atMs: number;
  order: StopOrder;
  graceSeconds: number;
  isAsked: boolean;
  isTold: boolean;
}

export class TaskRun {
  phase: TaskPhase = 'Pending';
  reason = '';
  droppedAtMs: number | undefined;
  isAnswered = false;
  private waitsFor: 'Pending' | 'Fetching' = 'Pending';
  private isPrepared = false;
  private retryAtMs = 0;
  private failures = 0;
  private stopping: Stopping | null = null;
  private sending: object | null = null;
  private movedAtMs: number;
  private output: Sent | undefined;
  private resumedSeconds = 0;
  private quietSinceMs: number;

  constructor(
    readonly folder: TaskFolder,
    private readonly services: TaskServices,
  ) {
    this.quietSinceMs = services.world.nowMs;
    this.movedAtMs = services.world.nowMs;
  }

  get task(): DesiredTask {
    return this.folder.task;
  }

  get isEnded(): boolean {
    return isTaskEnded(this.phase);
  }

  private get isUnstarted(): boolean {
    return this.phase === 'Pending' || this.phase === 'Fetching';
  }

  /** It has no process, and will have none. */
  get isOver(): boolean {
    return this.isEnded || this.folder.command?.isAlive === false;
  }

  get ranSeconds(): number {
    return this.isEnded ? this.folder.state.ranSeconds : (this.folder.command?.ranSeconds ?? 0);
  }

  /** Of an earlier agent: its end, its command, or its place in the queue. */
  restore(): void {
    const { state, stop, command, aside } = this.folder;
    if (state.end !== undefined) this.become(state.end.phase, state.end.reason);
    if (state.end !== undefined || command === null) return;
    if (stop !== null) this.stopAt(stop.order, stop.atMs);
    this.become('Starting', '');
    if (aside !== null) this.sendCheckpoint();
  }

  local(): LocalTask {
    const { taskId, attemptId, jobId, attempt, epoch } = this.task;
    const { phase, isPrepared, retryAtMs, droppedAtMs } = this;
    const devices = this.isOver ? [] : this.folder.state.devices;
    return {
      ...{ taskId, attemptId, jobId, attempt, epoch, phase, isPrepared, retryAtMs, devices },
      ...(droppedAtMs === undefined ? {} : { droppedAtMs }),
    };
  }

  report() {
    const { command, state } = this.folder;
    const phase = this.phase === 'Pending' ? this.waitsFor : this.phase;
    const processId = command?.isAlive === true && !this.isEnded ? command.processId : undefined;
    const standing = { phase, reason: this.reason, ranSeconds: this.ranSeconds, processId, progress: undefined };
    return taskReport(this.task, standing, state);
  }

  named(): void {
    if (this.isEnded) this.droppedAtMs = undefined;
  }

  prepare(): void {
    const { world, agent, registry, isLinked, failsTransfer } = this.services;
    this.become('Fetching', '');
    const { resumeFrom } = this.task;
    world.after(world.between(20, resumeFrom === null ? 100 : 3_000), agent, () => {
      if (this.phase !== 'Fetching') return;
      const work = resumeFrom === null ? undefined : registry.workOf(resumeFrom.manifestDigest);
      if (resumeFrom !== null && (work === undefined || !isLinked() || failsTransfer())) return this.retryLater();
      this.resumedSeconds = work?.workSeconds ?? 0;
      this.isPrepared = true;
      this.become('Pending', '');
    });
  }

  wait(phase: 'Pending' | 'Fetching', reason: string): void {
    if (this.phase !== 'Pending') return;
    this.waitsFor = phase;
    this.become('Pending', reason);
  }

  /** An agent that dies before its runner took the order has started nothing. */
  start(devices: readonly NodeDevices[]): void {
    const { world, agent, startCommand, failsTransfer } = this.services;
    this.become('Starting', '');
    this.folder.state = { ...this.folder.state, devices: [...devices] as TaskState['devices'] };
    world.after(world.between(20, 800), agent, () => {
      if (failsTransfer()) {
        this.folder.state = { ...this.folder.state, devices: [] };
        this.isPrepared = false;
        return this.retryLater();
      }
      this.folder.command = startCommand(this, this.resumedSeconds);
      this.quietSinceMs = world.nowMs;
    });
  }

  stop(order: StopOrder): void {
    if (this.isEnded) return;
    if (this.isUnstarted) this.finish({ phase: 'Stopped', reason: `It had not begun: ${order.reason}`.slice(0, 500) });
    else this.folder.stop = this.stopAt(order, this.stopping?.atMs ?? this.services.world.nowMs);
  }

  refuse(reason: string): void {
    this.finish({ phase: 'Refused', reason });
  }

  drop(): void {
    const { nowMs } = this.services.world;
    this.droppedAtMs ??= nowMs;
    this.sending = null;
    if (this.isEnded) return;
    if (this.isUnstarted) this.become('Stopped', DROPPED);
    else this.stopAt({ cause: 'cancelled', reason: DROPPED, wantsCheckpoint: false }, this.stopping?.atMs ?? nowMs);
  }

  /** One look at one that has, or had, a command. @returns what was done */
  look(next: typeof nextTaskStep = nextTaskStep): TaskStep {
    const { command } = this.folder;
    if (this.isEnded || command === null) return 'wait';
    const step = next(this.facts(command));
    STEPS[step](this, command);
    if (!this.isEnded) this.showLife(command);
    return step;
  }

  private facts(command: Command): TaskFacts {
    const { world, silentSeconds } = this.services;
    const { checkpoint, graceSeconds } = this.task;
    const seconds = (sinceMs: number) => (world.nowMs - sinceMs) / 1_000;
    const { stopping } = this;
    return {
      isOver: !command.isAlive,
      overSeconds: command.exit === null ? 0 : seconds(command.exit.atMs),
      sendIdleSeconds: seconds(this.movedAtMs),
      hasDone: command.done !== null,
      isSaving: this.sending !== null,
      canSave: checkpoint.mode !== 'none',
      intervalSeconds: checkpoint.intervalSeconds,
      quietSeconds: seconds(this.quietSinceMs),
      stop: stopping && {
        wantsCheckpoint: stopping.order.wantsCheckpoint,
        seconds: seconds(stopping.atMs),
        isAsked: stopping.isAsked,
        isAnswered: this.isAnswered || this.isFirstDone(),
        isTold: stopping.isTold,
      },
      graceSeconds: stopping?.graceSeconds ?? graceSeconds,
      isInContact: silentSeconds() < IN_CONTACT_SECONDS,
    };
  }

  private firstMember(): TaskRun | undefined {
    if (this.task.rank === 0) return undefined;
    return this.services.membersOf(this.task.attemptId).find(({ task }) => task.rank === 0);
  }

  private isFirstDone(): boolean {
    const first = this.firstMember();
    return first !== undefined && (first.isAnswered || first.isOver);
  }

  private showLife(command: Command): void {
    if (!command.isAlive) {
      if (this.sending !== null) this.become('Uploading', this.reason);
    } else if (this.stopping !== null) this.become('Stopping', this.stopping.order.reason);
    else this.become(this.sending === null ? 'Running' : 'Checkpointing', '');
  }

  ask(command: Command): void {
    this.quietSinceMs = this.services.world.nowMs;
    if (this.stopping !== null) this.stopping.isAsked = true;
    command.ask();
  }

  tell(command: Command): void {
    this.stopping!.isTold = true;
    this.services.onEnding(this, 'told');
    command.tell();
  }

  kill(command: Command): void {
    if (!this.stopping!.isTold) this.services.onEnding(this, 'killed');
    this.stopping!.isTold = true;
    command.kill();
  }

  saveNow(command: Command): void {
    const done = command.done!;
    command.done = null;
    if (this.task.rank === 0) {
      const sequence = this.folder.state.sequence + 1;
      this.folder.state = { ...this.folder.state, sequence };
      this.folder.aside = { ...done, sequence };
      this.sendCheckpoint();
    }
    this.quietSinceMs = this.services.world.nowMs;
    if (this.stopping !== null) this.isAnswered = true;
  }

  giveUp(): void {
    this.sending = null;
  }

  private sendCheckpoint(): void {
    const { jobId, attemptId, epoch } = this.task;
    const aside = this.folder.aside!;
    const { sequence, ranSeconds, workSeconds } = aside;
    this.upload(() => {
      const work = { jobId, attemptId, workSeconds, what: `checkpoint ${sequence}` };
      const { digest, sizeBytes } = this.services.registry.put(work);
      const checkpoint = { sequence, manifestDigest: digest, sizeBytes, progress: `${workSeconds} s`, ranSeconds };
      if (this.folder.aside === aside) this.folder.aside = null;
      this.folder.state = { ...this.folder.state, checkpoint };
      this.services.emit({ kind: 'checkpoint-saved', jobId, attemptId, epoch, checkpoint });
    });
  }

  /** Over HTTP, again and again until it is whole; a newer one takes its place. */
  private upload(done: () => void): void {
    const { world, agent, isLinked, failsTransfer, onChange } = this.services;
    const mine = {};
    this.sending = mine;
    this.movedAtMs = world.nowMs;
    const attempt = (): void => {
      world.after(world.between(100, UPLOAD_RETRY_MS), agent, () => {
        if (this.sending !== mine) return;
        if (!isLinked() || failsTransfer()) return attempt();
        this.sending = null;
        done();
        onChange();
      });
    };
    attempt();
  }

  conclude({ exit }: Command): void {
    const code = exit?.exitCode ?? null;
    const end = endOf({
      exit: exit === null || code === null ? null : { ...exit, exitCode: code, reason: '' },
      stop: this.stopping?.order ?? null,
      isTold: this.stopping?.isTold ?? false,
      isAnswered: this.isAnswered || this.firstMember()?.isAnswered === true,
      fault: null,
      saved: this.folder.state.checkpoint?.progress ?? null,
      saveFault: undefined,
      canSave: this.task.checkpoint.mode !== 'none',
      lastLine: '',
    });
    const leavesNothing = end.phase !== 'Succeeded' || this.task.rank !== 0 || this.droppedAtMs !== undefined;
    if (leavesNothing) this.finish(end);
    else if (this.output !== undefined) this.finish(outputEnd(end, this.output, this.task.outputRequired));
    else this.beginOutput();
  }

  private beginOutput(): void {
    const members = this.services.membersOf(this.task.attemptId);
    this.become('Uploading', '');
    if (members.every((each) => each === this || each.isOver)) this.sendOutput();
  }

  private sendOutput(): void {
    const { jobId, attemptId } = this.task;
    const workSeconds = this.resumedSeconds + this.ranSeconds;
    this.upload(() => {
      const { digest } = this.services.registry.put({ jobId, attemptId, workSeconds, what: 'output' });
      this.output = { sent: 'content', digest, files: 1 };
    });
  }

  private finish(end: TaskEnd): void {
    const ranSeconds = this.folder.command?.ranSeconds ?? 0;
    this.folder.state = { ...this.folder.state, ranSeconds, end, devices: [] };
    this.become(end.phase, end.reason);
    if (this.droppedAtMs === undefined) this.services.emit({ kind: 'task-ended', task: this.report() as never });
  }

  private retryLater(): void {
    this.failures += 1;
    this.retryAtMs = this.services.world.nowMs + retryDelayMs(this.failures);
    this.become('Pending', 'it is tried again');
  }

  private stopAt(order: StopOrder, atMs: number): NonNullable<TaskFolder['stop']> {
    const { isAsked = false, isTold = false } = this.stopping ?? {};
    const { graceSeconds: most } = this.task;
    const graceSeconds = this.droppedAtMs === undefined ? most : Math.min(most, DROPPED_GRACE_SECONDS);
    this.stopping = { order, atMs, graceSeconds, isAsked, isTold };
    return { order, atMs };
  }

  private become(phase: TaskPhase, reason: string): void {
    if (this.phase === phase && this.reason === reason) return;
    this.phase = phase;
    this.reason = reason.slice(0, 500);
    this.services.onChange();
  }
}

const STEPS: Readonly<Record<TaskStep, (run: TaskRun, command: Command) => void>> = {
  wait: () => undefined,
  save: (run, command) => run.saveNow(command),
  ask: (run, command) => run.ask(command),
  tell: (run, command) => run.tell(command),
  kill: (run, command) => run.kill(command),
  'give-up': (run) => run.giveUp(),
  conclude: (run, command) => run.conclude(command),
};
