// What a report says of a task. Pure.
import type { DesiredTask, TaskPhase, TaskReport } from '#domain';
import type { TaskState } from './task-folder.ts';

export interface TaskStanding {
  readonly phase: TaskPhase;
  readonly reason: string;
  readonly ranSeconds: number;
  /** Of the command while it runs. */
  readonly processId: number | undefined;
  readonly progress: string | undefined;
}

export function taskReport(task: DesiredTask, standing: TaskStanding, state: TaskState): TaskReport {
  const { phase, reason, ranSeconds, processId, progress } = standing;
  const { end, checkpoint, devices } = state;
  const isBoundHere = task.devices === null && devices.length > 0;
  return {
    ...identityOf(task),
    phase,
    reason: reason.slice(0, 500),
    ranSeconds,
    ...(end?.exitCode === undefined ? {} : { exitCode: end.exitCode }),
    ...(processId === undefined ? {} : { processId }),
    ...(progress === undefined ? {} : { progress }),
    ...(checkpoint === undefined ? {} : { checkpoint }),
    ...(end?.outputDigest === undefined ? {} : { outputDigest: end.outputDigest }),
    ...(isBoundHere ? { devices } : {}),
  };
}

/** One that a document names and that was not looked at yet. */
export function newTaskReport(task: DesiredTask): TaskReport {
  return { ...identityOf(task), phase: 'Pending', reason: '', ranSeconds: 0 };
}

function identityOf({ taskId, attemptId, jobId, rank, epoch }: DesiredTask) {
  return { taskId, attemptId, jobId, rank, epoch };
}
