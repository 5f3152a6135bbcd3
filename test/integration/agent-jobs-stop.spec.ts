// The built agent stopping tasks: with a checkpoint that the next attempt resumes from, within its grace, when nobody can
// be heard, and while what it sends is lost on the way.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Checkpoint, type DesiredTask, parseManifest, type TaskCheckpoint, taskIdOf } from '#domain';
import { until } from '../../apps/agent/test/temporary-folder.ts';
import {
  ATTEMPT_ID,
  counting,
  isIn,
  JobWorld,
  odd,
  PREEMPTED,
  STOPS_TASKS,
  TASK_ID,
  taskOf,
} from './agent-jobs.fixture.ts';
import { buildAgent } from './agent-world.ts';

const NEXT_ATTEMPT_ID = ATTEMPT_ID.replace('f1001', 'f1002');

describe('an agent that stops tasks', () => {
  let world: JobWorld;
  beforeAll(() => buildAgent(), 60_000);
  beforeEach(async () => {
    world = new JobWorld();
    await world.start();
  }, 60_000);
  afterEach(() => world.stop(), 60_000);

  const checkpointsTold = () =>
    world.events
      .filter(({ kind }) => kind === 'checkpoint-saved')
      .map(({ checkpoint }) => checkpoint as TaskCheckpoint);
  const checkpointTold = () => until(() => checkpointsTold()[0], 'the event came', 30_000);
  const stopOnDisk = async () => {
    const file = join(world.stateFolder, 'jobs', ATTEMPT_ID, '0', 'state.json');
    return (JSON.parse(await readFile(file, 'utf8')) as { stop?: { atSeconds: number; isTold: boolean } }).stop;
  };
  const stepOf = (text: string) => Number(/step (\d+) of/.exec(text)?.[1]);
  async function run(
    task: DesiredTask,
    isReady: Parameters<JobWorld['waitForTask']>[1] = isIn('Running'),
  ): Promise<void> {
    world.want({ tasks: [task] });
    await world.startAgent(STOPS_TASKS);
    await world.waitForTask(task.taskId, isReady, 'is ready to be stopped');
  }
  const stopAll = (stop: DesiredTask['stop'] = PREEMPTED) =>
    world.want({ tasks: world.desired!.tasks.map((task) => ({ ...task, stop })) });
  const resumeOf = ({
    manifestDigest,
    sizeBytes,
    progress,
  }: Pick<Checkpoint, 'manifestDigest' | 'sizeBytes' | 'progress'>) => ({
    manifestDigest,
    sizeBytes,
    progress,
  });

  it('asks for a checkpoint, sends it, ends the task, and the next attempt goes on from there', async () => {
    await run(taskOf(counting(100, 50)), ({ progress }) => progress !== undefined);
    stopAll();
    const stopped = await world.waitForTask(TASK_ID, isIn('Stopped'), 'is stopped');
    const { checkpoint } = stopped;
    expect(stopped.reason).toBe(`preempted by job urgent. Saved: ${checkpoint!.progress}.`);
    expect(checkpoint!.ranSeconds).toBeLessThanOrEqual(stopped.ranSeconds);
    expect(await checkpointTold()).toEqual(checkpoint);
    expect(await world.processes()).toEqual([]);

    const next = taskOf(counting(100, 50), {
      attemptId: NEXT_ATTEMPT_ID,
      attempt: 2,
      epoch: 2,
      resumeFrom: resumeOf(checkpoint!),
    });
    world.want({ epoch: 2, tasks: [next] });
    await world.waitForTask(next.taskId, isIn('Succeeded'), 'succeeds');
    expect(await world.logOf(next.taskId)).toContain(`resumed from ${checkpoint!.progress}`);
    expect(stepOf(checkpoint!.progress)).toBeGreaterThan(1);
  }, 60_000);

  it('P20: one that does not save within its grace is killed, and what was saved last is told', async () => {
    await run(taskOf(odd('deaf'), { graceSeconds: 2 }));
    await until(async () => (await world.logOf(TASK_ID)).includes('deaf'), 'it has closed its ears');
    stopAll();
    const stopped = await world.waitForTask(TASK_ID, isIn('Stopped'), 'is stopped');
    expect(stopped).toMatchObject({ exitCode: 137, reason: 'preempted by job urgent. It saved no checkpoint.' });
    expect(await world.logOf(TASK_ID)).toContain('I do not hear you');
    expect(await world.processes()).toEqual([]);
  }, 60_000);

  it('one that saved by itself before it was killed is resumed from that', async () => {
    await run(
      taskOf(odd('saves', '300000'), {
        graceSeconds: 2,
        checkpoint: { mode: 'none', signal: 'SIGUSR1', intervalSeconds: null },
      }),
      ({ checkpoint }) => checkpoint !== undefined,
    );
    stopAll();
    const stopped = await world.waitForTask(TASK_ID, isIn('Stopped'), 'is stopped');
    expect(stopped.reason).toBe('preempted by job urgent. Saved: all of it.');
    expect(stopped.checkpoint).toMatchObject({ sequence: 1, sizeBytes: 300_000, progress: 'all of it' });
  }, 60_000);

  it('without a checkpoint it is ended at once; before it began, it never does', async () => {
    await run(taskOf(counting(600, 100)));
    const never = taskOf(counting(1, 1), { attemptId: NEXT_ATTEMPT_ID, jobId: NEXT_ATTEMPT_ID });
    const stop = { cause: 'cancelled', reason: 'cancelled by admin', wantsCheckpoint: false } as const;
    world.want({ tasks: [...world.desired!.tasks, never].map((task) => ({ ...task, stop })) });
    const stopped = await world.waitForTask(TASK_ID, isIn('Stopped'), 'is stopped');
    expect(stopped).toMatchObject({ exitCode: 143, reason: 'cancelled by admin. It saved no checkpoint.' });
    const other = await world.waitForTask(never.taskId, isIn('Stopped'), 'is stopped');
    expect([other.reason, other.ranSeconds]).toEqual(['It had not begun: cancelled by admin', 0]);
    expect(checkpointsTold()).toEqual([]);
  }, 60_000);

  it('one that finishes at the moment it is stopped has succeeded: its work is not done again', async () => {
    await run(taskOf([process.execPath, '-e', 'setTimeout(() => process.exit(0), 3_000)']));
    stopAll();
    expect(await world.waitForTask(TASK_ID, isIn('Succeeded'), 'succeeds')).toMatchObject({ exitCode: 0 });
  }, 60_000);

  it('asks at each interval too, by the signal where that is the contract', async () => {
    const checkpoint = { mode: 'signal', signal: 'SIGUSR2', intervalSeconds: 10 } as const;
    await run(taskOf(counting(600, 50), { checkpoint }));
    await checkpointTold();
    const isSaved: Parameters<JobWorld['waitForTask']>[1] = (task) =>
      task.checkpoint !== undefined && isIn('Running')(task);
    await world.waitForTask(TASK_ID, isSaved, 'has saved and runs on');
  }, 60_000);

  it('killed in the middle of a stop, the next agent goes on with it within the same grace', async () => {
    await run(taskOf(odd('deaf'), { graceSeconds: 8 }));
    await until(async () => (await world.logOf(TASK_ID)).includes('deaf'), 'it has closed its ears');
    stopAll();
    await world.waitForTask(TASK_ID, isIn('Stopping'), 'is stopping');
    const told = await until(async () => (await stopOnDisk())?.atSeconds, 'the stop is on disk');
    await world.killAgent('SIGKILL');
    await world.startAgent(STOPS_TASKS);
    const stopped = await world.waitForTask(TASK_ID, isIn('Stopped'), 'is stopped');
    expect(stopped.exitCode).toBe(137);
    expect((await stopOnDisk())?.atSeconds).toBe(told);
  }, 60_000);

  it('one that saves at every moment is ended all the same, with what it saved', async () => {
    await run(taskOf(counting(100_000, 5, '--save-every', '1')), ({ checkpoint }) => checkpoint !== undefined);
    stopAll();
    const stopped = await world.waitForTask(TASK_ID, isIn('Stopped'), 'is stopped');
    expect(stopped.reason).toBe(`preempted by job urgent. Saved: ${stopped.checkpoint!.progress}.`);
    expect(stopped.exitCode).toBe(143);
  }, 60_000);

  it('told to end by an agent that is killed then, an exit code of 0 is no success', async () => {
    await run(taskOf(odd('polite'), { checkpoint: { mode: 'none', signal: 'SIGUSR1', intervalSeconds: null } }));
    await until(async () => (await world.logOf(TASK_ID)).includes('polite'), 'it listens');
    stopAll();
    await until(async () => (await stopOnDisk())?.isTold, 'it is on disk that it is told to end');
    await world.killAgent('SIGKILL');
    await until(async () => (await world.processes()).length === 0, 'it has ended');
    await world.startAgent(STOPS_TASKS);
    const stopped = await world.waitForTask(TASK_ID, isIn('Stopped'), 'is stopped');
    expect([stopped.exitCode, stopped.outputDigest]).toEqual([0, undefined]);
  }, 60_000);

  it('P20: one that made pipes and folders of the files it is to write is ended all the same', async () => {
    await run(taskOf(odd('no-files'), { graceSeconds: 4 }));
    await until(async () => (await world.logOf(TASK_ID)).includes('no files'), 'they are made');
    stopAll();
    expect(await world.waitForTask(TASK_ID, isIn('Stopped'), 'is stopped')).toMatchObject({ exitCode: 143 });
  }, 60_000);

  it('members of a gang are ended once the first of them has saved', async () => {
    const members = [0, 1, 2].map((rank) => taskOf(counting(600, 100), { rank, worldSize: 3 }));
    world.want({ tasks: members });
    await world.startAgent(STOPS_TASKS);
    for (const { taskId } of members)
      await world.waitForTask(taskId, ({ progress }) => progress !== undefined, 'progresses');
    stopAll();
    for (const { taskId } of members) await world.waitForTask(taskId, isIn('Stopped'), 'is stopped');
    const byRank = world.lastReport!.tasks!.map(({ rank, checkpoint }) => [rank, checkpoint !== undefined]);
    expect(byRank.sort()).toEqual([
      [0, true],
      [1, false],
      [2, false],
    ]);
    await checkpointTold();
    expect(new Set(checkpointsTold().map(({ manifestDigest }) => manifestDigest)).size).toBe(1);
  }, 60_000);

  it('X01: out of contact it is ended before the centre may run it again; its checkpoint comes later', async () => {
    await run(
      taskOf(counting(600, 100), { stopAfterSilentSeconds: 12, graceSeconds: 6 }),
      ({ progress }) => progress !== undefined,
    );
    await world.killNats();
    await until(async () => (await world.processes()).length === 0, 'it is ended', 30_000);
    world.reports.length = 0;
    await world.restartNats();
    const stopped = await world.waitForTask(TASK_ID, isIn('Stopped'), 'is stopped');
    expect(stopped.reason).toMatch(
      /^It was ended here: the control plane was out of contact too long. Saved: step \d+ of 600\.$/,
    );
    expect(await checkpointTold()).toEqual(stopped.checkpoint);
  }, 60_000);

  it('X01: with the agent dead it is ended as well', async () => {
    await run(taskOf(counting(600, 100), { stopAfterSilentSeconds: 8, graceSeconds: 2 }));
    await world.killAgent('SIGKILL');
    await until(async () => (await world.processes()).length === 0, 'it is ended', 20_000);
    await world.startAgent(STOPS_TASKS);
    const stopped = await world.waitForTask(TASK_ID, isIn('Stopped'), 'is stopped');
    expect(stopped.reason).toContain('out of contact too long');
  }, 60_000);

  it('R8: what breaks on the way to the registry is sent again, from where it broke', async () => {
    await run(taskOf(odd('saves', '2000000')), isIn('Running'));
    world.uploadAnswers.push(
      (_incoming, response) => void response.writeHead(401).end(),
      (incoming) => incoming.socket.destroy(),
      (_incoming, response) => void response.writeHead(503).end(),
    );
    const task = await world.waitForTask(TASK_ID, ({ checkpoint }) => checkpoint !== undefined, 'saved');
    const files = parseManifest(world.blobs.get(task.checkpoint!.manifestDigest)!.toString())!;
    expect(files.map(({ path, sizeBytes }) => [path, sizeBytes])).toEqual([['state.bin', 2_000_000]]);
    expect(world.uploads).toEqual(
      [files[0]!.digest, task.checkpoint!.manifestDigest].map((digest) => `${ATTEMPT_ID} ${digest}`),
    );
  }, 60_000);

  it('R10: killed before a checkpoint is sent, the next agent sends it', async () => {
    let refused = 0;
    world.uploadAnswers = Array.from({ length: 1_000 }, () => (_incoming, response) => {
      refused += 1;
      response.writeHead(503).end();
    });
    await run(taskOf(odd('saves', '1000')), () => refused > 0);
    await world.killAgent('SIGKILL');
    world.uploadAnswers = [];
    expect(world.lastReport!.tasks![0]!.checkpoint).toBeUndefined();
    await world.startAgent(STOPS_TASKS);
    const { checkpoint } = await world.waitForTask(TASK_ID, (task) => task.checkpoint !== undefined, 'saved');
    expect(checkpoint).toMatchObject({ sequence: 1, sizeBytes: 1_000, progress: 'all of it' });
    expect(await checkpointTold()).toEqual(checkpoint);
  }, 60_000);

  it('a registry that refuses costs the checkpoint, not the task, and the report says why', async () => {
    world.uploadAnswers.push((_incoming, response) => void response.writeHead(413).end('too much'));
    await run(taskOf(odd('saves', '1000')), ({ reason }) => reason !== '');
    const task = world.lastReport!.tasks!.find(({ taskId }) => taskId === taskIdOf(ATTEMPT_ID, 0))!;
    expect([task.phase, task.checkpoint]).toEqual(['Running', undefined]);
    expect(task.reason).toBe('its checkpoint 1 is not saved: The registry answered 413 to an upload: too much.');
  }, 60_000);

  it('a checkpoint that is not in the registry any more keeps the attempt waiting, with the reason', async () => {
    const resumeFrom = { manifestDigest: 'a'.repeat(64), sizeBytes: 1, progress: '' };
    world.want({ tasks: [taskOf(counting(1, 1), { resumeFrom })] });
    await world.startAgent(STOPS_TASKS);
    const task = await world.waitForTask(TASK_ID, ({ reason }) => reason.includes('404'), 'waits');
    expect(task.reason).toBe(
      'its preparation failed and is tried again: The registry answered 404 for the checkpoint.',
    );
  }, 60_000);

  it('stopped with its tasks, an agent saves them first', async () => {
    await run(taskOf(counting(600, 100)), ({ progress }) => progress !== undefined);
    await world.killAgent('SIGTERM');
    expect(await world.processes()).toEqual([]);
    const [told] = world.endsTold(TASK_ID);
    expect([told!.phase, told!.checkpoint !== undefined]).toEqual(['Stopped', true]);
  }, 60_000);
});
