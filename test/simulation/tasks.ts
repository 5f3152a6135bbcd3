/**
 * All tasks of one agent: decided by the production `reconcileTasks`, executed on the fake commands of its machine, and told
 * of in reports and events. What must be known after a restart is in the machine's folders.
 */
import { type DesiredState, type DesiredTask, reconcileTasks, type TaskAction, type TaskReport } from '#domain';
import type { NewEvent } from '../../apps/agent/src/events/outbox.ts';
import type { silenceStep } from '../../apps/agent/src/jobs/runner/silence.ts';
import { newTaskReport } from '../../apps/agent/src/jobs/task-report.ts';
import type { nextTaskStep } from '../../apps/agent/src/jobs/task-steps.ts';
import type { Agent, Machine } from './agent.ts';
import type { Command } from './commands.ts';
import type { Registry } from './registry.ts';
import { NEW_STATE, type TaskFolder, TaskRun } from './task-run.ts';
import type { World } from './world.ts';

/** Decisions that may be other ones, to prove that the checks notice. Default: the production ones. */
export interface TaskRules {
  readonly reconcileTasks?: typeof reconcileTasks;
  readonly nextTaskStep?: typeof nextTaskStep;
  readonly silenceStep?: typeof silenceStep;
}

export interface TaskServices {
  readonly world: World;
  readonly agent: Agent;
  readonly registry: Registry;
  /** The control plane can be reached, as far as anybody can tell. */
  readonly isLinked: () => boolean;
  readonly failsTransfer: () => boolean;
  readonly silentSeconds: () => number;
  readonly startCommand: (run: TaskRun, resumedSeconds: number) => Command;
  readonly membersOf: (attemptId: string) => TaskRun[];
  readonly emit: (event: NewEvent) => void;
  readonly onEnding: (run: TaskRun, how: 'told' | 'killed') => void;
  readonly onChange: () => void;
}

export class Tasks {
  readonly runs = new Map<string, TaskRun>();
  private readonly services: TaskServices;

  constructor(
    private readonly machine: Machine,
    services: Omit<TaskServices, 'membersOf'>,
    private readonly rules: TaskRules,
  ) {
    const membersOf = (attemptId: string) => [...this.runs.values()].filter(({ task }) => task.attemptId === attemptId);
    this.services = { ...services, membersOf };
  }

  open(): void {
    for (const folder of this.machine.taskFolders.values()) {
      this.runs.set(folder.task.taskId, new TaskRun(folder, this.services));
    }
    for (const run of this.runs.values()) run.restore();
  }

  /** Whether the control plane's word matters now. */
  get isBusy(): boolean {
    return [...this.runs.values()].some((run) => !run.isEnded);
  }

  reconcile(desired: DesiredState, heldDigests: ReadonlySet<string>): void {
    for (const { taskId } of desired.tasks) this.runs.get(taskId)?.named();
    const local = {
      tasks: [...this.runs.values()].map((run) => run.local()),
      nodes: this.machine.nodes,
      heldDigests,
      silentSeconds: this.services.silentSeconds(),
    };
    const decide = this.rules.reconcileTasks ?? reconcileTasks;
    for (const action of decide(desired, local, this.services.world.nowMs)) this.execute(action);
  }

  look(): void {
    for (const run of this.runs.values()) run.look(this.rules.nextTaskStep);
  }

  reports(wanted: readonly DesiredTask[]): TaskReport[] {
    const here = [...this.runs.values()].filter((run) => run.droppedAtMs === undefined || !run.isEnded);
    const missing = wanted.filter(({ taskId }) => !this.runs.has(taskId));
    return [...here.map((run) => run.report()), ...missing.map(newTaskReport)];
  }

  private execute(action: TaskAction): void {
    switch (action.action) {
      case 'refuse':
        this.of(action.task).refuse(action.reason);
        break;
      case 'prepare':
        this.of(action.task).prepare();
        break;
      case 'wait':
        this.of(action.task).wait(action.phase, action.reason);
        break;
      case 'start':
        this.of(action.task).start(action.devices);
        break;
      case 'stop':
        this.of(action.task).stop(action.stop);
        break;
      case 'drop':
        this.runs.get(action.taskId)?.drop();
        break;
      case 'forget':
        this.runs.delete(action.taskId);
        this.machine.taskFolders.delete(action.taskId);
        break;
    }
  }

  private of(task: DesiredTask): TaskRun {
    const known = this.runs.get(task.taskId);
    if (known !== undefined) return known;
    const folder: TaskFolder = { task, state: NEW_STATE, stop: null, aside: null, command: null };
    this.machine.taskFolders.set(task.taskId, folder);
    const run = new TaskRun(folder, this.services);
    this.runs.set(task.taskId, run);
    return run;
  }
}
