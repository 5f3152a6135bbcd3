// Queues, priority classes, tenants and usage over HTTP, on clusters that the spec reports for.

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SUBJECTS } from '#contracts';
import { DEFAULT_TENANT_ID, Store } from '#domain';
import { publishJson } from '#messaging';
import { eventually } from '#testing';
import { ControlPlaneNats } from '../../apps/control-plane/src/nats/control-plane-nats.ts';
import { callApi, type Installation, joinCluster, startInstallation } from './admin.fixture.ts';

let installation: Installation;
let store: Store;
let beating: NodeJS.Timeout | undefined;

beforeAll(async () => {
  installation = await startInstallation();
  store = installation.controlPlane.app.get(Store, { strict: false });
  const { reply } = await joinCluster(installation, 'dc-1', { kind: 'central', region: 'eu' });
  await reportFrom(reply.clusterId);
  beating = beatFor(reply.clusterId);
}, 60_000);
afterAll(async () => {
  clearInterval(beating);
  await installation?.stop();
}, 60_000);

/** Four CPUs on one node. */
async function reportFrom(clusterId: string): Promise<void> {
  const devices = [0, 1, 2, 3].map((id) => ({ id: `cpu${id}`, deviceType: 'cpu' as const, memoryBytes: 8e9 }));
  const report = {
    ...{ clusterId, bootId: crypto.randomUUID(), sequence: 1, epoch: 1, revision: 0, agentVersion: '0.1.0' },
    ...{ nodes: [{ name: 'n1', devices }], replicas: [], versions: [], tasks: [] },
  };
  const observation = { clusterId, report, replacedBoots: [], receivedAt: new Date() };
  await store.transaction((rows) => rows.observations.upsert(observation));
}

/** Without signs of life it would be Suspect after 3 s, and nothing would start in it. */
function beatFor(clusterId: string): NodeJS.Timeout {
  const { connection } = installation.controlPlane.app.get(ControlPlaneNats, { strict: false });
  let sequence = 0;
  const beat = () => {
    sequence += 1;
    const life = { boot: 'spec', sequence, revision: 1, inflight: 0, queued: 0, stallMs: 0 };
    publishJson(connection, SUBJECTS.heartbeat(clusterId), life);
  };
  beat();
  return setInterval(beat, 500);
}

const api = (method: string, path: string, body?: object) =>
  installation.call(method, `/api/v1${path}`, body === undefined ? {} : { body });
const submit = (name: string, change: object = {}) => api('POST', '/jobs', { name, command: ['true'], ...change });

/** @returns what calls with its first key */
async function makeTenant(name: string): Promise<typeof api> {
  const { body } = await api('POST', '/tenants', { name });
  return (method, path, sent) =>
    callApi(installation.controlPlane.url, method, `/api/v1${path}`, {
      key: body.token,
      ...(sent === undefined ? {} : { body: sent }),
    });
}

describe('queues', () => {
  it('there is one from the start; others are made with what is said of them', async () => {
    expect((await api('GET', '/queues')).body.items).toMatchObject([
      { name: 'default', parent: null, weight: 1, quota: {}, usage: {}, length: 0, running: 0, share: 0 },
    ]);
    const made = await api('POST', '/queues', {
      ...{ name: 'research', weight: 2, quota: { cpu: 3, 'nvidia.com/gpu': 8 }, borrowingLimit: { cpu: 5 } },
      order: 'fcfs',
    });
    expect(made).toMatchObject({
      status: 201,
      body: {
        ...{ weight: 2, quota: { cpu: 3, 'nvidia.com/gpu': 8 }, borrowingLimit: { cpu: 5 }, lendingLimit: null },
        warning: 'queue research has a quota of 8 nvidia.com/gpu, and the fleet has 0',
      },
    });
    expect(made.headers.get('etag')).toBe('"1"');
    const child = await api('POST', '/queues', { name: 'vision', parent: 'research', quota: { cpu: 1 } });
    expect(child).toMatchObject({ status: 201, body: { parent: 'research', order: 'class-shortest' } });
    expect((await api('POST', '/queues', { name: 'vision' })).status).toBe(409);
  });

  it.each<[string, object, string]>([
    ['a negative quota', { quota: { cpu: -1 } }, 'quota.cpu'],
    ['a quota of parts', { quota: { cpu: 1.5 } }, 'quota.cpu'],
    ['a quota above 2^53', { quota: { cpu: 2 ** 60 } }, 'quota.cpu'],
    ['an unknown device type', { quota: { tpu: 1 } }, 'quota.tpu'],
    ['a negative limit', { lendingLimit: { cpu: -1 } }, 'lendingLimit.cpu'],
    ['a negative weight', { weight: -1 }, 'weight'],
    ['an absurd weight', { weight: 1e9 }, 'weight'],
    ['a weight that no share can be divided by', { weight: 5e-324 }, 'weight'],
    ['an unknown order', { order: 'random' }, 'order'],
    ['an unknown parent', { parent: 'nobody' }, 'parent'],
    ['more than its parent has', { parent: 'research', quota: { cpu: 3 } }, 'quota'],
    ['a word of nobody', { paused: false, colour: 'red' }, 'colour'],
  ])('F14: refuses %s', async (_name, change, field) => {
    expect(await api('POST', '/queues', { name: 'bad', ...change })).toMatchObject({
      status: 422,
      body: { errors: [{ field }] },
    });
  });

  it('may not be deeper than three levels', async () => {
    expect((await api('POST', '/queues', { name: 'third', parent: 'vision' })).status).toBe(201);
    expect(await api('POST', '/queues', { name: 'fourth', parent: 'third' })).toMatchObject({
      status: 422,
      body: { errors: [{ field: 'parent' }] },
    });
  });

  it('answers its length, its order, and the place and reason of each entry', async () => {
    await api('PATCH', '/queues/third', { paused: true });
    await submit('waits', { queue: 'third', priorityClass: 'low' });
    await submit('first', { queue: 'third', priorityClass: 'high' });
    await submit('later', { queue: 'third', priorityClass: 'critical', dependsOn: [{ job: 'waits' }] });
    const queue = await eventually(async () => {
      const { body } = await api('GET', '/queues/third');
      expect(body.pending.map(({ reason }: { reason: string }) => reason)).toEqual([
        expect.stringMatching(/paused/),
        expect.stringMatching(/paused/),
        expect.stringMatching(/^waits for .*waits/),
      ]);
      return body;
    });
    expect(queue).toMatchObject({ length: 3, running: 0, paused: true });
    expect(queue.pending.map(({ job, phase }: { job: string; phase: string }) => `${job} ${phase}`)).toEqual([
      'first Queued',
      'waits Queued',
      'later Waiting',
    ]);
  });

  it('shows what runs in it and above it; a quota below that is taken with a warning', async () => {
    await submit('runs', { queue: 'vision', claim: { deviceType: 'cpu', count: 2 } });
    await eventually(async () => expect((await api('GET', '/jobs/runs')).body.phase).toBe('Starting'));
    expect((await api('GET', '/queues/vision')).body).toMatchObject({
      ...{ usage: { cpu: 2 }, borrowed: { cpu: 1 }, running: 1, share: 0.5 },
    });
    expect((await api('GET', '/queues/research')).body).toMatchObject({ usage: { cpu: 2 }, borrowed: {}, running: 0 });
    const before = await api('GET', '/queues/vision');
    const etag = before.headers.get('etag')!;
    const change = { quota: { cpu: 0 } };
    const stale = await installation.call('PATCH', '/api/v1/queues/vision', {
      body: change,
      headers: { 'if-match': '"77"' },
    });
    expect(stale.status).toBe(412);
    const changed = await installation.call('PATCH', '/api/v1/queues/vision', {
      body: change,
      headers: { 'if-match': etag },
    });
    expect(changed).toMatchObject({
      status: 200,
      body: { quota: { cpu: 0 }, borrowed: { cpu: 2 }, warning: expect.stringMatching(/uses 2 cpu of a quota of 0/) },
    });
    for (const quota of [{}, { 'nvidia.com/gpu': 1 }]) {
      const { body } = await api('PATCH', '/queues/vision', { quota });
      expect(body).toMatchObject({ quota, warning: expect.stringMatching(/uses 2 cpu of a quota of 0/) });
    }
    expect((await api('PATCH', '/queues/vision', { paused: false })).body).not.toHaveProperty('warning');
  });

  it('is not changed by what says nothing new: who read it before may still change it', async () => {
    const { headers, body: before } = await api('GET', '/queues/vision');
    for (const same of [{}, { weight: before.weight, quota: before.quota, paused: false }]) {
      expect((await api('PATCH', '/queues/vision', same)).headers.get('etag')).toBe(headers.get('etag'));
    }
    await api('POST', '/priority-classes', { name: 'steady', priority: 3 });
    expect((await api('PATCH', '/priority-classes/steady', {})).headers.get('etag')).toBe('"1"');
    expect((await api('PATCH', '/priority-classes/steady', { priority: 3 })).body.revision).toBe(1);
    expect((await api('PATCH', '/priority-classes/steady', { priority: 4 })).body.revision).toBe(2);
    expect((await api('DELETE', '/priority-classes/steady')).status).toBe(204);
  });

  it('goes only when nothing names it, and says what does', async () => {
    const detailOf = async (name: string) => {
      const { status, body } = await api('DELETE', `/queues/${name}`);
      return { status, detail: body?.detail };
    };
    expect(await detailOf('research')).toEqual({
      status: 409,
      detail: 'the queue research is still named by queues below it (vision)',
    });
    expect(await detailOf('vision')).toEqual({
      status: 409,
      detail: 'the queue vision is still named by queues below it (third); jobs that have not ended (runs)',
    });
    expect((await detailOf('default')).status).toBe(409);
    await api('POST', '/queues', { name: 'spare', paused: true });
    await submit('over', { queue: 'spare' });
    await api('POST', '/jobs/over/cancel');
    await eventually(async () => expect((await api('GET', '/jobs/over')).body.phase).toBe('Cancelled'));
    expect(await detailOf('spare')).toEqual({
      status: 409,
      detail: expect.stringMatching(
        /^the queue spare is still named by ended jobs \(over\), kept until \d{4}-\S+Z unless/,
      ),
    });
    expect((await api('DELETE', '/jobs/over')).status).toBe(204);
    expect((await api('DELETE', '/queues/spare')).status).toBe(204);
    expect((await api('GET', '/queues/spare')).status).toBe(404);
  });
});

describe('a dry run and an explanation', () => {
  it('says where it would run', async () => {
    const body = { name: 'maybe', command: ['true'], claim: { deviceType: 'cpu', count: 2 } };
    const plan = await api('POST', '/jobs?dryRun=true', body);
    expect(plan).toMatchObject({
      status: 200,
      body: { job: 'maybe', state: 'started', tasks: [{ rank: 0, cluster: 'dc-1' }], victims: [] },
    });
    expect(plan.body.tasks[0].devices[0].deviceIds).toHaveLength(2);
    expect((await api('GET', '/jobs/maybe')).status).toBe(404);
  });

  it('says who would be preempted, that equals never are, and F05: nor what is within the quota of its queue', async () => {
    const wanted = { name: 'maybe', command: ['true'], claim: { deviceType: 'cpu', count: 4 } };
    const plan = async (change: object) => (await api('POST', '/jobs?dryRun=true', { ...wanted, ...change })).body;
    expect(await plan({ queue: 'vision', priorityClass: 'high' })).toMatchObject({
      state: 'nominated',
      victims: [{ job: 'runs', priority: 5, lostDeviceSeconds: expect.any(Number) }],
      tasks: [{ cluster: 'dc-1' }],
    });
    expect(await plan({ queue: 'vision' })).toMatchObject({
      ...{ state: 'waiting', victims: [], tasks: [], place: expect.any(Number) },
      reason: expect.stringMatching(/0\/1 clusters fit/),
    });
    expect(await plan({ priorityClass: 'high' })).toMatchObject({ state: 'waiting', victims: [] });
  });

  it('a claim that can never fit is taken with the largest that could', async () => {
    const claim = { deviceType: 'cpu', count: 16 };
    const made = await submit('giant', { claim });
    expect(made).toMatchObject({ status: 201, body: { warning: expect.stringMatching(/never fit.*largest.*dc-1/) } });
    const explained = await eventually(async () => {
      const { body } = await api('GET', '/jobs/giant/explain');
      expect(body.decisions[0]?.outcome).toMatch(/never fit/);
      return body;
    });
    expect(explained).toMatchObject({ phase: 'Queued', attempts: [], candidates: [{ cluster: 'dc-1', score: null }] });
    expect(explained.sentence).toMatch(/^giant is Queued.*never fit/);
    expect(explained.changes.join(' ')).toMatch(/largest/);
  });

  it('says why it runs where it runs', async () => {
    const { body } = await api('GET', '/jobs/runs/explain');
    expect(body.sentence).toMatch(/^runs is Starting: .*dc-1/);
    expect(body).toMatchObject({ attempts: [{ number: 1, phase: 'Assigned' }], preemptedBy: [] });
  });
});

describe('priority classes', () => {
  it('are there from the start, can be made, changed and removed', async () => {
    const { body } = await api('GET', '/priority-classes');
    const names = body.items.map(({ name }: { name: string }) => name).sort();
    expect(names).toEqual(['critical', 'high', 'low', 'normal', 'serving']);
    expect(await api('POST', '/priority-classes', { name: 'nightly', priority: 1 })).toMatchObject({
      status: 201,
      body: { priority: 1, preemption: 'lower-priority', preemptible: true },
    });
    await submit('before', { priorityClass: 'nightly', queue: 'third' });
    const changed = await api('PATCH', '/priority-classes/nightly', { priority: 7, preemptible: false });
    expect(changed.body).toMatchObject({ priority: 7, preemptible: false, revision: 2 });
    expect((await api('GET', '/jobs/before')).body).toMatchObject({ priority: 1, preemptible: true });
    expect((await api('DELETE', '/priority-classes/nightly')).status).toBe(204);
    expect((await api('DELETE', '/priority-classes/normal')).status).toBe(409);
    expect((await api('GET', '/priority-classes/nightly')).status).toBe(404);
  });

  it.each([[{ priority: 11 }], [{ priority: -1 }], [{ priority: 1.5 }], [{ preemption: 'sometimes' }]])(
    'refuses %j',
    async (change) => {
      const answer = await api('POST', '/priority-classes', { name: 'bad', priority: 3, ...change });
      expect(answer).toMatchObject({ status: 422, body: { errors: [{ field: Object.keys(change)[0] }] } });
    },
  );
});

describe('tenants and usage', () => {
  it('S5: a tenant has its own queues and classes, and sees no other', async () => {
    const made = await api('POST', '/tenants', { name: 'guests' });
    expect(made).toMatchObject({ status: 201, body: { name: 'guests', token: expect.stringMatching(/^atoll_/) } });
    const { url } = installation.controlPlane;
    const guest = (method: string, path: string, body?: object) =>
      callApi(url, method, `/api/v1${path}`, { key: made.body.token, ...(body === undefined ? {} : { body }) });
    expect((await guest('GET', '/queues')).body.items).toMatchObject([{ name: 'default', usage: {}, length: 0 }]);
    expect((await guest('GET', '/priority-classes')).body.items).toHaveLength(5);
    const refused = [
      await guest('GET', '/queues/research'),
      await guest('PATCH', '/queues/research', { weight: 5 }),
      await guest('DELETE', '/queues/research'),
      await guest('GET', '/tenants/default/usage'),
    ];
    expect(refused.map(({ status }) => status)).toEqual([404, 404, 404, 404]);
    expect((await guest('POST', '/tenants', { name: 'more' })).status).toBe(403);
    expect((await guest('GET', '/tenants')).body.items).toMatchObject([{ name: 'guests' }]);
    expect((await api('GET', '/tenants')).body.items).toMatchObject([{ name: 'default' }, { name: 'guests' }]);
    expect((await api('GET', '/tenants/guests/usage')).body).toMatchObject({ tenant: 'guests', queues: [] });
    expect((await api('POST', '/tenants', { name: 'guests' })).status).toBe(409);
  });

  it('S5: the queues of a tenant are read by who may set them, and by itself; work in them is not named', async () => {
    const guest = await makeTenant('readable');
    const other = await makeTenant('curious');
    expect((await guest('PATCH', '/queues/default', { paused: true })).status).toBe(200);
    expect((await guest('POST', '/jobs', { name: 'secret', command: ['true'] })).status).toBe(201);
    expect((await api('GET', '/tenants/readable/queues/default')).body).toMatchObject({ length: 1, running: 0 });
    const paths = ['/tenants/readable', '/tenants/readable/queues', '/tenants/readable/queues/default'];
    for (const path of paths) {
      const [byOwner, byItself, byOther] = [await api('GET', path), await guest('GET', path), await other('GET', path)];
      expect([path, byOwner.status, byItself.status, byOther.status]).toEqual([path, 200, 200, 404]);
      expect(byOwner.body).toEqual(byItself.body);
    }
    expect((await api('GET', '/tenants/readable/queues/default')).body).not.toHaveProperty('pending');
    expect((await api('GET', '/tenants/readable/queues')).body).toMatchObject({
      items: [{ name: 'default' }],
      next: null,
    });
    expect((await api('GET', '/tenants/readable/queues/nothing')).status).toBe(404);
    expect((await other('PATCH', '/tenants/readable/queues/default', { weight: 0 })).status).toBe(404);
    expect((await other('DELETE', '/tenants/readable')).status).toBe(404);
    expect((await guest('GET', '/tenants/default/queues')).status).toBe(404);
    expect((await guest('DELETE', '/tenants/default')).status).toBe(404);
  });

  it('carry the ETag by which they are changed', async () => {
    await makeTenant('tagged');
    const path = '/tenants/tagged/queues/default';
    const etag = (await api('GET', path)).headers.get('etag')!;
    const change = (ifMatch: string) =>
      installation.call('PATCH', `/api/v1${path}`, { body: { weight: 2 }, headers: { 'if-match': ifMatch } });
    expect((await change('"77"')).status).toBe(412);
    const changed = await change(etag);
    expect([changed.status, changed.headers.get('etag')]).toEqual([200, '"2"']);
    expect((await change(etag)).status).toBe(412);
    expect((await api('GET', '/tenants/tagged')).headers.get('etag')).toBe('"1"');
  });

  it('S4: a tenant is removed by keys of the installation’s own tenant only, and when nothing of it is left', async () => {
    const guest = await makeTenant('leaving');
    await guest('POST', '/models', { name: 'm1' });
    await guest('POST', '/queues', { name: 'part', parent: 'default' });
    await api('POST', '/budgets?tenant=leaving', { name: 'b1', tokens: 1_000, period: 'day' });
    const holds = [
      { kind: 'budgets', count: 1, names: ['b1'] },
      { kind: 'models', count: 1, names: ['m1'] },
    ];
    expect((await guest('GET', '/tenants/leaving')).body).toMatchObject({ name: 'leaving', holds });
    expect((await guest('DELETE', '/tenants/leaving')).status).toBe(403);
    const { body: viewer } = await api('POST', '/api-keys', { name: 'reads', role: 'viewer' });
    const asViewer = { key: viewer.key };
    expect((await installation.call('DELETE', '/api/v1/tenants/leaving', asViewer)).status).toBe(403);
    expect((await installation.call('GET', '/api/v1/tenants/leaving/queues/default', asViewer)).status).toBe(200);
    expect(await api('DELETE', '/tenants/leaving')).toMatchObject({
      status: 409,
      body: {
        detail: 'of the tenant leaving there are still 1 budget (b1), 1 model (m1); remove these first, ended jobs too',
      },
    });
    expect((await api('DELETE', '/tenants/default')).status).toBe(409);
    await guest('DELETE', '/models/m1');
    await api('DELETE', '/budgets/b1?tenant=leaving');
    const removed = (ifMatch: string) =>
      installation.call('DELETE', '/api/v1/tenants/leaving', { headers: { 'if-match': ifMatch } });
    expect((await removed('"77"')).status).toBe(412);
    expect((await removed('"1"')).status).toBe(204);
    expect((await removed('*')).status).toBe(404);
    expect((await guest('GET', '/queues')).status).toBe(401);
    expect((await api('GET', '/tenants/leaving/usage')).status).toBe(404);
    const again = await makeTenant('leaving');
    expect((await again('GET', '/queues')).body.items).toMatchObject([{ name: 'default', revision: 1 }]);
  });

  it('U3: are listed in pages, and refuse what no list knows', async () => {
    const first = (await api('GET', '/tenants?limit=1')).body;
    expect(first).toMatchObject({ items: [{ name: 'default' }], next: expect.any(String) });
    const rest = (await api('GET', `/tenants?limit=200&after=${first.next}`)).body;
    expect(rest.items.map(({ name }: { name: string }) => name)).toEqual(expect.arrayContaining(['guests', 'leaving']));
    expect(rest.next).toBeNull();
    const routes = ['/tenants', '/tenants/guests', '/tenants/guests/queues', '/tenants/guests/queues/default'];
    for (const path of [...routes, '/queues', '/queues/default', '/priority-classes/low', '/usage']) {
      const answer = await api('GET', `${path}?bogus=1`);
      expect([path, answer.status, answer.body.errors]).toEqual([
        path,
        422,
        [{ field: 'bogus', message: 'is not a known field' }],
      ]);
    }
  });

  it('S4: a tenant divides what it was given, and does not give itself more', async () => {
    const { body: tenant } = await api('POST', '/tenants', { name: 'ambitious' });
    const { url } = installation.controlPlane;
    const guest = (method: string, path: string, body: object) =>
      callApi(url, method, `/api/v1${path}`, { key: tenant.token, body });
    const status = async (answer: Promise<{ status: number }>) => (await answer).status;
    expect(await status(guest('PATCH', '/queues/default', { quota: { cpu: 2 } }))).toBe(403);
    expect(await status(guest('PATCH', '/tenants/ambitious/queues/default', { weight: 2 }))).toBe(403);
    expect(await status(guest('PATCH', '/tenants/default/queues/default', { weight: 2 }))).toBe(404);
    expect(await status(guest('POST', '/queues', { name: 'another-root' }))).toBe(403);
    const given = await api('PATCH', '/tenants/ambitious/queues/default', { quota: { cpu: 2 }, weight: 3 });
    expect(given).toMatchObject({ status: 200, body: { name: 'default', quota: { cpu: 2 }, weight: 3 } });
    const part = { name: 'part', parent: 'default', quota: { cpu: 2 }, weight: 9 };
    expect(await status(guest('POST', '/queues', part))).toBe(201);
    expect(await status(guest('PATCH', '/queues/default', { order: 'fcfs', weight: 1 }))).toBe(200);
  });

  it('counts what a queue used that is gone, by the name that it had', async () => {
    const { body: queue } = await api('POST', '/queues', { name: 'gone' });
    const tenantId = (await store.read.tenants.find({ name: 'default' }))!.id;
    const used = { jobDeviceSeconds: 10, servingDeviceSeconds: 0, lostDeviceSeconds: 0 };
    const charged = { tenantId, deviceType: 'cpu' as const, day: '2019-05-05', ...used };
    await store.transaction((rows) =>
      rows.usage.charge([queue.id, DEFAULT_TENANT_ID].map((queueId) => ({ ...charged, queueId }))),
    );
    expect((await api('DELETE', '/queues/gone')).status).toBe(204);
    const { queues } = (await api('GET', '/usage?since=2019-01-01')).body;
    expect(queues).toEqual(
      expect.arrayContaining([
        { queue: 'gone (removed)', deviceType: 'cpu', ...used },
        { queue: `${DEFAULT_TENANT_ID} (removed)`, deviceType: 'cpu', ...used },
      ]),
    );
    expect(await api('GET', '/usage?since=2999-01-01')).toMatchObject({
      status: 422,
      body: { errors: [{ field: 'since', message: expect.stringMatching(/^is to come: today is 20/) }] },
    });
  });

  it('counts what ended and what runs, by queue and device type', async () => {
    const tenantId = (await store.read.tenants.find({ name: 'default' }))!.id;
    const queue = (await store.read.queues.find({ tenantId, name: 'vision' }))!;
    const charged = { tenantId, queueId: queue.id, deviceType: 'cpu' as const, day: '2020-05-05' };
    await store.transaction((rows) =>
      rows.usage.charge([{ ...charged, jobDeviceSeconds: 1_000, servingDeviceSeconds: 50, lostDeviceSeconds: 7 }]),
    );
    const all = (await api('GET', '/usage?since=2020-01-01')).body;
    expect(all).toMatchObject({ tenant: 'default', since: '2020-01-01' });
    const [row] = all.queues.filter((each: { queue: string }) => each.queue === 'vision');
    expect(row).toMatchObject({ deviceType: 'cpu', servingDeviceSeconds: 50, lostDeviceSeconds: 7 });
    expect(row.jobDeviceSeconds).toBeGreaterThan(1_000); // `runs` holds two CPUs
    const recent = (await api('GET', '/usage')).body;
    expect(recent.total.servingDeviceSeconds).toBe(0);
    expect((await api('GET', '/usage?since=yesterday')).status).toBe(422);
  });
});
