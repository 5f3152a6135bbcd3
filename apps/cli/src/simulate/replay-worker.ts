// One thread that replays: its study is given at its start, then it answers task by task.
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import {
  type JobOutcome,
  type JobStudy,
  type JobTask,
  type PromptOutcome,
  type PromptStudy,
  type PromptTask,
  ReplayInputError,
  type RequestOutcome,
  type RequestStudy,
  type RequestTask,
  stepJobTask,
  stepPromptTask,
  stepRequestTask,
} from '#replay';

/** Kind of study → what it, its tasks and their outcomes are. */
interface Kinds {
  readonly jobs: { readonly study: JobStudy; readonly task: JobTask; readonly outcome: JobOutcome };
  readonly requests: { readonly study: RequestStudy; readonly task: RequestTask; readonly outcome: RequestOutcome };
  readonly prompts: { readonly study: PromptStudy; readonly task: PromptTask; readonly outcome: PromptOutcome };
}

export type Study = Kinds[keyof Kinds]['study'];
export type TaskOf<S extends Study> = Kinds[S['kind']]['task'];
export type OutcomeOf<S extends Study> = Kinds[S['kind']]['outcome'];

/** Errors lose their class on the way between threads. */
export interface WorkerFailure {
  readonly message: string;
  readonly isInput: boolean;
}

export type WorkerAnswer = { readonly share: number } | { readonly outcome: OutcomeOf<Study> } | WorkerFailure;

/** Shares in between that are told. */
const TOLD_SHARE = 0.01;

export function stepTask<S extends Study>(study: S, task: TaskOf<S>): Generator<number, OutcomeOf<S>> {
  return stepsOf(study, task) as Generator<number, OutcomeOf<S>>;
}

function stepsOf(study: Study, task: TaskOf<Study>): Generator<number, OutcomeOf<Study>> {
  switch (study.kind) {
    case 'jobs':
      return stepJobTask(study, task as JobTask);
    case 'requests':
      return stepRequestTask(study, task as RequestTask);
    case 'prompts':
      return stepPromptTask(study, task as PromptTask);
  }
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
