// Logs of a job over HTTP, asked of an agent that the spec plays: pieces, following, and an agent that is not there.

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { SUBJECTS, TASK_LOG_ANSWER_BYTES_MAX, type TaskLogsReply, taskLogsRequestSchema } from '#contracts';
import { type Attempt, Store } from '#domain';
import { subscribeJson } from '#messaging';
import { attemptOf, eventually, jobOf } from '#testing';
import { ControlPlaneNats } from '../../apps/control-plane/src/nats/control-plane-nats.ts';
import { type Installation, joinCluster, startInstallation } from './admin.fixture.ts';

let installation: Installation;
let store: Store;
let clusterId: string;
let attempt: Attempt;
let stopAgent: () => Promise<void> = async () => undefined;

beforeAll(async () => {
  installation = await startInstallation();
  store = installation.controlPlane.app.get(Store, { strict: false });
  clusterId = (await joinCluster(installation, 'dc-1', { kind: 'central' })).reply.clusterId;
  const job = jobOf({ name: 'count', phase: 'Running', attempts: 1 });
  const tasks = [0, 1].map((rank) => ({ rank, clusterId, devices: null }));
  attempt = attemptOf(job, { tasks, phase: 'Running' });
  await store.transaction(async (rows) => {
    await rows.jobs.insert([job]);
    await rows.attempts.insert([attempt]);
  });
}, 60_000);
afterEach(() => stopAgent());
// Sooner than it would cut what hangs: whoever went away while following holds nothing up.
afterAll(() => installation?.stop(), 25_000);

const read = (query = '', job = 'count') => installation.call('GET', `/api/v1/jobs/${job}/logs${query}`);

/** An agent whose task has written `log.text`, and more whenever the spec adds to it. */
function agentWith(log: { text: string; isComplete: boolean }, answersMax = Number.POSITIVE_INFINITY): string[] {
  const { connection } = installation.controlPlane.app.get(ControlPlaneNats, { strict: false });
  const asked: string[] = [];
  const answer = (value: unknown): TaskLogsReply => {
    const { taskId, offset, bytesMax } = taskLogsRequestSchema.parse(value);
    asked.push(taskId);
    const from = offset < 0 ? Math.max(0, log.text.length + offset) : offset;
    const text = log.text.slice(from, from + bytesMax);
    const next = from + text.length;
    return { found: true, offset: from, next, text, isComplete: log.isComplete && next === log.text.length };
  };
  stopAgent = subscribeJson(
    connection,
    SUBJECTS.rpc(clusterId, 'task-logs'),
    ({ value, respond }) => {
      if (asked.length < answersMax) respond(answer(value));
      if (asked.length >= answersMax) void stopAgent();
    },
    { onError: (error) => asked.push(String(error)) },
  );
  return asked;
}

describe('what is there', () => {
  it('comes whole, however many answers it takes', async () => {
    const text = 'line\n'.repeat(50_000);
    const asked = agentWith({ text, isComplete: false });
    const answer = await read('?rank=1');
    expect([answer.status, answer.headers.get('content-type'), answer.body === text]).toEqual([
      200,
      'text/plain; charset=utf-8',
      true,
    ]);
    expect(asked.length).toBeGreaterThanOrEqual(Math.ceil(text.length / TASK_LOG_ANSWER_BYTES_MAX));
    expect(new Set(asked)).toEqual(new Set([`${attempt.id}-1`]));
  });

  it('or only its end', async () => {
    agentWith({ text: 'one\ntwo\n', isComplete: true });
    expect((await read('?tailBytes=4')).body).toBe('two\n');
  });

  it('breaks off with a line of ours when the agent goes away in the middle', async () => {
    agentWith({ text: 'x'.repeat(200_000), isComplete: true }, 2);
    const { status, body } = await read();
    expect(status).toBe(200);
    expect(body.startsWith('x'.repeat(2 * TASK_LOG_ANSWER_BYTES_MAX))).toBe(true);
    expect(body.endsWith('\n[atoll] Cluster dc-1 does not answer. The log ends here.\n')).toBe(true);
  });
});

describe('following', () => {
  it('gives what is written meanwhile, until the task is done', async () => {
    const log = { text: 'one\n', isComplete: false };
    agentWith(log);
    const url = `${installation.controlPlane.url}/api/v1/jobs/count/logs?follow=true`;
    const response = await fetch(url, { headers: { authorization: `Bearer ${installation.ownerKey}` } });
    let got = '';
    const reading = (async () => {
      for await (const piece of response.body!) got += Buffer.from(piece).toString();
    })();
    await eventually(() => expect(got).toBe('one\n'));
    log.text += 'two\n';
    await eventually(() => expect(got).toBe('one\ntwo\n'));
    log.text += 'three\n';
    log.isComplete = true;
    await reading;
    expect(got).toBe('one\ntwo\nthree\n');
  });

  it('a log that says nothing yet is answered all the same: proxies wait for a head', async () => {
    agentWith({ text: '', isComplete: false });
    const listening = new AbortController();
    const url = `${installation.controlPlane.url}/api/v1/jobs/count/logs?follow=true`;
    const headers = { authorization: `Bearer ${installation.ownerKey}` };
    const { status, headers: told } = await fetch(url, { headers, signal: listening.signal });
    listening.abort();
    expect([status, told.get('content-type')]).toEqual([200, 'text/plain; charset=utf-8']);
  });

  it('nobody is asked any more once nobody listens', async () => {
    const asked = agentWith({ text: 'one\n', isComplete: false });
    const listening = new AbortController();
    const url = `${installation.controlPlane.url}/api/v1/jobs/count/logs?follow=true`;
    const headers = { authorization: `Bearer ${installation.ownerKey}` };
    const response = await fetch(url, { headers, signal: listening.signal });
    await response.body!.getReader().read();
    listening.abort();
    let before = -1;
    await eventually(
      () => {
        const isQuiet = asked.length === before;
        before = asked.length;
        expect(isQuiet).toBe(true);
      },
      { intervalMs: 1_500 },
    );
  });
});

describe('what cannot be begun', () => {
  it('a cluster that does not answer is a problem that says so', async () => {
    expect(await read()).toMatchObject({
      status: 503,
      body: { detail: 'Cluster dc-1 does not answer. Its log is there, and can be read once the cluster is back.' },
    });
  });

  it('R21: an agent that is there and knows no such question is said to be too old', async () => {
    const { connection } = installation.controlPlane.app.get(ControlPlaneNats, { strict: false });
    stopAgent = subscribeJson(connection, SUBJECTS.acked(clusterId), () => undefined, { onError: () => undefined });
    expect(await read()).toMatchObject({
      status: 503,
      body: {
        detail: expect.stringMatching(/^Cluster dc-1 is there, but its agent .*knows no such question: update it/),
      },
    });
  });

  it('one more than may follow a cluster’s logs is told to come again, and is taken once another has gone', async () => {
    agentWith({ text: 'one\n', isComplete: false });
    const url = `${installation.controlPlane.url}/api/v1/jobs/count/logs?follow=true`;
    const headers = { authorization: `Bearer ${installation.ownerKey}` };
    const listening = Array.from({ length: 64 }, () => new AbortController());
    const all = await Promise.all(listening.map(({ signal }) => fetch(url, { headers, signal })));
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]));
    expect(await read('?follow=true')).toMatchObject({
      status: 503,
      body: { detail: '64 logs of dc-1 are followed already.' },
    });
    expect((await read('?tailBytes=4')).status).toBe(200);
    listening[0]!.abort();
    await eventually(async () => {
      const again = new AbortController();
      const { status } = await fetch(url, { headers, signal: again.signal });
      again.abort();
      expect(status).toBe(200);
    });
    for (const each of listening) each.abort();
  });

  it.each([
    ['?rank=7', 422],
    ['?rank=-1', 422],
    ['?rank=1.5', 422],
    ['?attempt=2', 404],
    ['?attempt=0', 422],
    ['?follow=maybe', 422],
    ['?tailBytes=0', 422],
    ['?colour=red', 422],
  ])('%s: %d', async (query, status) => {
    agentWith({ text: '', isComplete: true });
    expect((await read(query)).status).toBe(status);
  });

  it.each([
    ['has not begun. It is Queued: waits for room', { phase: 'Queued', reason: 'waits for room' }],
    ['ended without having begun. It is Cancelled: on request', { phase: 'Cancelled', reason: 'on request' }],
  ] as const)('of a job that has no attempt it is said that it %s', async (want, stands) => {
    const name = `idle-${stands.phase.toLowerCase()}`;
    await store.transaction((rows) => rows.jobs.insert([jobOf({ name, attempts: 0, ...stands })]));
    for (const query of ['', '?follow=true', '?attempt=1']) {
      expect(await read(query, name)).toMatchObject({
        status: 404,
        body: { detail: `There is no log: job "${name}" ${want}` },
      });
    }
  });

  it('of an attempt that is not there it is said which is the newest', async () => {
    expect((await read('?attempt=2')).body.detail).toBe('There is no attempt 2 of job "count" here; its newest is 1.');
  });

  it('a log that the agent no longer has is not found', async () => {
    const { connection } = installation.controlPlane.app.get(ControlPlaneNats, { strict: false });
    const reply: TaskLogsReply = { found: false, reason: 'it is older than an hour' };
    stopAgent = subscribeJson(connection, SUBJECTS.rpc(clusterId, 'task-logs'), ({ respond }) => respond(reply), {
      onError: () => undefined,
    });
    expect(await read()).toMatchObject({
      status: 404,
      body: { detail: expect.stringContaining('older than an hour') },
    });
  });

  it('nor are those of a cluster that has left', async () => {
    await installation.call('DELETE', '/api/v1/clusters/dc-1');
    expect(await read()).toMatchObject({
      status: 503,
      body: { detail: expect.stringContaining('has left the fleet') },
    });
  });
});
