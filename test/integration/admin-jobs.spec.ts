// Jobs as intent: submitted, shown, steered and removed over HTTP. What the leader makes of them is elsewhere: here no
// cluster has devices, so nothing that waits for room starts.

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { type Job, Store } from '#domain';
import { attemptOf, eventually } from '#testing';
import { callApi, gguf, type Installation, publishVersion, startInstallation } from './admin.fixture.ts';

const at = '/api/v1/jobs';
let installation: Installation;
let store: Store;
let strangerKey: string;

beforeAll(async () => {
  installation = await startInstallation();
  store = installation.controlPlane.app.get(Store, { strict: false });
  await installation.call('POST', '/api/v1/models', { body: { name: 'tiny' } });
  await publishVersion(installation, 'tiny', gguf(1_000));
  const { body: tenant } = await installation.call('POST', '/api/v1/tenants', { body: { name: 'others' } });
  strangerKey = tenant.token;
}, 60_000);
afterAll(() => installation?.stop(), 60_000);

const submit = (body: object, headers: Record<string, string> = {}, query = '') =>
  installation.call('POST', `${at}${query}`, { body: { command: ['true'], ...body }, headers });
const get = async (name: string) => (await installation.call('GET', `${at}/${name}`)).body;
const steer = (name: string, intent: string, headers: Record<string, string> = {}) =>
  installation.call('POST', `${at}/${name}/${intent}`, { headers });

const AFTER_LOST = { dependsOn: [{ job: 'lost', when: 'always' }] };

async function rowOf(name: string): Promise<Job> {
  const { id: tenantId } = (await store.read.tenants.find({ name: 'default' }))!;
  return (await store.read.jobs.find({ tenantId, name }))!;
}

/** As the leader would leave it. */
async function become(name: string, change: Partial<Job>): Promise<void> {
  const { id } = await rowOf(name);
  await store.transaction(async (rows) => {
    const { revision } = (await rows.jobs.find({ id }, true))!;
    await rows.jobs.update([{ id, revision, change }]);
  });
}

describe('submitting', () => {
  it('takes a command with the defaults of everything else', async () => {
    const made = await submit({ name: 'plain' });
    expect(made).toMatchObject({
      status: 201,
      body: {
        ...{ name: 'plain', kind: 'command', queue: 'default', priorityClass: 'normal', priority: 5 },
        ...{ phase: 'Queued', attempts: 0, checkpoint: null, tasks: [], progress: null, suspended: false },
        specification: {
          tasks: { size: 1, minimum: 1, topology: null, spansClusters: false },
          claim: { deviceType: 'cpu', count: 1 },
          checkpoint: { mode: 'none', signal: 'SIGUSR1', intervalSeconds: null },
          ...{ graceSeconds: 60, ttlSeconds: 604_800, lostAfterSeconds: 300, mounts: [] },
          output: { required: false, publish: null },
        },
      },
    });
    expect(made.headers.get('etag')).toBe('"1"');
    expect(
      made.body.conditions.map(({ type, status }: { type: string; status: string }) => `${type} ${status}`),
    ).toEqual(['DependenciesMet True', 'Scheduled False', 'Running False', 'Checkpointed False', 'Ended False']);
  });

  it('names what it mounts, publishes and waits for', async () => {
    const made = await submit({
      ...{ name: 'tuned', kind: 'fine-tune', dependsOn: [{ job: 'plain' }], priorityClass: 'high' },
      mounts: { base: { model: 'tiny' } },
      output: { publish: { model: 'tiny', alias: 'stable' } },
    });
    expect(made).toMatchObject({
      status: 201,
      body: {
        ...{ phase: 'Waiting', reason: 'waits for plain', priority: 8, queuedAt: null },
        dependsOn: [{ job: 'plain', when: 'success', phase: 'Queued' }],
        specification: {
          mounts: [{ name: 'base', model: 'tiny', version: 1 }],
          output: { required: true, publish: { model: 'tiny', alias: 'stable' } },
        },
      },
    });
  });

  it('fills a template without putting what is given into its line', async () => {
    const { body } = await submit({
      ...{ name: 'measured', kind: 'evaluation', command: undefined },
      template: { name: 'lm-eval', parameters: { tasks: 'hellaswag; rm -rf /' } },
      mounts: { base: { model: 'tiny', version: 1 } },
    });
    expect(body.specification.command[2]).toContain('--tasks "$TEMPLATE_TASKS"');
    expect(body.specification.environment).toEqual({
      TEMPLATE_TASKS: 'hellaswag; rm -rf /',
      TEMPLATE_BATCH_SIZE: 'auto',
    });
  });

  it('repeats the answer, not the deed, for the same Idempotency-Key', async () => {
    const key = { 'idempotency-key': 'once' };
    const [first, second] = [await submit({ name: 'once' }, key), await submit({ name: 'once' }, key)];
    expect([first.status, second.status, second.body.id]).toEqual([201, 201, first.body.id]);
    expect((await submit({ name: 'twice' }, key)).status).toBe(422);
  });

  it.each<[string, object, string]>([
    ['an unknown queue', { queue: 'nowhere' }, 'queue'],
    ['an unknown class', { priorityClass: 'royal' }, 'priorityClass'],
    ['D03: a job that is not there', { dependsOn: [{ job: 'ghost' }] }, 'dependsOn[0].job'],
    ['D03: itself', { dependsOn: [{ job: 'bad' }] }, 'dependsOn[0].job'],
    ['D03: itself, always', { dependsOn: [{ job: 'bad', when: 'always' }] }, 'dependsOn[0].job'],
    ['D03: the same job twice', { dependsOn: [{ job: 'plain' }, { job: 'plain' }] }, 'dependsOn'],
    ['an unknown model', { mounts: { base: { model: 'nothing' } } }, 'mounts.base.model'],
    ['an unknown version', { mounts: { base: { model: 'tiny', version: 9 } } }, 'mounts.base.version'],
    ['an unknown device type', { claim: { deviceType: 'tpu', count: 1 } }, 'claim.deviceType'],
    ['half a device', { claim: { deviceType: 'cpu', count: 1.5 } }, 'claim.count'],
    ['a program without a name', { command: [''] }, 'command[0]'],
    ['half of a surrogate pair', { environment: { A: '\ud800' } }, 'environment.A'],
    ['a field that every object has', { constructor: 1 }, 'constructor'],
    ['no devices', { claim: { deviceType: 'cpu', count: 0 } }, 'claim.count'],
    ['a negative gang', { tasks: { size: -1 } }, 'tasks.size'],
    ['a silence that a healthy agent may hear', { lostAfterSeconds: 9 }, 'lostAfterSeconds'],
    ['a minimum above the size', { tasks: { size: 2, minimum: 3 } }, 'tasks.minimum'],
    ['an absurd gang', { tasks: { size: 1e9 } }, 'tasks.size'],
    ['more members than a document carries', { tasks: { size: 4_096 } }, 'tasks'],
    [
      'a mount whose folder would be told by a variable of ours',
      { mounts: { output: { model: 'tiny' } } },
      'mounts.output',
    ],
    ['no command', { command: undefined }, 'command'],
    ['an empty command', { command: [] }, 'command'],
    ['command and template', { template: { name: 'shell', parameters: { script: 'true' } } }, 'command'],
    ['an unknown template', { command: undefined, template: { name: 'magic' } }, 'template.name'],
    ['a template without its parameter', { command: undefined, template: { name: 'shell' } }, 'template'],
    ['a variable of ours', { environment: { ATOLL_JOB_ID: 'x' } }, 'environment.ATOLL_JOB_ID'],
    ['NUL in a command', { command: ['a\0b'] }, 'command[0]'],
    ['a grace of nothing', { graceSeconds: 0 }, 'graceSeconds'],
    ['a negative deadline', { runDeadlineSeconds: -5 }, 'runDeadlineSeconds'],
    ['publishing what is no fine-tune', { output: { publish: { model: 'tiny' } } }, 'output'],
    ['auto without a base', { claim: 'auto' }, 'claim'],
  ])('refuses %s', async (_name, change, field) => {
    const answer = await submit({ name: 'bad', ...change });
    expect({ status: answer.status, fields: answer.body.errors?.map((each: { field: string }) => each.field) }).toEqual(
      {
        status: 422,
        fields: expect.arrayContaining([field]),
      },
    );
    expect((await installation.call('GET', `${at}/bad`)).status).toBe(404);
  });

  it('refuses a taken name', async () => {
    expect((await submit({ name: 'plain' })).status).toBe(409);
  });
});

describe('looking', () => {
  it('lists newest first, by queue and by phase', async () => {
    const { body } = await installation.call('GET', `${at}?limit=2`);
    expect([body.items.length, typeof body.next]).toEqual([2, 'string']);
    const waiting = await installation.call('GET', `${at}?queue=default&phase=Waiting,Running`);
    expect(waiting.body.items.map(({ name }: { name: string }) => name)).toEqual(['tuned']);
    expect((await installation.call('GET', `${at}?phase=Sleeping`)).status).toBe(422);
    expect((await installation.call('GET', `${at}?queue=nowhere`)).status).toBe(422);
  });

  it('lists its tries in pages, newest first', async () => {
    await submit({ name: 'tried' });
    const job = await rowOf('tried');
    const tries = [1, 2, 3].map((number) => attemptOf(job, { id: v7(), number, phase: 'Ended' }));
    await store.transaction((rows) => rows.attempts.insert(tries));
    const page = async (query: string) => {
      const { body } = await installation.call('GET', `${at}/tried/attempts${query}`);
      return [body.items.map(({ number }: { number: number }) => number), body.next];
    };
    expect(await page('?limit=200')).toEqual([[3, 2, 1], null]);
    expect(await page('?limit=2')).toEqual([[3, 2], tries[1]!.id]);
    expect(await page(`?limit=2&after=${tries[1]!.id}`)).toEqual([[1], null]);
    expect(await page(`?after=${tries[0]!.id}`)).toEqual([[], null]);
    expect(await page(`?after=${v7()}`)).toEqual([[], null]);
  });

  it('tells what happened, and that nothing has run or was left', async () => {
    const events = await installation.call('GET', `${at}/plain/events`);
    expect(events.body.items.at(-1)).toMatchObject({ kind: 'Submitted', attemptId: null });
    expect((await installation.call('GET', `${at}/plain/attempts`)).body).toEqual({ items: [], next: null });
    expect((await installation.call('GET', `${at}/plain/artifacts`)).body).toMatchObject({
      outputDigest: null,
      files: [],
    });
    expect((await installation.call('GET', `${at}/plain/artifacts/a/b.txt`)).status).toBe(404);
    expect(await installation.call('GET', `${at}/plain/logs`)).toMatchObject({
      status: 404,
      body: { detail: expect.stringMatching(/^There is no log: job "plain" has not begun\. It is Queued: \S/) },
    });
  });

  it('S3: shows the values of its environment to those alone who may submit', async () => {
    await submit({ name: 'secretive', environment: { HF_TOKEN: 'hf_secret' } });
    const environmentFor = async (role: string) => {
      const { body: key } = await installation.call('POST', '/api/v1/api-keys', { body: { name: role, role } });
      const { url } = installation.controlPlane;
      const one = await callApi(url, 'GET', `${at}/secretive`, { key: key.key });
      const all = await callApi(url, 'GET', at, { key: key.key });
      const listed = all.body.items.find((job: { name: string }) => job.name === 'secretive');
      return [one.body, listed].map(({ specification }) => specification.environment);
    };
    expect(await environmentFor('viewer')).toEqual([{ HF_TOKEN: '(hidden)' }, { HF_TOKEN: '(hidden)' }]);
    expect(await environmentFor('operator')).toEqual([{ HF_TOKEN: 'hf_secret' }, { HF_TOKEN: 'hf_secret' }]);
    expect(JSON.stringify((await installation.call('GET', '/api/v1/audit')).body)).not.toContain('hf_secret');
  });

  it('S3: an operator submits nothing that nobody can preempt, nor plans it', async () => {
    const { body: key } = await installation.call('POST', '/api/v1/api-keys', {
      body: { name: 'op', role: 'operator' },
    });
    const { url } = installation.controlPlane;
    const ask = (priorityClass: string, query = '', by: string = key.key) =>
      callApi(url, 'POST', `${at}${query}`, {
        ...{ key: by, body: { name: `by-${priorityClass}`, command: ['true'], priorityClass } },
      });
    const refused = [await ask('critical'), await ask('serving'), await ask('critical', '?dryRun=true')];
    expect(refused.map(({ status, body }) => [status, body.detail])).toEqual([
      [403, expect.stringContaining('the class critical has the highest priority there is; only a key that may')],
      [403, expect.stringContaining('jobs of the class serving are never preempted; only a key that may')],
      [403, expect.stringContaining('the class critical has the highest priority there is')],
    ]);
    expect((await ask('high')).status).toBe(201);
    expect((await ask('critical', '', installation.ownerKey)).status).toBe(201);
    const deploy = (method: string, path: string, body: object, by: string = key.key) =>
      callApi(url, method, `/api/v1/deployments${path}`, { key: by, body });
    const wanted = { name: 'pressing', model: 'tiny', replicas: 0 };
    expect((await deploy('POST', '', { ...wanted, priorityClass: 'critical' })).status).toBe(403);
    expect((await deploy('POST', '', wanted)).body).toMatchObject({ priorityClass: 'serving' });
    expect((await deploy('PATCH', '/pressing', { priorityClass: 'critical' })).status).toBe(403);
    expect((await deploy('PATCH', '/pressing', { priorityClass: 'critical' }, installation.ownerKey)).status).toBe(200);
  });

  it('S5: another tenant sees none of it and can do nothing to it', async () => {
    const paths = ['', '/explain', '/attempts', '/events', '/logs', '/artifacts', '/artifacts/x'];
    const { url } = installation.controlPlane;
    const asked = await Promise.all(
      paths.map((path) => callApi(url, 'GET', `${at}/plain${path}`, { key: strangerKey })),
    );
    const done = await Promise.all(
      ['cancel', 'suspend', 'resume', 'retry'].map((intent) =>
        callApi(url, 'POST', `${at}/plain/${intent}`, { key: strangerKey }),
      ),
    );
    const removed = await callApi(url, 'DELETE', `${at}/plain`, { key: strangerKey });
    expect([...asked, ...done, removed].map(({ status }) => status)).toEqual(Array(12).fill(404));
    expect((await callApi(url, 'GET', at, { key: strangerKey })).body.items).toEqual([]);
    // The same name is free for the other tenant, and means another job.
    const own = await callApi(url, 'POST', at, { key: strangerKey, body: { name: 'plain', command: ['true'] } });
    expect(own.status).toBe(201);
    expect(own.body.id).not.toBe((await get('plain')).id);
    const foreign = { name: 'thief', command: ['true'], mounts: { base: { model: 'tiny' } } };
    expect((await callApi(url, 'POST', at, { key: strangerKey, body: foreign })).status).toBe(422);
  });
});

it('D03: two jobs cannot wait for each other: the first would have to name one that is not there yet', async () => {
  const first = { name: 'chicken', dependsOn: [{ job: 'egg' }] };
  expect(await submit(first)).toMatchObject({ status: 422 });
  expect(await submit({ name: 'egg' })).toMatchObject({ status: 201 });
  expect(await submit(first)).toMatchObject({ status: 201 });
  const { id } = await get('egg');
  expect(await submit({ name: 'egg', dependsOn: [{ job: 'chicken' }] })).toMatchObject({ status: 409 });
  for (const method of ['PUT', 'PATCH'] as const) {
    const change = await installation.call(method, `${at}/egg`, { body: { dependsOn: [{ job: 'chicken' }] } });
    expect([404, 405]).toContain(change.status);
  }
  expect(await get('egg')).toMatchObject({ id, dependsOn: [] });
});

describe('steering', () => {
  it('suspends and resumes, and repeating is harmless', async () => {
    await submit({ name: 'steered' });
    expect(await steer('steered', 'suspend', { 'if-match': '"99"' })).toMatchObject({ status: 412 });
    expect(await steer('steered', 'suspend')).toMatchObject({ status: 202, body: { suspended: true } });
    expect(await steer('steered', 'suspend')).toMatchObject({ status: 202, body: { suspended: true } });
    expect(await steer('steered', 'resume')).toMatchObject({ status: 202, body: { suspended: false } });
    const { body } = await installation.call('GET', `${at}/steered/events`);
    const kinds = body.items.map(({ kind }: { kind: string }) => kind);
    expect(kinds.filter((kind: string) => kind === 'SuspendRequested')).toHaveLength(1);
    expect(kinds).toContain('ResumeRequested');
    expect((await steer('steered', 'explode')).status).toBe(422);
    const stray = { body: { errors: [{ field: 'x', message: 'is not a known field' }] } };
    for (const intent of ['suspend', 'resume', 'cancel', 'retry']) {
      expect(await installation.call('POST', `${at}/steered/${intent}`, { body: { x: 1 } })).toMatchObject(stray);
    }
    for (const path of ['', '/explain', '/attempts', '/artifacts']) {
      expect(await installation.call('GET', `${at}/steered${path}?x=1`)).toMatchObject({ status: 422, ...stray });
    }
    expect(await installation.call('POST', `${at}/steered/suspend`, { body: {} })).toMatchObject({ status: 202 });
  });

  it('cancels once, and tries a cancelled one once more', async () => {
    await submit({ name: 'dropped' });
    expect(await steer('dropped', 'retry')).toMatchObject({ status: 409 });
    expect(await steer('dropped', 'cancel')).toMatchObject({ status: 202 });
    await eventually(async () => expect((await get('dropped')).phase).toBe('Cancelled'));
    expect(await steer('dropped', 'suspend')).toMatchObject({ status: 409 });
    expect(await steer('dropped', 'retry')).toMatchObject({
      status: 202,
      body: { phase: 'Queued', cancelRequested: false, failures: 0 },
    });
  });

  it('does not try again what succeeded, or what ran out of its time', async () => {
    await submit({ name: 'done' });
    await become('done', { phase: 'Succeeded', endedAt: new Date() });
    expect(await steer('done', 'retry')).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('anew') },
    });
    expect(await steer('done', 'cancel')).toMatchObject({ status: 409 });
    await submit({ name: 'late', runDeadlineSeconds: 60 });
    await become('late', { phase: 'Failed', endedAt: new Date(), ranSeconds: 61 });
    expect(await steer('late', 'retry')).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('runDeadlineSeconds of 60') },
    });
  });

  it('removes an ended one, not one that others wait for, and cancels an active one', async () => {
    await submit({ name: 'parent' });
    await submit({ name: 'child', dependsOn: [{ job: 'parent', when: 'always' }], queue: 'default' });
    await installation.call('PATCH', '/api/v1/queues/default', { body: { paused: true } });
    await become('parent', { phase: 'Failed', endedAt: new Date() });
    await eventually(async () => expect((await get('child')).phase).toBe('Queued'));
    expect(await installation.call('DELETE', `${at}/parent`)).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('child') },
    });
    expect(await installation.call('DELETE', `${at}/child`)).toMatchObject({
      status: 202,
      body: { cancelRequested: true },
    });
    await eventually(async () => expect((await get('child')).phase).toBe('Cancelled'));
    for (const name of ['child', 'parent']) {
      expect((await installation.call('DELETE', `${at}/${name}`)).status).toBe(204);
      expect((await installation.call('GET', `${at}/${name}`)).status).toBe(404);
    }
    await installation.call('PATCH', '/api/v1/queues/default', { body: { paused: false } });
  });

  it('D05: one that was queued once is tried again without what it waited for then', async () => {
    await installation.call('PATCH', '/api/v1/queues/default', { body: { paused: true } });
    await submit({ name: 'gone' });
    await submit({ name: 'behind', dependsOn: [{ job: 'gone' }] });
    await become('gone', { phase: 'Succeeded', endedAt: new Date() });
    await eventually(async () => expect((await get('behind')).phase).toBe('Queued'));
    await become('behind', { phase: 'Failed', endedAt: new Date() });
    expect((await installation.call('DELETE', `${at}/gone`)).status).toBe(204);
    expect(await steer('behind', 'retry')).toMatchObject({
      status: 202,
      body: { phase: 'Queued', dependsOn: [{ job: 'gone', when: 'success', phase: null }] },
    });
    expect((await installation.call('GET', `${at}/behind/events`)).body.items[0]).toMatchObject({
      kind: 'RetryRequested',
    });
  });

  it('D05: one that never was, and whose parent is gone, is refused by name instead of cancelled again', async () => {
    for (const name of ['lost', 'kept-after']) await submit({ name, ...(name === 'lost' ? {} : AFTER_LOST) });
    await submit({ name: 'never', dependsOn: [{ job: 'lost' }] });
    for (const name of ['never', 'kept-after']) await become(name, { phase: 'Cancelled', endedAt: new Date() });
    await become('lost', { phase: 'Succeeded', endedAt: new Date() });
    expect((await installation.call('DELETE', `${at}/lost`)).status).toBe(204);
    expect(await steer('never', 'retry')).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('job lost, which had to succeed first, is no longer kept; submit it') },
    });
    expect(await steer('kept-after', 'retry')).toMatchObject({
      status: 202,
      body: { reason: expect.stringMatching(/^waits for (lost|room|to be scheduled)/) },
    });
    await installation.call('PATCH', '/api/v1/queues/default', { body: { paused: false } });
  });
});

describe('explaining', () => {
  const explain = async (name: string) => (await installation.call('GET', `${at}/${name}/explain`)).body;

  it('says what to do about a job that does not wait for room', async () => {
    for (const name of ['idle', 'broken', 'between']) await submit({ name });
    await become('idle', { suspended: true, phase: 'Suspended', reason: 'suspended on request' });
    await become('broken', { phase: 'Failed', reason: 'it broke', endedAt: new Date() });
    const retryAt = new Date(Date.now() + 3_600_000);
    const reason = 'member 0 failed in dc-1: no disk; tried again in 3600 s (1 of 3 retries)';
    await become('between', { failures: 1, retryAt, reason });
    expect(await explain('idle')).toMatchObject({ changes: ['resume it: atoll job resume idle'] });
    expect(await explain('broken')).toMatchObject({
      ...{ sentence: 'broken is Failed: it broke.', changes: ['retry it: atoll job retry broken'] },
    });
    const waits = /member 0 failed in dc-1: no disk; it is tried again at /;
    expect(await explain('between')).toMatchObject({
      sentence: expect.stringMatching(waits),
      changes: [expect.stringContaining(`it is tried again by itself at ${retryAt.toISOString()}`)],
    });
    await eventually(async () => expect((await get('between')).reason).toMatch(waits));
    const queue = await installation.call('GET', '/api/v1/queues/default');
    const entry = queue.body.pending.find(({ job }: { job: string }) => job === 'between');
    expect(entry.reason).toMatch(waits);
  });

  it('answers many who ask at once, and dry runs among them', async () => {
    const asked = await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        index % 3 === 0
          ? submit({ name: 'only-asked' }, {}, '?dryRun=true')
          : installation.call('GET', `${at}/between/explain`),
      ),
    );
    expect(new Set(asked.map(({ status }) => status))).toEqual(new Set([200]));
  });
});

it('a fine-tune that publishes without a base, or from another model, is taken with a warning', async () => {
  await installation.call('POST', '/api/v1/models', { body: { name: 'other' } });
  const publishing = (name: string, model: string, mounts: object) =>
    submit({ name, kind: 'fine-tune', mounts, output: { publish: { model } } });
  const base = { base: { model: 'tiny' } };
  const parentless = expect.stringContaining('a version without a parent');
  expect(await publishing('from-nothing', 'tiny', {})).toMatchObject({ status: 201, body: { warning: parentless } });
  expect(await publishing('from-other', 'other', base)).toMatchObject({ status: 201, body: { warning: parentless } });
  expect((await publishing('from-base', 'tiny', base)).body.warning ?? '').not.toContain('parent');
});

it('deployments name their queue and class', async () => {
  await installation.call('POST', '/api/v1/queues', { body: { name: 'serving' } });
  const body = { name: 'chat', model: 'tiny', replicas: 0 };
  expect(await installation.call('POST', '/api/v1/deployments', { body })).toMatchObject({
    status: 201,
    body: { queue: 'default', priorityClass: 'serving', priority: 9 },
  });
  const change = { queue: 'serving', priorityClass: 'critical' };
  expect(await installation.call('PATCH', '/api/v1/deployments/chat', { body: change })).toMatchObject({
    status: 200,
    body: { ...change, priority: 10 },
  });
  for (const wrong of [{ queue: 'nowhere' }, { priorityClass: 'royal' }]) {
    const answer = await installation.call('PATCH', '/api/v1/deployments/chat', { body: wrong });
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ field: Object.keys(wrong)[0] }] } });
  }
});
