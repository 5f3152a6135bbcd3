// What specs of an agent's tasks share: a desired task with defaults, and the commands of test/fixtures/jobs.
import { join, resolve } from 'node:path';
import { type DesiredTask, type TaskReport, taskIdOf } from '#domain';
import { processesWith } from '../../apps/agent/src/state/processes.ts';
import { AgentWorld } from './agent-world.ts';

const programs = resolve(import.meta.dirname, '../fixtures/jobs');

export const JOB_ID = '01900000-0000-7000-8000-0000000f0001';
export const ATTEMPT_ID = '01900000-0000-7000-8000-0000000f1001';
export const TASK_ID = taskIdOf(ATTEMPT_ID, 0);

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

export function taskOf(command: readonly string[], change: Partial<DesiredTask> = {}): DesiredTask {
  const { attemptId = ATTEMPT_ID, rank = 0 } = change;
  return {
    taskId: taskIdOf(attemptId, rank),
    attemptId,
    jobId: JOB_ID,
    jobName: 'count',
    kind: 'command',
    attempt: 1,
    rank,
    worldSize: 1,
    epoch: 1,
    claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
    devices: [{ node: 'node-1', deviceIds: [`cpu-${rank}`] }],
    launcher: 'plain',
    command,
    environment: {},
    mounts: [],
    checkpoint: { mode: 'file', signal: 'SIGUSR1', intervalSeconds: null },
    graceSeconds: 20,
    resumeFrom: null,
    outputRequired: false,
    stop: null,
    stopAfterSilentSeconds: 300,
    ...change,
  };
}

/** An agent that leaves no processes when it stops. */
export const STOPS_TASKS = { jobs: { onShutdown: 'stop' }, shutdown: { drainSeconds: 1 } };

export const isIn = (phase: TaskReport['phase']) => (task: TaskReport) => task.phase === phase;

export class JobWorld extends AgentWorld {
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
