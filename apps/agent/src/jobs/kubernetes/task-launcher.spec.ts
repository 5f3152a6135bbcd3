import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { type AnyObject, KubernetesApiFixture } from '../../../test/kubernetes-api.fixture.ts';
import { until } from '../../../test/temporary-folder.ts';
import { KubernetesApi } from '../../kubernetes/api.ts';
import { KINDS } from '../../kubernetes/kinds.ts';
import { KubernetesTaskLauncher, type MemberState } from './task-launcher.ts';
import { ATTEMPT, configurationOf, orderOf } from './task-orders.builders.ts';

const { volcanoJob: _volcanoJob, ...PLAIN_KINDS } = KINDS;
const KUEUE = { ...KINDS.job, apiVersion: 'kueue.x-k8s.io/v1beta1', kind: 'LocalQueue', plural: 'localqueues' };

describe('attempts in Kubernetes', () => {
  let server: KubernetesApiFixture;
  let launcher: KubernetesTaskLauncher;
  const open = (change: object = {}) => {
    const api = new KubernetesApi({ connection: server.connection(), namespace: 'jobs', agent: 'UAGENT', retryMs: 1 });
    const log = pino({ level: 'silent' });
    launcher = new KubernetesTaskLauncher({ configuration: configurationOf(change), api, pollMs: 5, log });
    launcher.open();
  };
  const pod = (rank: number, status: AnyObject): AnyObject => {
    const { template } = server.get('jobs', `atoll-${ATTEMPT}`).spec;
    const annotations = { 'batch.kubernetes.io/job-completion-index': String(rank) };
    const metadata = { name: `member-${rank}`, namespace: 'jobs', labels: template.metadata.labels, annotations };
    return server.put({ apiVersion: 'v1', kind: 'Pod', metadata, spec: { ...template.spec, nodeName: 'n1' }, status });
  };
  const becomes = (rank: number, want: MemberState['state']) =>
    until(async () => {
      const seen = await launcher.look(ATTEMPT, rank);
      return seen?.state === want ? seen : undefined;
    }, `member ${rank} is ${want}`);

  beforeEach(async () => {
    server = await new KubernetesApiFixture(Object.values(PLAIN_KINDS)).start();
    open();
  });
  afterEach(async () => {
    await launcher.close();
    await server.stop();
  });

  it('starts once, however often it is told to, with a name to meet at', async () => {
    await launcher.start(orderOf({ worldSize: 2 }));
    await launcher.start(orderOf({ worldSize: 2 }));
    expect(server.list('jobs')).toHaveLength(1);
    expect(server.list('services')[0].metadata.ownerReferences).toMatchObject([
      { kind: 'Job', name: `atoll-${ATTEMPT}` },
    ]);
    expect(await launcher.list()).toEqual([{ attemptId: ATTEMPT, epoch: 7 }]);
  });

  it('an order of an older epoch than what runs is refused', async () => {
    await launcher.start(orderOf());
    await expect(launcher.start(orderOf({ epoch: 6 }))).rejects.toThrow(
      `Attempt ${ATTEMPT} runs under epoch 7, and this order is of epoch 6.`,
    );
  });

  it('tells how each member does, from its pod', async () => {
    await launcher.start(orderOf({ worldSize: 2 }));
    expect(await becomes(0, 'waiting')).toEqual({ state: 'waiting', reason: '' });
    pod(0, { phase: 'Running' });
    expect(await becomes(0, 'running')).toEqual({ state: 'running', node: 'n1', ranSeconds: 0 });
    pod(0, { phase: 'Succeeded' });
    expect(await becomes(0, 'ended')).toEqual({ state: 'ended', exitCode: 0, reason: '' });
    expect((await launcher.look(ATTEMPT, 1))?.state).toBe('waiting');
  });

  it('a member that failed is told with its code and its last words', async () => {
    await launcher.start(orderOf());
    server.logs.set('member-0', 'step 1\nNaN loss\n');
    const terminated = { exitCode: 3, reason: 'Error' };
    pod(0, { phase: 'Failed', containerStatuses: [{ name: 'task', state: { terminated } }] });
    expect(await becomes(0, 'ended')).toEqual({
      state: 'ended',
      exitCode: 3,
      reason: 'It ended with code 3; its last words: NaN loss',
    });
    expect(await launcher.readLog(ATTEMPT, 0)).toBe('step 1\nNaN loss\n');
  });

  it('its deadline is moved on by the clock of the API server, and never back', async () => {
    await launcher.start(orderOf());
    const deadline = () => server.get('jobs', `atoll-${ATTEMPT}`).spec.activeDeadlineSeconds;
    expect(deadline()).toBe(240);
    await launcher.renew(ATTEMPT, 240);
    expect(deadline()).toBe(240);
    const startTime = new Date(Math.floor(Date.now() / 1000) * 1000 - 3_600_000).toISOString();
    server.put({ ...server.get('jobs', `atoll-${ATTEMPT}`), status: { startTime } });
    await launcher.renew(ATTEMPT, 240);
    const moved = deadline();
    await launcher.renew(ATTEMPT, 100);
    expect(moved).toBeGreaterThanOrEqual(3_840);
    expect(moved).toBeLessThan(3_900);
    expect(deadline()).toBe(moved);
  });

  it('one whose Job somebody else removed has ended', async () => {
    await launcher.start(orderOf());
    server.drop('jobs', `atoll-${ATTEMPT}`);
    expect(await becomes(0, 'ended')).toMatchObject({
      exitCode: null,
      reason: 'Its Job was removed by somebody else.',
    });
  });

  it('stop resolves when no pod is left', async () => {
    await launcher.start(orderOf());
    pod(0, { phase: 'Running' });
    server.holdsDeletions = true;
    let isStopped = false;
    const stopping = launcher.stop(ATTEMPT, 45).then(() => {
      isStopped = true;
    });
    await until(() => server.seen.some(({ verb }) => verb === 'delete'), 'it is asked to go');
    expect(isStopped).toBe(false);
    await expect(launcher.start(orderOf())).rejects.toThrow('is still ending');
    server.drop('pods', 'member-0');
    server.finishDeletions();
    await stopping;
    expect([...server.list('jobs'), ...server.list('services')]).toEqual([]);
  });

  it.each([
    { name: 'plain where there is nothing else', kinds: PLAIN_KINDS, queue: 'q', scheduler: 'auto', want: 'batch/v1' },
    {
      name: 'Volcano where it is',
      kinds: KINDS,
      queue: undefined,
      scheduler: 'auto',
      want: 'batch.volcano.sh/v1alpha1',
    },
    {
      name: 'Kueue where it is and a queue is named',
      kinds: { ...PLAIN_KINDS, KUEUE },
      queue: 'q',
      scheduler: 'auto',
      want: 'batch/v1, held',
    },
    { name: 'plain where it is said', kinds: KINDS, queue: undefined, scheduler: 'plain', want: 'batch/v1' },
  ])('G01: $name', async ({ kinds, queue, scheduler, want }) => {
    await launcher.close();
    await server.stop();
    server = await new KubernetesApiFixture(Object.values(kinds)).start();
    open({ queue, scheduler });
    await launcher.start(orderOf());
    const [job] = server.list('jobs');
    expect(`${job.apiVersion}${job.spec.suspend === true ? ', held' : ''}`).toBe(want);
    const isHeld = want.endsWith('held');
    expect(await becomes(0, 'waiting')).toMatchObject({ reason: isHeld ? 'Kueue has not admitted it yet.' : '' });
  });
});
