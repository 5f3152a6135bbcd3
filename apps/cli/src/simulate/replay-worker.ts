// One thread that replays: its study is given at its start, then it answers task by task.
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import {
  type JobOutcome,
  type JobStudy,
  type JobTask,
  ReplayInputError,
  type RequestOutcome,
  type RequestStudy,
  type RequestTask,
  stepJobTask,
  stepRequestTask,
} from '#replay';

export type Study = JobStudy | RequestStudy;
export type TaskOf<S extends Study> = S extends JobStudy ? JobTask : RequestTask;
export type OutcomeOf<S extends Study> = S extends JobStudy ? JobOutcome : RequestOutcome;

/** Errors lose their class on the way between threads. */
export interface WorkerFailure {
  readonly message: string;
  readonly isInput: boolean;
}

export type WorkerAnswer =
  | { readonly share: number }
  | { readonly outcome: JobOutcome | RequestOutcome }
  | WorkerFailure;

/** Shares in between that are told. */
const TOLD_SHARE = 0.01;

export function stepTask<S extends Study>(study: S, task: TaskOf<S>): Generator<number, OutcomeOf<S>> {
  const steps =
    study.kind === 'jobs' ? stepJobTask(study, task as JobTask) : stepRequestTask(study, task as RequestTask);
  return steps as Generator<number, OutcomeOf<S>>;
}

export function errorOf({ message, isInput }: WorkerFailure): Error {
  return isInput ? new ReplayInputError(message) : new Error(message);
}

function answer(task: TaskOf<Study>, tell: (answer: WorkerAnswer) => void): void {
  try {
    const steps = stepTask(workerData as Study, task);
    let step = steps.next();
    for (let told = 0; !step.done; step = steps.next()) {
      if (step.value < told + TOLD_SHARE) continue;
      told = step.value;
      tell({ share: told });
    }
    tell({ outcome: step.value });
  } catch (error) {
    tell({ message: (error as Error).message, isInput: error instanceof ReplayInputError });
  }
}

if (!isMainThread && parentPort !== null && workerData !== null) {
  const port = parentPort;
  port.on('message', (task: TaskOf<Study>) => answer(task, (each) => port.postMessage(each)));
}
