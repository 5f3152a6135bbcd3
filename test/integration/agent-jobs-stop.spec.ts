// The built agent stopping tasks: with a checkpoint that the next attempt resumes from, within its grace, when nobody can
// be heard, and while what it sends is lost on the way.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { type DesiredTask, parseManifest, type TaskCheckpoint, taskIdOf } from '#domain';
import { until } from '../../apps/agent/test/temporary-folder.ts';
import { counting, inWorld, isIn, type JobWorld, odd, PREEMPTED, STOPS_TASKS } from './agent-jobs.fixture.ts';
import { buildAgent } from './agent-world.ts';

const checkpointsTold = ({ events }: JobWorld) =>
  events.filter(({ kind }) => kind === 'checkpoint-saved').map(({ checkpoint }) => checkpoint as TaskCheckpoint);
const checkpointTold = (world: JobWorld) => until(() => checkpointsTold(world)[0], 'the event came', 30_000);
const stopOnDisk = async ({ stateFolder, attemptId }: JobWorld) => {
  const file = join(stateFolder, 'jobs', attemptId, '0', 'state.json');
  return (JSON.parse(await readFile(file, 'utf8')) as { stop?: { atSeconds: number; isTold: boolean } }).stop;
};
const stepOf = (text: string) => Number(/step (\d+) of/.exec(text)?.[1]);
const stopAll = (world: JobWorld, stop: DesiredTask['stop'] = PREEMPTED) =>
  world.want({ tasks: world.desired!.tasks.map((task) => ({ ...task, stop })) });
const resumeOf = ({ manifestDigest, sizeBytes, progress }: TaskCheckpoint) => ({ manifestDigest, sizeBytes, progress });

async function run(
  world: JobWorld,
  task: DesiredTask,
  isReady: Parameters<JobWorld['waitForTask']>[1] = isIn('Running'),
): Promise<void> {
  world.want({ tasks: [task] });
  await world.startAgent(STOPS_TASKS);
  await world.waitForTask(task.taskId, isReady, 'is ready to be stopped');
}

describe('an agent that stops tasks', () => {
  beforeAll(() => buildAgent(), 60_000);

  it.concurrent(
    'asks for a checkpoint, sends it, ends the task, and the next attempt goes on from there',
    inWorld(async (world) => {
      await run(world, world.taskOf(counting(100, 50)), ({ progress }) => progress !== undefined);
      stopAll(world);
      const stopped = await world.waitForTask(world.taskId, isIn('Stopped'), 'is stopped');
      const { checkpoint } = stopped;
      expect(stopped.reason).toBe(`preempted by job urgent. Saved: ${checkpoint!.progress}.`);
      expect(checkpoint!.ranSeconds).toBeLessThanOrEqual(stopped.ranSeconds);
      expect(await checkpointTold(world)).toEqual(checkpoint);
      expect(await world.processes()).toEqual([]);

      const next = world.taskOf(counting(100, 50), {
        attemptId: world.attemptIdOf(2),
        attempt: 2,
        epoch: 2,
        resumeFrom: resumeOf(checkpoint!),
      });
      world.want({ epoch: 2, tasks: [next] });
      await world.waitForTask(next.taskId, isIn('Succeeded'), 'succeeds');
      expect(await world.logOf(next.taskId)).toContain(`resumed from ${checkpoint!.progress}`);
      expect(stepOf(checkpoint!.progress)).toBeGreaterThan(1);
    }),
    180_000,
  );

  it.concurrent(
    'P20: one that does not save within its grace is killed, and what was saved last is told',
    inWorld(async (world) => {
      await run(world, world.taskOf(odd('deaf'), { graceSeconds: 2 }));
      await until(async () => (await world.logOf(world.taskId)).includes('deaf'), 'it has closed its ears');
      stopAll(world);
      const stopped = await world.waitForTask(world.taskId, isIn('Stopped'), 'is stopped');
      expect(stopped).toMatchObject({ exitCode: 137, reason: 'preempted by job urgent. It saved no checkpoint.' });
      expect(await world.logOf(world.taskId)).toContain('I do not hear you');
      expect(await world.processes()).toEqual([]);
    }),
    180_000,
  );

  it.concurrent(
    'one that saved by itself before it was killed is resumed from that',
    inWorld(async (world) => {
      await run(
        world,
        world.taskOf(odd('saves', '300000'), {
          graceSeconds: 2,
          checkpoint: { mode: 'none', signal: 'SIGUSR1', intervalSeconds: null },
        }),
        ({ checkpoint }) => checkpoint !== undefined,
      );
      stopAll(world);
      const stopped = await world.waitForTask(world.taskId, isIn('Stopped'), 'is stopped');
      expect(stopped.reason).toBe('preempted by job urgent. Saved: all of it.');
      expect(stopped.checkpoint).toMatchObject({ sequence: 1, sizeBytes: 300_000, progress: 'all of it' });
    }),
    180_000,
  );

  it.concurrent(
    'without a checkpoint it is ended at once; before it began, it never does',
    inWorld(async (world) => {
      await run(world, world.taskOf(counting(600, 100)));
      const never = world.taskOf(counting(1, 1), { attemptId: world.attemptIdOf(2), jobId: world.attemptIdOf(2) });
      const stop = { cause: 'cancelled', reason: 'cancelled by admin', wantsCheckpoint: false } as const;
      world.want({ tasks: [...world.desired!.tasks, never].map((task) => ({ ...task, stop })) });
      const stopped = await world.waitForTask(world.taskId, isIn('Stopped'), 'is stopped');
      expect(stopped).toMatchObject({ exitCode: 143, reason: 'cancelled by admin. It saved no checkpoint.' });
      const other = await world.waitForTask(never.taskId, isIn('Stopped'), 'is stopped');
      expect([other.reason, other.ranSeconds]).toEqual(['It had not begun: cancelled by admin', 0]);
      expect(checkpointsTold(world)).toEqual([]);
    }),
    180_000,
  );

  it.concurrent(
    'one that finishes at the moment it is stopped has succeeded: its work is not done again',
    inWorld(async (world) => {
      await run(world, world.taskOf([process.execPath, '-e', 'setTimeout(() => process.exit(0), 3_000)']));
      stopAll(world);
      expect(await world.waitForTask(world.taskId, isIn('Succeeded'), 'succeeds')).toMatchObject({ exitCode: 0 });
    }),
    180_000,
  );

  it.concurrent(
    'asks at each interval too, by the signal where that is the contract',
    inWorld(async (world) => {
      const checkpoint = { mode: 'signal', signal: 'SIGUSR2', intervalSeconds: 10 } as const;
      await run(world, world.taskOf(counting(600, 50), { checkpoint }));
      await checkpointTold(world);
      const isSaved: Parameters<JobWorld['waitForTask']>[1] = (task) =>
        task.checkpoint !== undefined && isIn('Running')(task);
      await world.waitForTask(world.taskId, isSaved, 'has saved and runs on');
    }),
    180_000,
  );

  it.concurrent(
    'killed in the middle of a stop, the next agent goes on with it within the same grace',
    inWorld(async (world) => {
      await run(world, world.taskOf(odd('deaf'), { graceSeconds: 8 }));
      await until(async () => (await world.logOf(world.taskId)).includes('deaf'), 'it has closed its ears');
      stopAll(world);
      await world.waitForTask(world.taskId, isIn('Stopping'), 'is stopping');
      const told = await until(async () => (await stopOnDisk(world))?.atSeconds, 'the stop is on disk');
      await world.killAgent('SIGKILL');
      await world.startAgent(STOPS_TASKS);
      const stopped = await world.waitForTask(world.taskId, isIn('Stopped'), 'is stopped');
      expect(stopped.exitCode).toBe(137);
      expect((await stopOnDisk(world))?.atSeconds).toBe(told);
    }),
    180_000,
  );

  it.concurrent(
    'one that saves at every moment is ended all the same, with what it saved',
    inWorld(async (world) => {
      await run(
        world,
        world.taskOf(counting(100_000, 5, '--save-every', '1')),
        ({ checkpoint }) => checkpoint !== undefined,
      );
      stopAll(world);
      const stopped = await world.waitForTask(world.taskId, isIn('Stopped'), 'is stopped');
      expect(stopped.reason).toBe(`preempted by job urgent. Saved: ${stopped.checkpoint!.progress}.`);
      expect(stopped.exitCode).toBe(143);
    }),
    180_000,
  );

  it.concurrent(
    'told to end by an agent that is killed then, an exit code of 0 is no success',
    inWorld(async (world) => {
      await run(
        world,
        world.taskOf(odd('polite'), { checkpoint: { mode: 'none', signal: 'SIGUSR1', intervalSeconds: null } }),
      );
      await until(async () => (await world.logOf(world.taskId)).includes('polite'), 'it listens');
      stopAll(world);
      await until(async () => (await world.logOf(world.taskId)).includes('I hear you'), 'it is told to end');
      expect((await stopOnDisk(world))?.isTold).toBe(true);
      await world.killAgent('SIGKILL');
      await until(async () => (await world.processes()).length === 0, 'it has ended');
      await world.startAgent(STOPS_TASKS);
      const stopped = await world.waitForTask(world.taskId, isIn('Stopped'), 'is stopped');
      expect([stopped.exitCode, stopped.outputDigest]).toEqual([0, undefined]);
    }),
    180_000,
  );

  it.concurrent(
    'P20: one that made pipes and folders of the files it is to write is ended all the same',
    inWorld(async (world) => {
      await run(world, world.taskOf(odd('no-files'), { graceSeconds: 4 }));
      await until(async () => (await world.logOf(world.taskId)).includes('no files'), 'they are made');
      stopAll(world);
      expect(await world.waitForTask(world.taskId, isIn('Stopped'), 'is stopped')).toMatchObject({ exitCode: 143 });
    }),
    180_000,
  );

  it.concurrent(
    'members of a gang are ended once the first of them has saved',
    inWorld(async (world) => {
      const members = [0, 1, 2].map((rank) => world.taskOf(counting(600, 100), { rank, worldSize: 3 }));
      world.want({ tasks: members });
      await world.startAgent(STOPS_TASKS);
      for (const { taskId } of members)
        await world.waitForTask(taskId, ({ progress }) => progress !== undefined, 'progresses');
      stopAll(world);
      for (const { taskId } of members) await world.waitForTask(taskId, isIn('Stopped'), 'is stopped');
      const byRank = world.lastReport!.tasks!.map(({ rank, checkpoint }) => [rank, checkpoint !== undefined]);
      expect(byRank.sort()).toEqual([
        [0, true],
        [1, false],
        [2, false],
      ]);
      await checkpointTold(world);
      expect(new Set(checkpointsTold(world).map(({ manifestDigest }) => manifestDigest)).size).toBe(1);
    }),
    180_000,
  );

  it.concurrent(
    'X01: out of contact it is ended before the centre may run it again; its checkpoint comes later',
    inWorld(async (world) => {
      await run(
        world,
        world.taskOf(counting(600, 100), { stopAfterSilentSeconds: 12, graceSeconds: 6 }),
        ({ progress }) => progress !== undefined,
      );
      await world.killNats();
      await until(async () => (await world.processes()).length === 0, 'it is ended', 30_000);
      world.reports.length = 0;
      await world.restartNats();
      const stopped = await world.waitForTask(world.taskId, isIn('Stopped'), 'is stopped');
      expect(stopped.reason).toMatch(
        /^It was ended here: the control plane was out of contact too long. Saved: step \d+ of 600\.$/,
      );
      expect(await checkpointTold(world)).toEqual(stopped.checkpoint);
    }),
    180_000,
  );

  it.concurrent(
    'X01: with the agent dead it is ended as well',
    inWorld(async (world) => {
      await run(world, world.taskOf(counting(600, 100), { stopAfterSilentSeconds: 8, graceSeconds: 2 }));
      await world.killAgent('SIGKILL');
      await until(async () => (await world.processes()).length === 0, 'it is ended', 20_000);
      await world.startAgent(STOPS_TASKS);
      const stopped = await world.waitForTask(world.taskId, isIn('Stopped'), 'is stopped');
      expect(stopped.reason).toContain('out of contact too long');
    }),
    180_000,
  );

  it.concurrent(
    'R8: what breaks on the way to the registry is sent again, from where it broke',
    inWorld(async (world) => {
      await run(world, world.taskOf(odd('saves', '2000000')), isIn('Running'));
      world.uploadAnswers.push(
        (_incoming, response) => void response.writeHead(401).end(),
        (incoming) => incoming.socket.destroy(),
        (_incoming, response) => void response.writeHead(503).end(),
      );
      const task = await world.waitForTask(world.taskId, ({ checkpoint }) => checkpoint !== undefined, 'saved');
      const files = parseManifest(world.blobs.get(task.checkpoint!.manifestDigest)!.toString())!;
      expect(files.map(({ path, sizeBytes }) => [path, sizeBytes])).toEqual([['state.bin', 2_000_000]]);
      expect(world.uploads).toEqual(
        [files[0]!.digest, task.checkpoint!.manifestDigest].map((digest) => `${world.attemptId} ${digest}`),
      );
    }),
    180_000,
  );

  it.concurrent(
    'R10: killed before a checkpoint is sent, the next agent sends it',
    inWorld(async (world) => {
      let refused = 0;
      world.uploadAnswers = Array.from({ length: 1_000 }, () => (_incoming, response) => {
        refused += 1;
        response.writeHead(503).end();
      });
      await run(world, world.taskOf(odd('saves', '1000')), () => refused > 0);
      await world.killAgent('SIGKILL');
      world.uploadAnswers = [];
      expect(world.lastReport!.tasks![0]!.checkpoint).toBeUndefined();
      await world.startAgent(STOPS_TASKS);
      const { checkpoint } = await world.waitForTask(world.taskId, (task) => task.checkpoint !== undefined, 'saved');
      expect(checkpoint).toMatchObject({ sequence: 1, sizeBytes: 1_000, progress: 'all of it' });
      expect(await checkpointTold(world)).toEqual(checkpoint);
    }),
    180_000,
  );

  it.concurrent(
    'a registry that refuses costs the checkpoint, not the task, and the report says why',
    inWorld(async (world) => {
      world.uploadAnswers.push((_incoming, response) => void response.writeHead(413).end('too much'));
      await run(world, world.taskOf(odd('saves', '1000')), ({ reason }) => reason !== '');
      const task = world.lastReport!.tasks!.find(({ taskId }) => taskId === taskIdOf(world.attemptId, 0))!;
      expect([task.phase, task.checkpoint]).toEqual(['Running', undefined]);
      expect(task.reason).toBe('its checkpoint 1 is not saved: The registry answered 413 to an upload: too much.');
    }),
    180_000,
  );

  it.concurrent(
    'one whose checkpoint the registry has no more fails, with the reason, and its devices are free',
    inWorld(async (world) => {
      const resumeFrom = { manifestDigest: 'a'.repeat(64), sizeBytes: 1, progress: '' };
      world.want({ tasks: [world.taskOf(counting(1, 1), { resumeFrom })] });
      await world.startAgent(STOPS_TASKS);
      const waits = await world.waitForTask(world.taskId, ({ reason }) => reason.includes('404'), 'waits');
      expect([waits.phase, waits.reason]).toEqual([
        'Pending',
        'its preparation failed and is tried again: The registry answered 404 for the checkpoint.',
      ]);
      const failed = await world.waitForTask(world.taskId, isIn('Failed'), 'fails');
      const reason = 'Its checkpoint is lost: The registry answered 404 for the checkpoint.';
      expect(failed).toMatchObject({ reason, ranSeconds: 0 });
      await until(() => world.endsTold(world.taskId).length === 1, 'an event tells of it');
      expect(world.blobRequests).toHaveLength(4);
    }),
    180_000,
  );

  it.concurrent(
    'stopped with its tasks, an agent saves them first',
    inWorld(async (world) => {
      await run(world, world.taskOf(counting(600, 100)), ({ progress }) => progress !== undefined);
      await world.killAgent('SIGTERM');
      expect(await world.processes()).toEqual([]);
      const [told] = world.endsTold(world.taskId);
      expect([told!.phase, told!.checkpoint !== undefined]).toEqual(['Stopped', true]);
    }),
    180_000,
  );
});
