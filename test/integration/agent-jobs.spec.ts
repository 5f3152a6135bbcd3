// The built agent running tasks of jobs as real processes: to their end, stopped, killed on the way, and cut off.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { parseManifest, type TaskReport, taskIdOf } from '#domain';
import { processesWith, processStartTicks } from '../../apps/agent/src/state/processes.ts';
import { until } from '../../apps/agent/test/temporary-folder.ts';
import { ATTEMPT_ID, counting, JOB_ID, odd, PREEMPTED, TASK_ID, taskOf } from './agent-jobs.fixture.ts';
import { AgentWorld, buildAgent } from './agent-world.ts';

const AGENT = { jobs: { onShutdown: 'stop' }, shutdown: { drainSeconds: 1 } };
const isIn = (phase: TaskReport['phase']) => (task: TaskReport) => task.phase === phase;

describe('an agent that runs tasks', () => {
  let world: AgentWorld;
  beforeAll(() => buildAgent(), 60_000);
  beforeEach(async () => {
    world = new AgentWorld();
    await world.start();
  }, 60_000);
  afterEach(() => world.stop(), 60_000);

  const isAlive = async (pid: number) => (await processStartTicks(pid)) !== null;
  const ended = (taskId: string) =>
    world.events.filter(({ kind, task }) => kind === 'task-ended' && (task as TaskReport).taskId === taskId);
  /** Processes of tasks of this world, runners too. */
  const processes = async () =>
    (await processesWith('ATOLL_TASK_DIR'))!.filter(({ value }) => value.startsWith(world.stateFolder));
  const logOf = async (taskId: string) => {
    const answer = await world.askLog({ taskId, offset: 0, bytesMax: 65_536 });
    return answer.found ? answer.text : answer.reason;
  };

  it('runs one to its end: progress, log, output in the registry, and an event that tells of it', async () => {
    world.want({ tasks: [taskOf(counting(30, 100), { outputRequired: true })] });
    await world.startAgent(AGENT);
    await world.waitForTask(
      TASK_ID,
      ({ phase, progress }) => phase === 'Running' && progress !== undefined,
      'progresses',
    );
    const task = await world.waitForTask(TASK_ID, isIn('Succeeded'), 'succeeds');
    expect(task).toMatchObject({ jobId: JOB_ID, attemptId: ATTEMPT_ID, exitCode: 0, progress: 'step 30 of 30' });
    expect(task.ranSeconds).toBeGreaterThan(1);
    const [file] = parseManifest(world.blobs.get(task.outputDigest!)!.toString())!;
    expect(file!.path).toBe('result.txt');
    expect(world.blobs.get(file!.digest)!.toString()).toBe('counted from 0 to 30\n');
    expect(world.uploads).toEqual([`${ATTEMPT_ID} ${file!.digest}`, `${ATTEMPT_ID} ${task.outputDigest}`]);
    expect(ended(TASK_ID).map(({ task: told }) => told)).toEqual([
      expect.objectContaining({ outputDigest: task.outputDigest }),
    ]);
    expect(await logOf(TASK_ID)).toContain('done after step 30 of 30');
    expect(await processes()).toEqual([]);
  }, 60_000);

  it('tells the exit code and the last words of one that fails, and never starts it again', async () => {
    world.want({ tasks: [taskOf(counting(2, 10, '--exit', '3'))] });
    await world.startAgent(AGENT);
    const task = await world.waitForTask(TASK_ID, isIn('Failed'), 'fails');
    expect(task.exitCode).toBe(3);
    expect(task.reason).toBe('It ended with code 3; its last words: done after step 2 of 2');
    world.want({});
    await until(() => world.lastReport?.revision === world.desired!.revision, 'the next document is applied');
    expect((await logOf(TASK_ID)).match(/counts to/g)).toHaveLength(1);
  }, 60_000);
});
