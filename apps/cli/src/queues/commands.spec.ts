// What the commands of queues, priority classes, tenants and usage send and show.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { aQueue, ID } from '../../test/builders.fixture.ts';
import { adminServer, page, temporaryFolder } from '../../test/cli.fixture.ts';

const folder = temporaryFolder();
const { server, atoll } = adminServer();
afterAll(() => folder.remove());

const MADE = '2030-01-01T11:00:00.000Z';
const aClass = {
  id: ID,
  name: 'nightly',
  priority: 1,
  preemption: 'never',
  preemptible: true,
  createdAt: MADE,
  revision: 1,
};

it.each<[string, Record<string, object>, object]>([
  [
    'queue create research --parent all --weight 2.5 --quota nvidia.com/gpu=8 --quota cpu=4 --borrowing-limit cpu=2 --lending-limit none --order fcfs --pause',
    { 'POST /queues': { status: 201, body: aQueue() } },
    {
      body: {
        ...{ name: 'research', parent: 'all', weight: 2.5, quota: { 'nvidia.com/gpu': 8, cpu: 4 } },
        ...{ borrowingLimit: { cpu: 2 }, lendingLimit: null, order: 'fcfs', paused: true },
      },
    },
  ],
  ['queue update research --unpause', { 'PATCH /queues/research': { body: aQueue() } }, { body: { paused: false } }],
  [
    'queue list --tenant guests',
    { 'GET /tenants/guests/queues': page(aQueue()) },
    { call: 'GET /tenants/guests/queues?limit=200' },
  ],
  [
    'queue show default --tenant guests',
    { 'GET /tenants/guests/queues/default': { body: aQueue() } },
    { call: 'GET /tenants/guests/queues/default' },
  ],
  ['tenants delete guests', { 'DELETE /tenants/guests': { status: 204 } }, { call: 'DELETE /tenants/guests' }],
  ['queues delete research', { 'DELETE /queues/research': { status: 204 } }, { call: 'DELETE /queues/research' }],
  [
    'priority-class create nightly --priority 1 --preemption never --no-preemptible',
    { 'POST /priority-classes': { status: 201, body: aClass } },
    { body: { name: 'nightly', priority: 1, preemption: 'never', preemptible: false } },
  ],
  [
    'priority-class update nightly --preemptible',
    { 'PATCH /priority-classes/nightly': { body: aClass } },
    { body: { preemptible: true } },
  ],
  [
    'priority-classes delete nightly',
    { 'DELETE /priority-classes/nightly': { status: 204 } },
    { call: 'DELETE /priority-classes/nightly' },
  ],
])('atoll %s', async (command, answers, want) => {
  for (const [call, answer] of Object.entries(answers)) server.on(call, answer);
  expect(await atoll(command)).toMatchObject({ exitCode: 0, err: '' });
  expect(server.seen[0]).toMatchObject(want);
});

it.each([
  ['queue create research --quota 8', 'type=count'],
  ['queue create research --quota tpu=8', 'tpu is no device type'],
  ['queue create research --quota cpu=', 'type=count'],
  ['queue create research --quota cpu=-1', 'cpu must not be negative'],
  ['queue create research --quota cpu=1.5', 'cpu must be a whole number'],
  ['queue create research --quota cpu=many', 'cpu must be a whole number'],
  ['queue create research --borrowing-limit cpu=99999999999999999999', 'cpu must be at most 1000000000'],
  ['queue create research --weight 2000', 'must be 0, or from 0.001 to 1000'],
  ['queue create research --order random', 'Allowed choices are fcfs'],
  ['queue update research', 'nothing to change was said'],
  ['queue update research --pause --unpause', 'cannot be used with option'],
  ['priority-class create nightly', "required option '--priority <number>' not specified"],
  ['priority-class create nightly --priority 11', 'a whole number from 0 to 10'],
  ['priority-class update nightly', 'nothing to change was said'],
  ['tenant create Bad', 'must be a DNS label'],
  ['usage --since yesterday', 'must be a date such as'],
])('a wrong command exits 2 and calls nobody: %s', async (command, want) => {
  const { exitCode, err } = await atoll(command);
  expect({ exitCode, calls: server.seen }).toEqual({ exitCode: 2, calls: [] });
  expect(err).toContain(want);
});

describe('queues', () => {
  it('show what they use, and who waits', async () => {
    server.on('GET /queues/research', { body: aQueue() });
    expect((await atoll('queue show research')).out).toBe(
      [
        'Name:       research',
        'Weight:     2',
        'Quota:      nvidia.com/gpu 8',
        'May borrow: as far as there is room',
        'Lends:      nvidia.com/gpu 2',
        'Order:      class-shortest',
        'Uses:       nvidia.com/gpu 10',
        'Borrowed:   nvidia.com/gpu 2',
        'Share:      12.5 %',
        'Length:     3 waiting, 2 running',
        '',
        'PLACE  JOB    PRIORITY  PHASE   SINCE      REASON',
        '1      count  5         Queued  2 min ago  0/1 clusters fit',
        'and 2 more',
        '',
      ].join('\n'),
    );
    server.on('GET /queues', page(aQueue({ paused: true, share: null })));
    expect((await atoll('queue list', { columns: 160 })).out).toMatch(
      /research \(paused\) +- +2 +nvidia.com\/gpu 8 +nvidia.com\/gpu 10 +- +3 +2/,
    );
  });

  it('warn of a quota below what is used', async () => {
    server.on('PATCH /queues/research', { body: aQueue({ warning: 'queue research uses more' }) });
    expect(await atoll('queue update research --quota cpu=0')).toMatchObject({
      exitCode: 0,
      err: 'warning: queue research uses more\n',
    });
  });
});

describe('tenants', () => {
  const guests = { id: ID, name: 'guests', createdAt: MADE, revision: 1 };
  const made = { ...guests, token: 'atoll_first_secret' };

  it('show their first key once, or write it to a file', async () => {
    server.on('POST /tenants', { status: 201, body: made });
    expect(await atoll('tenant create guests')).toEqual({
      ...{ exitCode: 0, out: 'atoll_first_secret\n' },
      err: 'This key is not shown again.\n',
    });
    const { out } = await atoll('tenant create guests --key-out guests.key', { cwd: folder.path });
    expect(out).toBe('guests is made; its key is in guests.key.\n');
    expect(readFileSync(join(folder.path, 'guests.key'), 'utf8')).toBe('atoll_first_secret\n');
  });

  it('and what keeps them from being removed', async () => {
    const holds = [
      { kind: 'jobs', count: 7, names: ['a', 'b'] },
      { kind: 'models', count: 1, names: ['m'] },
    ];
    server.on('GET /tenants/guests', { body: { ...guests, holds } });
    expect((await atoll('tenant show guests')).out).toMatch(/Holds: +7 jobs \(a, b …\); 1 models \(m\)\n/);
    server.on('GET /tenants/guests', { body: { ...guests, holds: [] } });
    expect((await atoll('tenant show guests')).out).toMatch(/Holds: +nothing that keeps it/);
  });

  it('and their use, by queue and device type', async () => {
    const seconds = { jobDeviceSeconds: 1_000.4, servingDeviceSeconds: 50, lostDeviceSeconds: 7 };
    const queues = [{ queue: 'default', deviceType: 'cpu', ...seconds }];
    server.on('GET /tenants/guests/usage', { body: { tenant: 'guests', since: '2030-01-01', queues, total: seconds } });
    const { out } = await atoll('usage --tenant guests --since 2030-01-01');
    expect(server.seen[0]?.call).toBe('GET /tenants/guests/usage?since=2030-01-01');
    expect(out).toMatch(/default +cpu +1000 +7 +50\n/);
  });
});
