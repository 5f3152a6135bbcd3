// Runs replays, as many at a time as there are cores: each is a thing of its own and takes seconds to minutes.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setImmediate as giveWay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Replayed, ReplayTask } from '#replay';
import { FailedError, InterruptedError } from '../errors.ts';
import { LiveLine } from '../output/live-line.ts';
import type { Terminal } from '../terminal.ts';
import { errorOf, type OutcomeOf, type Study, stepTask, type TaskOf, type WorkerAnswer } from './replay-worker.ts';

type Waits = Pick<Terminal, 'signal' | 'err' | 'hasLiveLine' | 'columns' | 'now'>;
type Done<S extends Study> = Replayed<TaskOf<S>['policy'], OutcomeOf<S>>;

/** Outcomes in the order of the tasks. Throws InterruptedError on Ctrl-C, and what a replay threw. */
export async function runReplays<S extends Study>(
  study: S,
  tasks: readonly TaskOf<S>[],
  terminal: Waits,
): Promise<Done<S>[]> {
  const line = new LiveLine(terminal);
  const progress = new Progress(tasks, line);
  const script = fileURLToPath(new URL('./replay-worker.js', import.meta.url));
  try {
    if (!existsSync(script)) return await runHere(study, tasks, terminal.signal, progress);
    return await runInThreads(study, tasks, script, terminal.signal, progress);
  } finally {
    line.end();
  }
}

class Progress {
  private readonly shares: number[];

  constructor(
    private readonly tasks: readonly ReplayTask<string>[],
    private readonly line: LiveLine,
  ) {
    this.shares = tasks.map(() => 0);
  }

  at(index: number, share: number): void {
    this.shares[index] = share;
    const { policy, seed, load } = this.tasks[index]!;
    const done = this.shares.reduce((sum, each) => sum + each, 0) / this.tasks.length;
    this.line.update(`${Math.floor(100 * done)} % done: ${policy} at load ${load}, seed ${seed}`);
  }
}

/** Where the program is not built (specs). */
async function runHere<S extends Study>(
  study: S,
  tasks: readonly TaskOf<S>[],
  signal: AbortSignal,
  progress: Progress,
): Promise<Done<S>[]> {
  const done: Done<S>[] = [];
  for (const [index, task] of tasks.entries()) {
    const steps = stepTask(study, task);
    let step = steps.next();
    for (; !step.done; step = steps.next()) {
      progress.at(index, step.value);
      await giveWay();
      if (signal.aborted) throw interrupted();
    }
    done.push({ task, outcome: step.value });
  }
  return done;
}

async function runInThreads<S extends Study>(
  study: S,
  tasks: readonly TaskOf<S>[],
  script: string,
  signal: AbortSignal,
  progress: Progress,
): Promise<Done<S>[]> {
  const count = Math.min(tasks.length, availableParallelism());
  const workers = Array.from({ length: count }, () => new Worker(script, { workerData: study }));
  const done: Done<S>[] = [];
  let next = 0;
  const drain = async (worker: Worker): Promise<void> => {
    for (let index = next++; index < tasks.length; index = next++) {
      const task = tasks[index]!;
      const outcome = await runIn<S>(worker, task, signal, (share) => progress.at(index, share));
      progress.at(index, 1);
      done[index] = { task, outcome };
    }
  };
  try {
    await Promise.all(workers.map(drain));
    return done;
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function runIn<S extends Study>(
  worker: Worker,
  task: TaskOf<S>,
  signal: AbortSignal,
  onShare: (share: number) => void,
): Promise<OutcomeOf<S>> {
  return new Promise((settle, reject) => {
    const onAbort = () => reject(interrupted());
    const onExit = () => reject(new FailedError('a thread of the replay ended by itself'));
    const onMessage = (answer: WorkerAnswer) => {
      if ('share' in answer) return onShare(answer.share);
      worker.off('message', onMessage).off('error', reject).off('exit', onExit);
      signal.removeEventListener('abort', onAbort);
      if ('outcome' in answer) settle(answer.outcome as OutcomeOf<S>);
      else reject(errorOf(answer));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    worker.on('message', onMessage).once('error', reject).once('exit', onExit);
    if (signal.aborted) onAbort();
    else worker.postMessage(task);
  });
}

function interrupted(): InterruptedError {
  return new InterruptedError('Nothing was measured to its end.');
}
