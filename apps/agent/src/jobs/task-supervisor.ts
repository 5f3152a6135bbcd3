// All tasks of this machine: what is decided by `reconcileTasks`, executed, and told of.
//
// At open every folder of an earlier agent is taken up: its process is adopted, its end is remembered, or it is found
// never to have run. Where a record cannot be read, what runs is ended, and the task has failed.
import { mkdir } from 'node:fs/promises';
import type { TaskLogsReply, TaskLogsRequest } from '#contracts';
import {
  type DesiredState,
  type DesiredTask,
  type DeviceHolding,
  type LocalReplica,
  type Node,
  type ResourceClaim,
  reconcileTasks,
  type TaskAction,
  type TaskReport,
  taskHolder,
  taskIdOf,
} from '#domain';
import { messageOf } from '../errors.ts';
import { listTaskFolders, removeShared, TaskFolder } from './task-folder.ts';
import { readTaskLog } from './task-log.ts';
import { newTaskReport } from './task-report.ts';
import { TaskRun } from './task-run.ts';
import type { TaskServices } from './task-services.ts';

const DAMAGED = 'Its record on this disk is damaged, so it was ended and is not run again.';

export interface TaskSupervisorOptions extends Omit<TaskServices, 'membersOf'> {
  /** As they are listed now. */
  readonly nodes: () => readonly Node[];
  /** Set: this cluster runs no tasks, and why. */
  readonly refusal?: string;
  /** After the first look at the disk: what runs of other attempts than these is nobody's. */
  readonly endOthers?: (attemptIds: ReadonlySet<string>) => void;
  /** What replicas hold now. */
  readonly replicas: () => readonly Pick<LocalReplica, 'replicaId' | 'devices'>[];
}

export class TaskSupervisor {
  readonly #services: TaskServices;
  readonly #nodes: () => readonly Node[];
  readonly #replicas: TaskSupervisorOptions['replicas'];
  readonly #runs = new Map<string, TaskRun>();
  /** Task ids whose record could not be read: whatever they were, they are not run again. */
  readonly #unreadable = new Set<string>();
  /** Tasks whose content was removed after they were dropped. */
  readonly #emptied = new Set<string>();
  #isClosed = false;

  readonly #refusal: string | undefined;
  readonly #endOthers: TaskSupervisorOptions['endOthers'];

  constructor({ nodes, replicas, refusal, endOthers, ...services }: TaskSupervisorOptions) {
    this.#refusal = refusal;
    this.#endOthers = endOthers;
    this.#nodes = nodes;
    this.#replicas = replicas;
    this.#services = { ...services, membersOf: (attemptId) => this.#membersOf(attemptId) };
  }

  async open(): Promise<void> {
    const { jobsFolder } = this.#services;
    await mkdir(jobsFolder, { recursive: true, mode: 0o700 });
    for (const { attemptId, rank } of await listTaskFolders(jobsFolder)) {
      const folder = new TaskFolder(jobsFolder, attemptId, rank);
      const task = await folder.readTask();
      if (task === null || task.taskId !== taskIdOf(attemptId, rank))
        await this.#clear(folder, taskIdOf(attemptId, rank));
      else this.#runs.set(task.taskId, new TaskRun(task, this.#services));
    }
    await Promise.all([...this.#runs.values()].map((run) => run.restore()));
    this.#endOthers?.(new Set([...this.#runs.values()].map(({ task }) => task.attemptId)));
  }

  /** Of one attempt, those that are here. */
  tasksOf(attemptId: string): DesiredTask[] {
    return this.#membersOf(attemptId).map(({ task }) => task);
  }

  /**
   * The shortest silence of the control plane, in seconds, after which a command that runs here ends, or one that waits
   * does not begin; null: there is none.
   */
  get silenceSecondsMin(): number | null {
    const bounds = [...this.#runs.values()]
      .filter((run) => !run.isEnded)
      .map(({ task }) => task.stopAfterSilentSeconds);
    return bounds.length === 0 ? null : Math.min(...bounds);
  }

  /** Versions that a running command has open. */
  usedDigests(): ReadonlySet<string> {
    return new Set([...this.#runs.values()].flatMap((run) => run.usedDigests));
  }

  /** Of those that have a process. */
  holdings(): DeviceHolding[] {
    return [...this.#runs.values()]
      .map((run) => run.local())
      .filter(({ phase, devices }) => phase !== 'Pending' && phase !== 'Fetching' && devices.length > 0)
      .map(({ taskId, devices }) => ({ holder: taskHolder(taskId), devices }));
  }

  /** Of those that only wait for devices, as far as this agent binds them. */
  waitingClaims({ tasks }: Pick<DesiredState, 'tasks'>): ResourceClaim[] {
    return tasks
      .filter(({ stop, devices }) => stop === null && devices === null)
      .filter(({ taskId }) => {
        const task = this.#runs.get(taskId)?.local();
        return task?.phase === 'Pending' && task.isPrepared;
      })
      .map(({ claim }) => claim);
  }

  /** What holds a device that is not there any more has failed. */
  fail(taskId: string, reason: string): void {
    this.#runs.get(taskId)?.fail(reason);
  }

  countByPhase(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { phase } of this.#runs.values()) counts[phase] = (counts[phase] ?? 0) + 1;
    return counts;
  }

  /** One look at the whole: what should be done next is begun. */
  reconcile(desired: DesiredState, heldDigests: ReadonlySet<string>): void {
    if (this.#isClosed) return;
    for (const task of desired.tasks) {
      if (this.#unreadable.delete(task.taskId)) this.#add(task).lose(DAMAGED);
      const run = this.#runs.get(task.taskId);
      // Named again: its end is told again.
      if (run?.isEnded) run.droppedAtMs = undefined;
    }
    const local = {
      tasks: [...this.#runs.values()].map((run) => run.local()),
      nodes: this.#nodes(),
      replicas: this.#replicas(),
      heldDigests,
      silentSeconds: this.#services.contact.silentSeconds,
    };
    for (const action of reconcileTasks(desired, local, performance.now())) this.#execute(action);
    this.#emptyDropped();
  }

  /** Those that the document names, and what still runs though it does not. */
  reports(wanted: readonly DesiredTask[]): TaskReport[] {
    const here = [...this.#runs.values()].filter((run) => run.droppedAtMs === undefined || !run.isEnded);
    const missing = wanted.filter(({ taskId }) => !this.#runs.has(taskId));
    return [...here.map((run) => run.report()), ...missing.map(newTaskReport)];
  }

  /** A version was found damaged: what computes with it is ended, and failed. */
  stopVersion(versionDigest: string, reason: string): void {
    for (const run of this.#runs.values()) if (run.usedDigests.includes(versionDigest)) run.fail(reason);
  }

  async readLog({ taskId, offset, bytesMax }: TaskLogsRequest): Promise<TaskLogsReply> {
    const run = this.#runs.get(taskId);
    if (run === undefined)
      return { found: false, reason: 'this agent knows no such task, or forgot it an hour after it ended' };
    // Asked before the read: what a command wrote before its end is then there.
    const { isEnded } = run;
    if (!isEnded) await this.#services.executionOf(run.folder, run.task).refreshLog();
    const { isAtEnd, ...range } = await readTaskLog(run.folder.files.logs, offset, bytesMax);
    return { found: true, ...range, isComplete: isEnded && isAtEnd };
  }

  /** Tasks stay for the next agent; only the watching ends. */
  async leaveAll(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#runs.values()].map((run) => run.leave()));
  }

  /** Every task is asked for a checkpoint and ended, within `withinMs`; then the watching ends. */
  async stopAll(reason: string, withinMs: number): Promise<void> {
    this.#isClosed = true;
    const runs = [...this.#runs.values()].filter((run) => !run.isEnded);
    for (const run of runs) run.stopWithin(reason, withinMs / 1000);
    await Promise.all(runs.map((run) => run.ended()));
    await this.leaveAll();
  }

  #execute(action: TaskAction): void {
    switch (action.action) {
      case 'refuse':
        this.#services.log.warn({ task: action.task.taskId, reason: action.reason }, 'task refused');
        this.#add(action.task).refuse(action.reason);
        break;
      case 'prepare':
        if (this.#refusal === undefined) (this.#runs.get(action.task.taskId) ?? this.#add(action.task)).prepare();
        else this.#add(action.task).refuse(this.#refusal);
        break;
      case 'wait':
        this.#runs.get(action.task.taskId)?.wait(action.phase, action.reason);
        break;
      case 'start':
        this.#runs.get(action.task.taskId)?.start(action.devices);
        break;
      case 'stop':
        (this.#runs.get(action.task.taskId) ?? this.#add(action.task)).stop(action.stop);
        break;
      case 'drop':
        this.#runs.get(action.taskId)?.drop();
        break;
      case 'forget':
        this.#forget(action.taskId);
        break;
    }
  }

  #add(task: DesiredTask): TaskRun {
    const run = new TaskRun(task, this.#services);
    this.#runs.set(task.taskId, run);
    return run;
  }

  #membersOf(attemptId: string): TaskRun[] {
    return [...this.#runs.values()].filter(({ task }) => task.attemptId === attemptId);
  }

  /** Of what is dropped and has ended, only the record and the log stay. What members share goes with the last of them. */
  #emptyDropped(): void {
    for (const [taskId, run] of this.#runs) {
      if (run.droppedAtMs === undefined || !run.isEnded || this.#emptied.has(taskId)) continue;
      this.#emptied.add(taskId);
      const isLast = this.#membersOf(run.task.attemptId).every((each) => this.#emptied.has(each.task.taskId));
      const { jobsFolder } = this.#services;
      const emptied = run.empty().then(() => (isLast ? removeShared(jobsFolder, run.task.attemptId, true) : undefined));
      emptied.catch((cause: unknown) => this.#warn(cause, 'content of a task not removed'));
    }
  }

  #forget(taskId: string): void {
    const run = this.#runs.get(taskId);
    if (run === undefined) return;
    this.#runs.delete(taskId);
    this.#emptied.delete(taskId);
    const isLast = this.#membersOf(run.task.attemptId).length === 0;
    const removed = isLast ? removeShared(this.#services.jobsFolder, run.task.attemptId, false) : run.folder.remove();
    removed.catch((cause: unknown) => this.#warn(cause, 'record of a task not removed'));
  }

  async #clear(folder: TaskFolder, taskId: string): Promise<void> {
    this.#services.log.warn({ task: taskId }, 'the record of a task is damaged; what runs of it is ended');
    this.#unreadable.add(taskId);
    await folder.revokeOrder().catch(() => false);
    await this.#services.executionOf(folder, null).sweep(true);
    await folder.remove().catch((cause: unknown) => this.#warn(cause, 'folder of no task not removed'));
  }

  #warn(cause: unknown, what: string): void {
    this.#services.log.warn({ reason: messageOf(cause) }, what);
  }
}

/** Every process of a task of an earlier agent, at once. */
export async function endAllTasks(jobsFolder: string, executionOf: TaskServices['executionOf']): Promise<void> {
  for (const { attemptId, rank } of await listTaskFolders(jobsFolder)) {
    const folder = new TaskFolder(jobsFolder, attemptId, rank);
    await folder.revokeOrder().catch(() => false);
    await executionOf(folder, await folder.readTask()).sweep(true);
  }
}
