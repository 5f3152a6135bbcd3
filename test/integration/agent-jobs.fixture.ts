// What specs of an agent's tasks share: a desired task with defaults, and the commands of test/fixtures/jobs.
import { randomUUID } from 'node:crypto';
import { join, resolve } from 'node:path';
import { type DesiredTask, type TaskReport, taskIdOf } from '#domain';
import { processesWith } from '../../apps/agent/src/state/processes.ts';
import { AgentWorld } from './agent-world.ts';

const programs = resolve(import.meta.dirname, '../fixtures/jobs');

export const JOB_ID = '01900000-0000-7000-8000-0000000f0001';

/** Counts `steps` steps of `stepMs`; see the program. */
export function counting(steps: number, stepMs: number, ...others: string[]): string[] {
  return [
    process.execPath,
    join(programs, 'count.mjs'),
    '--steps',
    String(steps),
    '--step-ms',
    String(stepMs),
    ...others,
  ];
}

export function odd(mode: string, ...others: string[]): string[] {
  return [process.execPath, join(programs, 'odd.mjs'), mode, ...others];
}

const PLAIN_TASK = {
  jobId: JOB_ID,
  jobName: 'count',
  kind: 'command',
  attempt: 1,
  worldSize: 1,
  epoch: 1,
  claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
  launcher: 'plain',
  environment: {},
  mounts: [],
  checkpoint: { mode: 'file', signal: 'SIGUSR1', intervalSeconds: null },
  graceSeconds: 20,
  resumeFrom: null,
  outputRequired: false,
  stop: null,
  stopAfterSilentSeconds: 300,
} as const;

const devicesOf = (rank: number) => ({ devices: [{ node: 'node-1', deviceIds: [`cpu-${rank}`] }] });

/** An agent that leaves no processes when it stops. */
export const STOPS_TASKS = { jobs: { onShutdown: 'stop' }, shutdown: { drainSeconds: 1 } };

export const isIn = (phase: TaskReport['phase']) => (task: TaskReport) => task.phase === phase;

export class JobWorld extends AgentWorld {
  /** Its own: worlds are side by side, and where agents may make cgroups those are named after tasks. */
  private readonly salt = randomUUID().slice(0, -4);
  readonly attemptId = this.attemptIdOf(1);
  readonly taskId = taskIdOf(this.attemptId, 0);

  attemptIdOf(number: number): string {
    return `${this.salt}100${number}`;
  }

  taskOf(command: readonly string[], change: Partial<DesiredTask> = {}): DesiredTask {
    const { attemptId = this.attemptId, rank = 0 } = change;
    return {
      ...PLAIN_TASK,
      taskId: taskIdOf(attemptId, rank),
      attemptId,
      rank,
      command,
      ...devicesOf(rank),
      ...change,
    };
  }

  /** What events told of the end of a task; an event may come more than once. */
  endsTold(taskId: string): TaskReport[] {
    return [...new Map(this.events.map((event) => [event.id, event])).values()]
      .filter(({ kind }) => kind === 'task-ended')
      .map(({ task }) => task as TaskReport)
      .filter((task) => task.taskId === taskId);
  }

  /** Processes of tasks of this world, runners too. */
  async processes(): Promise<{ pid: number; value: string }[]> {
    return (await processesWith('ATOLL_TASK_DIR'))!.filter(({ value }) => value.startsWith(this.stateFolder));
  }

  /** The first 64 KiB. */
  async logOf(taskId: string): Promise<string> {
    const answer = await this.askLog({ taskId, offset: 0, bytesMax: 65_536 });
    return answer.found ? answer.text : answer.reason;
  }

  /** What is left of a world that failed must not outlive it. */
  override async stop(): Promise<void> {
    await super.stop();
    for (const { pid } of await this.processes()) process.kill(pid, 'SIGKILL');
  }
}

export const PREEMPTED = { cause: 'preempted', reason: 'preempted by job urgent', wantsCheckpoint: true } as const;

/** The body of a spec in a world of its own, so that specs that mostly wait can wait side by side. */
export function inWorld(body: (world: JobWorld) => Promise<void>): () => Promise<void> {
  return async () => {
    const world = new JobWorld();
    await world.start();
    try {
      await body(world);
    } finally {
      await world.stop();
    }
  };
}
