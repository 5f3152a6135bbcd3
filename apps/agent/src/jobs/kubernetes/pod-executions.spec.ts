// Tasks as pods through the whole of the agent's executor: only the cluster is played.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import pino from 'pino';
import type { DesiredState, DesiredTask, TaskReport } from '#domain';
import { startHealthServer } from '../../../test/health-server.fixture.ts';
import { type AnyObject, KubernetesApiFixture } from '../../../test/kubernetes-api.fixture.ts';
import { type TemporaryFolder, temporaryFolder, until } from '../../../test/temporary-folder.ts';
import type { NewEvent } from '../../events/outbox.ts';
import { KubernetesApi } from '../../kubernetes/api.ts';
import { silentMetrics } from '../../metrics.ts';
import { OneAtATime } from '../../sync/one-at-a-time.ts';
import { TaskCgroups } from '../cgroup.ts';
import { TaskSupervisor } from '../task-supervisor.ts';
import { PodExecutions } from './pod-executions.ts';
import { KubernetesTaskLauncher } from './task-launcher.ts';
import { ATTEMPT, configurationOf, orderOf } from './task-orders.builders.ts';

const log = pino({ level: 'silent' });
/** Tasks are looked at once a second; a machine that is full takes longer. */
const WAIT_MS = 20_000;
jest.setTimeout(2 * WAIT_MS);
const NAME = `atoll-${ATTEMPT}`;
const NODES = [
  {
    name: 'n1',
    devices: [
      { id: 'gpu-0', deviceType: 'nvidia.com/gpu' as const, memoryBytes: 0 },
      { id: 'gpu-1', deviceType: 'nvidia.com/gpu' as const, memoryBytes: 0 },
    ],
  },
];

describe('tasks as pods', () => {
  let server: KubernetesApiFixture;
  let folder: TemporaryFolder;
  /** It has every blob already. */
  let registry: Awaited<ReturnType<typeof startHealthServer>>;
  let tasks: TaskSupervisor;
  let pods: PodExecutions;
  let events: NewEvent[];
  let silentSeconds: number;
  const jobsFolder = () => join(folder.path, 'jobs');
  const memberFile = (rank: number, ...path: string[]) => join(jobsFolder(), ATTEMPT, String(rank), ...path);

  const open = async () => {
    const stateVolume = { persistentVolumeClaim: 'atoll-state', path: folder.path };
    const configuration = configurationOf({ stateVolume, scheduler: 'plain' });
    const api = new KubernetesApi({ connection: server.connection(), namespace: 'jobs', agent: 'UAGENT', retryMs: 1 });
    const launcher = new KubernetesTaskLauncher({ configuration, api, pollMs: 5, log });
    const contact = {
      get silentSeconds() {
        return silentSeconds;
      },
      noted: () => Promise.resolve(),
    };
    const uptime = () => performance.now() / 1000;
    const versionPath = (digest: string) => join(folder.path, 'models', digest);
    pods = new PodExecutions({
      launcher,
      agent: 'UAGENT',
      contact,
      uptime,
      versionPath,
      membersOf: (attemptId) => tasks.tasksOf(attemptId),
      retryMs: 5,
      log,
    });
    tasks = new TaskSupervisor({
      jobsFolder: jobsFolder(),
      contactFile: join(jobsFolder(), 'contact.json'),
      contact,
      environment: {},
      machineBootId: 'boot',
      uptime,
      runner: ['/nowhere'],
      cgroups: new TaskCgroups(null),
      executionOf: (of, task) => pods.of(of, task),
      endOthers: (attemptIds) => void pods.endOthers(attemptIds),
      blobSource: () => Promise.resolve({ url: `${registry.url}/`, token: 'token' }),
      stallTimeoutMs: 1_000,
      headroomBytes: 0,
      shared: new OneAtATime(),
      emit: (event) => {
        events.push(event);
        return Promise.resolve();
      },
      nodes: () => NODES,
      replicas: () => [],
      versionPath,
      onChange: () => undefined,
      onProgress: () => undefined,
      log,
      metrics: silentMetrics,
    });
    await tasks.open();
  };
  const close = async () => {
    await tasks.leaveAll();
    await pods.close();
  };
  const desired = (change: Partial<DesiredTask> = {}): DesiredState => {
    const { task } = orderOf(change);
    const members = Array.from({ length: task.worldSize }, (_, rank) => ({
      ...task,
      rank,
      taskId: `${ATTEMPT}-${rank}`,
      devices: [{ node: 'n1', deviceIds: [`gpu-${rank}`] }],
    }));
    return { clusterId: 'c', epoch: 7, revision: 1, versions: [], replicas: [], tasks: members };
  };
  const pod = (rank: number, status: AnyObject): AnyObject => {
    const job = server.get('jobs', NAME);
    const { template } = job.spec;
    const annotations = { 'batch.kubernetes.io/job-completion-index': String(rank) };
    const ownerReferences = [{ apiVersion: 'batch/v1', kind: 'Job', name: NAME, uid: job.metadata.uid }];
    const { labels } = template.metadata;
    const metadata = { name: `member-${rank}`, namespace: 'jobs', labels, annotations, ownerReferences };
    return server.put({ apiVersion: 'v1', kind: 'Pod', metadata, spec: { ...template.spec, nodeName: 'n1' }, status });
  };
  /** The supervisor looks at the document until a report says so. */
  const becomes = (state: DesiredState, phase: TaskReport['phase'], rank = 0) =>
    until(
      () => {
        tasks.reconcile(state, new Set());
        const report = tasks.reports(state.tasks).find(({ taskId }) => taskId === `${ATTEMPT}-${rank}`);
        return report?.phase === phase ? report : undefined;
      },
      () => `it is ${phase}, and not ${JSON.stringify(tasks.reports(state.tasks))}`,
      WAIT_MS,
    );
  const run = async (state: DesiredState) => {
    await until(() => {
      tasks.reconcile(state, new Set());
      return server.get('jobs', NAME);
    }, 'its Job is there');
    for (const { rank } of state.tasks) pod(rank, { phase: 'Running' });
    await becomes(state, 'Running');
  };
  const stopped = (state: DesiredState): DesiredState => ({
    ...state,
    tasks: state.tasks.map((task) => ({
      ...task,
      stop: { cause: 'preempted', reason: 'preempted by job urgent', wantsCheckpoint: true },
    })),
  });

  beforeEach(async () => {
    server = await new KubernetesApiFixture().start();
    registry = await startHealthServer();
    folder = await temporaryFolder();
    events = [];
    silentSeconds = 0;
    await open();
  });
  afterEach(async () => {
    await close();
    await server.stop();
    await registry.stop();
    await folder.remove();
  });

  it('a member that ends with 0 has succeeded; its log stays', async () => {
    const state = desired();
    await run(state);
    server.logs.set('member-0', 'step 1\nstep 2\n');
    pod(0, { phase: 'Succeeded' });
    expect(await becomes(state, 'Succeeded')).toMatchObject({ exitCode: 0 });
    const read = await tasks.readLog({ taskId: `${ATTEMPT}-0`, offset: 0, bytesMax: 1_000 });
    expect(read).toMatchObject({ found: true, text: 'step 1\nstep 2\n', isComplete: true });
    expect(events.map(({ kind }) => kind)).toEqual(['task-ended']);
  });

  it('one that fails is told with its code and its last words', async () => {
    const state = desired();
    await run(state);
    server.logs.set('member-0', 'NaN loss\n');
    const terminated = { exitCode: 3, reason: 'Error' };
    pod(0, { phase: 'Failed', containerStatuses: [{ name: 'task', state: { terminated } }] });
    expect(await becomes(state, 'Failed')).toMatchObject({
      exitCode: 3,
      reason: 'It ended with code 3; its last words: NaN loss',
    });
  });

  it('one whose image is not there says so', async () => {
    const state = desired();
    await run(state);
    const waiting = { reason: 'ImagePullBackOff', message: 'manifest unknown' };
    pod(0, { phase: 'Pending', containerStatuses: [{ name: 'task', image: 'pytorch:2', state: { waiting } }] });
    expect((await becomes(state, 'Failed')).reason).toBe('Its image pytorch:2 cannot be pulled: manifest unknown');
  });

  it('G01: members share one Job, which waits until all of them are prepared', async () => {
    const state = desired({ worldSize: 2 });
    await run(state);
    await becomes(state, 'Running', 1);
    expect(server.list('jobs')).toHaveLength(1);
    expect(server.get('jobs', NAME).spec.completions).toBe(2);
  });

  it('a log is read while it is written', async () => {
    await run(desired());
    server.logs.set('member-0', 'step 1\n');
    const read = () => tasks.readLog({ taskId: `${ATTEMPT}-0`, offset: 0, bytesMax: 1_000 });
    expect(await read()).toMatchObject({ found: true, text: 'step 1\n', isComplete: false });
  });

  it('P19: told to stop, it is asked for a checkpoint first, and its Job goes once it has answered', async () => {
    const state = desired({ checkpoint: { mode: 'file', signal: 'SIGTERM', intervalSeconds: null } });
    await run(state);
    await becomes(stopped(state), 'Stopping');
    const request = await until(
      () => readFile(memberFile(0, 'control', 'checkpoint-request.json'), 'utf8').catch(() => null),
      'it is asked',
    );
    expect(JSON.parse(request)).toMatchObject({ reason: 'preempted by job urgent' });
    expect(server.get('jobs', NAME).metadata.deletionTimestamp).toBeUndefined();
    await answer('step 40');
    expect((await becomes(stopped(state), 'Stopped')).reason).toContain('preempted by job urgent');
    expect(server.list('jobs')).toEqual([]);
  });

  it('R5: an agent that restarts finds its pods again', async () => {
    const state = desired();
    await run(state);
    await close();
    await open();
    await becomes(state, 'Running');
    expect(server.list('jobs')).toHaveLength(1);
    pod(0, { phase: 'Succeeded' });
    await becomes(state, 'Succeeded');
  });

  it('R10: an attempt that no folder tells of is ended; one of another agent stays', async () => {
    await run(desired());
    const job = server.get('jobs', NAME);
    const { uid: _uid, ...metadata } = job.metadata;
    const put = (name: string, labels: AnyObject) =>
      server.put({ ...job, metadata: { ...metadata, name, labels: { ...metadata.labels, ...labels } } });
    put('atoll-0192e4c1-0000-7000-8000-00000000000f', { 'atoll.dev/attempt': '0192e4c1-0000-7000-8000-00000000000f' });
    put('foreign', { 'atoll.dev/agent': 'UOTHER' });
    await close();
    await open();
    await until(() => server.list('jobs').length === 2, 'the one of nobody is gone');
    expect(server.list('jobs').map((each) => each.metadata.name)).toEqual([NAME, 'foreign']);
  });

  it('R6: cut off for too long it is ended here, before the centre runs it elsewhere', async () => {
    const state = desired({ graceSeconds: 10 });
    await run(state);
    silentSeconds = 299;
    expect((await becomes(state, 'Stopped')).reason).toMatch(/the control plane was out of contact too long/);
    expect(server.list('jobs')).toEqual([]);
  });

  it('R6: one whose deadline nobody moved on says the same', async () => {
    const state = desired();
    await run(state);
    const conditions = [
      { type: 'Failed', status: 'True', reason: 'DeadlineExceeded', message: 'Job was active longer' },
    ];
    server.drop('pods', 'member-0');
    server.put({ ...server.get('jobs', NAME), status: { conditions } });
    expect((await becomes(state, 'Stopped')).reason).toMatch(/the control plane was out of contact too long/);
  });

  it('R7: while the API server is away it runs', async () => {
    const state = desired();
    await run(state);
    server.isAway = true;
    server.cutWatches();
    await until(() => server.watching === 0, 'nothing is watched');
    expect((await becomes(state, 'Running')).reason).toBe('');
    server.isAway = false;
    pod(0, { phase: 'Succeeded' });
    await becomes(state, 'Succeeded');
  });

  /** As the command does. */
  async function answer(words: string): Promise<void> {
    const done = memberFile(0, 'control', 'checkpoint-done');
    await mkdir(dirname(done), { recursive: true });
    await writeFile(join(jobsFolder(), ATTEMPT, 'checkpoint', 'weights'), 'w');
    await writeFile(`${done}.tmp`, words);
    await rename(`${done}.tmp`, done);
  }
});
