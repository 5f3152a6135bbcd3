// The built agent running tasks of jobs as real processes: to their end, killed on the way, and with commands that do not
// behave.
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { parseManifest, type TaskReport, taskIdOf } from '#domain';
import { environmentOf, processStartTicks } from '../../apps/agent/src/state/processes.ts';
import { until } from '../../apps/agent/test/temporary-folder.ts';
import { counting, inWorld, isIn, JOB_ID, type JobWorld, odd, STOPS_TASKS } from './agent-jobs.fixture.ts';
import { buildAgent } from './agent-world.ts';

describe('an agent that runs tasks', () => {
  beforeAll(() => buildAgent(), 60_000);

  it.concurrent(
    'runs one to its end: progress, log, output in the registry, and an event that tells of it',
    inWorld(async (world) => {
      world.want({ tasks: [world.taskOf(counting(30, 100), { outputRequired: true })] });
      await world.startAgent(STOPS_TASKS);
      const running = await world.waitForTask(world.taskId, ({ progress }) => progress !== undefined, 'progresses');
      expect(running).toMatchObject({ phase: 'Running', processId: expect.any(Number) });
      const task = await world.waitForTask(world.taskId, isIn('Succeeded'), 'succeeds');
      expect(task).toMatchObject({ jobId: JOB_ID, attemptId: world.attemptId, exitCode: 0, progress: 'step 30 of 30' });
      expect(task.ranSeconds).toBeGreaterThan(2);
      const [file] = parseManifest(world.blobs.get(task.outputDigest!)!.toString())!;
      expect(file!.path).toBe('result.txt');
      expect(world.blobs.get(file!.digest)!.toString()).toBe('counted from 0 to 30\n');
      expect(world.uploads).toEqual([`${world.attemptId} ${file!.digest}`, `${world.attemptId} ${task.outputDigest}`]);
      expect(world.endsTold(world.taskId)).toEqual([expect.objectContaining({ outputDigest: task.outputDigest })]);
      expect(await world.logOf(world.taskId)).toContain('done after step 30 of 30');
      expect(await world.processes()).toEqual([]);
    }),
    180_000,
  );

  it.concurrent(
    'tells the exit code and the last words of one that fails, and never starts it again',
    inWorld(async (world) => {
      world.want({ tasks: [world.taskOf(counting(2, 10, '--exit', '3'))] });
      await world.startAgent(STOPS_TASKS);
      const task = await world.waitForTask(world.taskId, isIn('Failed'), 'fails');
      expect(task.exitCode).toBe(3);
      expect(task.reason).toBe('It ended with code 3; its last words: done after step 2 of 2');
      world.want({});
      await until(() => world.lastReport?.revision === world.desired!.revision, 'the next document is applied');
      await world.killAgent('SIGKILL');
      world.reports.length = 0;
      await world.startAgent(STOPS_TASKS);
      expect(await world.waitForTask(world.taskId, () => true, 'is told of')).toMatchObject({
        phase: 'Failed',
        exitCode: 3,
      });
      expect((await world.logOf(world.taskId)).match(/counts to/g)).toHaveLength(1);
    }),
    180_000,
  );

  it.concurrent(
    'R10: killed, it adopts what runs: the same process, all of its time and its log, never a second start',
    inWorld(async (world) => {
      // Long enough to be still running when a slow machine has an agent again.
      world.want({ tasks: [world.taskOf(counting(150, 100))] });
      await world.startAgent(STOPS_TASKS);
      const before = await world.waitForTask(world.taskId, ({ progress }) => progress !== undefined, 'progresses');
      await world.killAgent('SIGKILL');
      world.reports.length = 0;
      await world.startAgent(STOPS_TASKS);
      const after = await world.waitForTask(world.taskId, isIn('Running'), 'runs');
      expect(after.processId).toBe(before.processId);
      expect(after.ranSeconds).toBeGreaterThan(before.ranSeconds);
      const done = await world.waitForTask(world.taskId, isIn('Succeeded'), 'succeeds');
      expect(done.ranSeconds).toBeGreaterThan(15);
      const log = await world.logOf(world.taskId);
      expect(log.match(/counts to/g)).toHaveLength(1);
      expect(log.match(/atoll: progress/g)).toHaveLength(150);
    }),
    180_000,
  );

  it.concurrent(
    'R10: one that ended while no agent was there has its exit code and its output told by the next one',
    inWorld(async (world) => {
      world.want({ tasks: [world.taskOf(counting(10, 100, '--exit', '0'))] });
      await world.startAgent(STOPS_TASKS);
      await world.waitForTask(world.taskId, isIn('Running'), 'runs');
      await world.killAgent('SIGKILL');
      await until(async () => (await world.processes()).length === 0, 'it has ended');
      await world.startAgent(STOPS_TASKS);
      const task = await world.waitForTask(world.taskId, isIn('Succeeded'), 'succeeds');
      expect([task.exitCode, typeof task.outputDigest]).toEqual([0, 'string']);
    }),
    180_000,
  );

  it.concurrent(
    'a task whose processes all vanished has failed, and is not run again',
    inWorld(async (world) => {
      world.want({ tasks: [world.taskOf(counting(600, 100))] });
      await world.startAgent(STOPS_TASKS);
      await world.waitForTask(world.taskId, isIn('Running'), 'runs');
      await world.killAgent('SIGKILL');
      for (const { pid } of await world.processes()) process.kill(pid, 'SIGKILL');
      await world.startAgent(STOPS_TASKS);
      const task = await world.waitForTask(world.taskId, isIn('Failed'), 'fails');
      expect(task.reason).toContain('left no exit code');
      expect(await world.processes()).toEqual([]);
    }),
    180_000,
  );

  it.concurrent(
    'a command without its environment is ended with its runner, before the task has failed',
    inWorld(async (world) => {
      const command = ['env', '-i', process.execPath, '-e', 'setInterval(() => undefined, 1_000)'];
      world.want({ tasks: [world.taskOf(command)] });
      await world.startAgent(STOPS_TASKS);
      const { processId } = await world.waitForTask(world.taskId, ({ processId: id }) => id !== undefined, 'runs');
      await until(async () => (await environmentOf(processId!, 'ATOLL_TASK_DIR')) === null, 'it has no environment');
      for (const { pid } of await world.processes()) process.kill(pid, 'SIGKILL');
      await world.waitForTask(world.taskId, isIn('Failed'), 'fails');
      expect(await processStartTicks(processId!)).toBeNull();
    }),
    180_000,
  );

  it.concurrent(
    'three members get their ranks, one rendezvous and a folder to share',
    inWorld(async (world) => {
      const members = [0, 1, 2].map((rank) => world.taskOf(odd('environment'), { rank, worldSize: 3 }));
      world.want({ tasks: members });
      await world.startAgent(STOPS_TASKS);
      for (const { taskId } of members) await world.waitForTask(taskId, isIn('Succeeded'), 'succeeds');
      const environments = await Promise.all(
        members.map(async ({ taskId }) => JSON.parse(await world.logOf(taskId)) as Record<string, string>),
      );
      const of = (name: string) => environments.map((each) => each[name]);
      expect([of('RANK'), of('ATOLL_RANK'), of('WORLD_SIZE')]).toEqual([
        ['0', '1', '2'],
        ['0', '1', '2'],
        ['3', '3', '3'],
      ]);
      for (const name of ['MASTER_PORT', 'ATOLL_CHECKPOINT_DIR', 'ATOLL_OUTPUT_DIR']) {
        expect([name, new Set(of(name)).size]).toEqual([name, 1]);
      }
      expect(of('ATOLL_DEVICES')).toEqual(['cpu-0', 'cpu-1', 'cpu-2']);
      expect(new Set(of('ATOLL_PROGRESS_FILE')).size).toBe(3);
    }),
    180_000,
  );

  it.concurrent(
    'a command finds its mount, what it was told, and nothing of the agent’s own',
    inWorld(async (world) => {
      const version = world.publishVersion(1, 'weights', { 'config.json': '{}' });
      const task = world.taskOf(odd('environment'), {
        environment: { LEARNING_RATE: '0.1', ATOLL_RANK: '7' },
        mounts: [{ name: 'base', versionDigest: version.digest }],
      });
      world.want({ versions: [version], tasks: [task] });
      await world.startAgent(STOPS_TASKS);
      await world.waitForTask(world.taskId, isIn('Succeeded'), 'succeeds');
      const environment = JSON.parse(await world.logOf(world.taskId)) as Record<string, string>;
      expect(environment).toMatchObject({ LEARNING_RATE: '0.1', ATOLL_RANK: '0', ATOLL_RESUME_DIR: '' });
      expect(environment.ATOLL_BASE_DIR).toBe(join(world.stateFolder, 'jobs', world.attemptId, '0', 'mounts', 'base'));
      // The agent of this test has it, as every process that Jest starts.
      expect(environment).not.toHaveProperty('NODE_OPTIONS');
    }),
    180_000,
  );

  it.concurrent(
    'X01: of an older epoch or an older attempt than one that was seen here, it is refused',
    inWorld(async (world) => {
      const newer = world.taskOf(counting(1, 1), { attempt: 4, epoch: 4 });
      world.want({ epoch: 4, tasks: [newer] });
      await world.startAgent(STOPS_TASKS);
      await world.waitForTask(world.taskId, isIn('Succeeded'), 'succeeds');
      const olderEpoch = world.taskOf(counting(1, 1), {
        attemptId: world.attemptIdOf(3),
        attempt: 5,
        epoch: 3,
      });
      const olderAttempt = world.taskOf(counting(1, 1), {
        attemptId: world.attemptIdOf(2),
        attempt: 3,
        epoch: 4,
      });
      world.want({ tasks: [olderEpoch, olderAttempt] });
      const refused = await world.waitForTask(olderEpoch.taskId, isIn('Refused'), 'is refused');
      expect(refused.reason).toBe('it is of epoch 3, and one of epoch 4 of this job was seen here');
      await world.waitForTask(olderAttempt.taskId, isIn('Refused'), 'is refused');
      await until(() => world.endsTold(olderAttempt.taskId).length === 1, 'an event tells of it');
    }),
    180_000,
  );

  it.concurrent(
    'what no document names any more is ended, and its folders go',
    inWorld(async (world) => {
      world.want({ tasks: [world.taskOf(counting(600, 100))] });
      await world.startAgent(STOPS_TASKS);
      await world.waitForTask(world.taskId, isIn('Running'), 'runs');
      await until(async () => (await world.logOf(world.taskId)).includes('counts to'), 'its log has begun');
      world.want({ tasks: [] });
      await until(() => world.lastReport?.tasks?.length === 0, 'it is not told of any more');
      expect(await world.processes()).toEqual([]);
      expect(world.endsTold(world.taskId)).toEqual([]);
      expect(await world.logOf(world.taskId)).toContain('counts to');
    }),
    180_000,
  );

  it.concurrent(
    'binds devices by itself where the centre did not: the third of three waits for two',
    inWorld(async (world) => {
      const jobs = [1, 2, 3].map((number) =>
        world.taskOf(counting(number === 1 ? 60 : 600, 100), {
          attemptId: world.attemptIdOf(number),
          jobId: JOB_ID.replace('f0001', `f000${number}`),
          devices: null,
        }),
      );
      world.want({ tasks: jobs.slice(0, 2) });
      const devices = [0, 1].map((index) => ({ id: `cpu-${index}`, deviceType: 'cpu', memoryBytes: 1_000 }));
      await world.startAgent({ ...STOPS_TASKS, inventory: { nodes: [{ name: 'node-1', devices }] } });
      const [first, second, third] = jobs;
      await world.waitForTask(second!.taskId, isIn('Running'), 'runs');
      const { devices: freed } = await world.waitForTask(first!.taskId, isIn('Running'), 'runs');
      world.want({ tasks: jobs });
      const waiting = await world.waitForTask(third!.taskId, ({ reason }) => reason !== '', 'waits');
      expect([waiting.phase, waiting.reason]).toEqual(['Pending', 'waits for 1 free cpu within one node']);
      await world.waitForTask(first!.taskId, isIn('Succeeded'), 'succeeds');
      const running = await world.waitForTask(third!.taskId, isIn('Running'), 'runs');
      expect(running.devices).toEqual(freed);
    }),
    180_000,
  );
});

describe('commands that do not behave', () => {
  beforeAll(() => buildAgent(), 60_000);

  it.concurrent.each<[string, Parameters<JobWorld['taskOf']>, Partial<TaskReport>]>([
    [
      'does not exist',
      [['no-such-program', '--now']],
      { exitCode: 127, reason: 'The command no-such-program does not exist on this machine.' },
    ],
    [
      'leaves no output though it must',
      [[process.execPath, '-e', ''], { outputRequired: true }],
      { exitCode: 0, reason: 'It ended without a file in ATOLL_OUTPUT_DIR, and its output is required.' },
    ],
    [
      'leaves a link out of its output folder',
      [odd('links-out')],
      {
        reason:
          'Its command ended well, but its output could not be kept: "secret.txt" is a link that leads out of the folder.',
      },
    ],
    [
      'is ended by a signal',
      [[process.execPath, '-e', 'process.kill(process.pid, "SIGKILL")']],
      { exitCode: 137, reason: 'It was ended by SIGKILL (the machine may have run out of memory).' },
    ],
  ])('one that %s', (_case, [command, change], want) =>
    inWorld(async (world) => {
      world.want({ tasks: [world.taskOf(command, change)] });
      await world.startAgent(STOPS_TASKS);
      expect(await world.waitForTask(world.taskId, isIn('Failed'), 'fails')).toMatchObject(want);
    })(),
  );

  it.concurrent(
    'children that outlive it end with it, those in a session of their own too',
    inWorld(async (world) => {
      world.want({ tasks: [world.taskOf(odd('forks'))] });
      await world.startAgent(STOPS_TASKS);
      await world.waitForTask(world.taskId, isIn('Succeeded'), 'succeeds');
      expect(await world.logOf(world.taskId)).toMatch(/children \d+ \d+/);
      await until(async () => (await world.processes()).length === 0, 'nobody is left');
    }),
    180_000,
  );

  it.concurrent(
    'a log of 25 MiB is kept in bounded parts and can be followed across them to its end',
    inWorld(async (world) => {
      world.want({ tasks: [world.taskOf(odd('talks', '25'))] });
      await world.startAgent(STOPS_TASKS);
      await world.waitForTask(world.taskId, isIn('Succeeded'), 'succeeds');
      let [text, offset, first] = ['', 0, -1];
      for (let isComplete = false; !isComplete; ) {
        const answer = await world.askLog({ taskId: world.taskId, offset, bytesMax: 65_536 });
        if (!answer.found) throw new Error(answer.reason);
        if (first < 0) first = answer.offset;
        else expect(answer.offset).toBe(offset);
        text += answer.text;
        [offset, isComplete] = [answer.next, answer.isComplete];
      }
      expect(first).toBe(10 * 1_048_576);
      expect(offset - first).toBe(Buffer.byteLength(text));
      const numbers = text
        .split('\n')
        .slice(0, -2)
        .map((line) => Number(line.slice(0, 9)));
      expect(numbers.every((number, index) => number === numbers[0]! + index)).toBe(true);
      expect(text.endsWith('\nthe end\n')).toBe(true);
      const tail = await world.askLog({ taskId: world.taskId, offset: -8, bytesMax: 100 });
      expect(tail).toMatchObject({ text: 'the end\n', isComplete: true });
      const unknown = await world.askLog({ taskId: taskIdOf(JOB_ID, 0), offset: 0, bytesMax: 100 });
      expect(unknown.found).toBe(false);
    }),
    180_000,
  );

  it.concurrent(
    'a task’s record that is damaged on disk ends what runs there, and the task is not run again',
    inWorld(async (world) => {
      world.want({ tasks: [world.taskOf(counting(600, 100))] });
      await world.startAgent(STOPS_TASKS);
      await world.waitForTask(world.taskId, isIn('Running'), 'runs');
      await world.killAgent('SIGKILL');
      await writeFile(join(world.stateFolder, 'jobs', world.attemptId, '0', 'task.json'), '{"taskId":');
      await rm(join(world.stateFolder, 'jobs', 'contact.json'));
      world.reports.length = 0;
      await world.startAgent(STOPS_TASKS);
      const task = await world.waitForTask(world.taskId, isIn('Failed'), 'fails');
      expect(task.reason).toContain('damaged');
      expect(await world.processes()).toEqual([]);
    }),
    180_000,
  );
});
