// What the commands of jobs send, show and answer with.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { aJob, aJobExplanation, aJobPlan, anAttempt, DIGEST, ID } from '../../test/builders.fixture.ts';
import { adminServer, page, problem, temporaryFolder } from '../../test/cli.fixture.ts';

const folder = temporaryFolder();
const { server, atoll, bodyOf } = adminServer();
afterAll(() => folder.remove());

describe('job submit', () => {
  it.each<[string, object]>([
    ['job submit count -- node count.mjs --steps 3', { name: 'count', command: ['node', 'count.mjs', '--steps', '3'] }],
    [
      'job submit tune --kind fine-tune --queue research --priority-class high --tasks 4 --minimum 2 --device-type nvidia.com/gpu --device-count 8 --device-memory 80G --topology link --launcher torchrun -- train.py',
      {
        ...{ name: 'tune', kind: 'fine-tune', queue: 'research', priorityClass: 'high', launcher: 'torchrun' },
        tasks: { size: 4, minimum: 2 },
        claim: {
          ...{ deviceType: 'nvidia.com/gpu', count: 8, memoryBytesPerDevice: 80e9 },
          schedulingPolicy: { topologyScope: 'link' },
        },
        command: ['train.py'],
      },
    ],
    [
      'job submit tune --kind fine-tune --auto --mount base=llama@stable --mount data=corpus:3 --publish llama@canary --checkpoint signal --checkpoint-every 30m --grace 5m --retries 0 --expected 2h -- train.py',
      {
        ...{ name: 'tune', kind: 'fine-tune', claim: 'auto', graceSeconds: 300, expectedSeconds: 7_200 },
        mounts: { base: { model: 'llama', alias: 'stable' }, data: { model: 'corpus', version: 3 } },
        output: { publish: { model: 'llama', alias: 'canary' } },
        checkpoint: { mode: 'signal', intervalSeconds: 1_800 },
        retry: { limit: 0 },
        command: ['train.py'],
      },
    ],
    [
      'job submit measure --kind evaluation --template lm-eval --parameter tasks=mmlu --mount base=llama --depends-on tune --depends-on clean:always --cluster dc-1 --cluster-kind central --env HF_HOME=/tmp/hf',
      {
        ...{ name: 'measure', kind: 'evaluation', template: { name: 'lm-eval', parameters: { tasks: 'mmlu' } } },
        mounts: { base: { model: 'llama' } },
        dependsOn: [
          { job: 'tune', when: 'success' },
          { job: 'clean', when: 'always' },
        ],
        selector: { clusterNames: ['dc-1'], kinds: ['central'] },
        environment: { HF_HOME: '/tmp/hf' },
      },
    ],
  ])('%s', async (command, want) => {
    server.on('POST /jobs', { status: 201, body: aJob() });
    expect(await atoll(command)).toMatchObject({ exitCode: 0, err: '' });
    expect(bodyOf('POST /jobs')).toEqual(want);
  });

  it('takes a file, and what is said beside it wins', async () => {
    const path = join(folder.path, 'job.yaml');
    writeFileSync(
      path,
      'command: [python, train.py]\nqueue: night\ntasks:\n  size: 2\nenvironment:\n  A: "1"\n  B: "2"\n',
    );
    server.on('POST /jobs', { status: 201, body: aJob() });
    expect((await atoll(`job submit count --file ${path} --queue day --env B=3`)).exitCode).toBe(0);
    expect(bodyOf('POST /jobs')).toEqual({
      ...{ name: 'count', command: ['python', 'train.py'], queue: 'day' },
      ...{ tasks: { size: 2 }, environment: { A: '1', B: '3' } },
    });
    server.forget();
    server.on('POST /jobs', { status: 201, body: aJob() });
    await atoll('job submit count --file -', { readInput: () => '{"command": ["true"]}' });
    expect(bodyOf('POST /jobs')).toEqual({ name: 'count', command: ['true'] });
  });

  it.each([
    ['job submit count', 'command: give a command or a template'],
    ['job submit Count -- true', 'must be a DNS label'],
    ['job submit count --tasks 0 -- true', 'a whole number from 1 to 4096'],
    ['job submit count --tasks 2 --minimum 3 -- true', 'tasks.minimum: must be at most size'],
    ['job submit count --device-type tpu -- true', 'Allowed choices are nvidia.com/gpu'],
    ['job submit count --auto -- true', 'claim: auto sizes the claim from the mount "base"'],
    ['job submit count --auto --device-count 2 -- true', 'cannot be used with option'],
    ['job submit count --mount base -- true', 'base=model'],
    ['job submit count --depends-on a:later -- true', 'such as prepare'],
    ['job submit count --env ATOLL_X=1 -- true', 'is set by Atoll itself'],
    ['job submit count --template magic', 'Allowed choices are shell'],
    ['job submit count --grace 60 -- true', 'a duration such as'],
    ['job submit count --file /nonexistent', 'no such file'],
    ['job submit count --dry-run --watch -- true', 'cannot be used with option'],
    ['job list --phase Sleeping', 'Allowed choices are Waiting'],
    ['job logs count --rank -1', 'a whole number from 0'],
    ['job artifacts count --to x', '--get says what'],
    ['explain job', "missing required argument 'name'"],
  ])('a wrong command exits 2 and calls nobody: %s', async (command, want) => {
    const { exitCode, err } = await atoll(command);
    expect({ exitCode, calls: server.seen }).toEqual({ exitCode: 2, calls: [] });
    expect(err).toContain(want);
  });

  it('a file that is no job is said to be none', async () => {
    const { exitCode, err } = await atoll('job submit count --file -', { readInput: () => '- a\n- b\n' });
    expect([exitCode, err]).toEqual([
      2,
      'error: - must hold the fields of a job, such as command: [python, train.py]\n',
    ]);
  });

  it('a file with fields that no job has says which', async () => {
    const file = { readInput: () => 'command: ["true"]\ncolour: red\nretry: { often: true }\n' };
    const { exitCode, err } = await atoll('job submit count --file -', file);
    expect([exitCode, err]).toEqual([2, 'error: retry.often: is not a known field\n  colour: is not a known field\n']);
  });

  it.each([
    [
      [{ field: 'tasks.size', message: 'must be at least 1' }],
      'Some values are not valid: tasks.size: must be at least 1\n',
    ],
    [
      [
        { field: 'tasks.size', message: 'must be at least 1' },
        { field: 'retry.limit', message: 'must be at most 100' },
      ],
      'Some values are not valid:\n  tasks.size: must be at least 1\n  retry.limit: must be at most 100\n',
    ],
  ])('what the control plane finds wrong is said once: %j', async (errors, want) => {
    const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
    const { body, status } = problem(422, 'invalid', `${errors[0]!.field}: ${errors[0]!.message}${more}`, errors);
    server.on('POST /jobs', { status, body: { ...body, title: 'Some values are not valid' } });
    expect(await atoll('job submit count -- true')).toEqual({ exitCode: 1, out: '', err: `error: ${want}` });
  });

  it('a warning goes to the errors, and the job is submitted all the same', async () => {
    server.on('POST /jobs', { status: 201, body: aJob({ warning: 'can never fit' }) });
    expect(await atoll('job submit count -- true')).toMatchObject({ exitCode: 0, err: 'warning: can never fit\n' });
  });

  it('a dry run says where, when, and who would make room', async () => {
    server.on('POST /jobs', { body: aJobPlan({ sized: 'tensor 2: 12.0 GB a device; nothing smaller exists' }) });
    const { out } = await atoll('job submit count --dry-run -- true');
    expect(out).toBe(
      [
        'Nothing was submitted.',
        'It would start once others have made room: waits for 1 to make room on dc-1',
        'Where:                                     dc-1 n1: cpu0 cpu1',
        'At the latest:                             in 1 min',
        'What it needs:                             tensor 2: 12.0 GB a device; nothing smaller exists',
        '',
        'MAKES ROOM  PRIORITY  LOSES (DEVICE-SECONDS)',
        'low         2         12.3',
        '',
        'CANDIDATE  SCORE  WHY',
        'dc-1       0.50   pack 0.50',
        '',
      ].join('\n'),
    );
    expect(server.seen.map(({ call }) => call)).toEqual(['POST /jobs?dryRun=true']);
  });

  it('is watched to its end, which is the exit code', async () => {
    server.on('POST /jobs', { status: 201, body: aJob() });
    const answers = [aJob(), aJob({ phase: 'Failed', reason: 'exit code 3', progress: null })];
    server.on('GET /jobs/count', (_request, response) => {
      response.end(JSON.stringify(answers.length > 1 ? answers.shift() : answers[0]));
    });
    const { exitCode, out, err } = await atoll('job submit count --watch -- true', { now: () => new Date() });
    expect(exitCode).toBe(1);
    expect(out).toMatch(/Phase: +Failed/);
    expect(err).toContain('Running  step 12 of 60');
    expect(err).toContain('error: count Failed: exit code 3\n');
  });
});

describe('looking', () => {
  it('lists by queue and phase', async () => {
    server.on(
      'GET /jobs',
      page(aJob(), aJob({ name: 'next', phase: 'Queued', place: 1, reason: 'no room', progress: null })),
    );
    const { out } = await atoll('job list --queue default --phase Running --phase Queued');
    expect(out).toBe(
      [
        'NAME   QUEUE    CLASS       PHASE    MADE     REASON',
        'count  default  normal (5)  Running  1 h ago  step 12 of 60',
        'next   default  normal (5)  Queued   1 h ago  place 1: no room',
        '',
      ].join('\n'),
    );
    expect(server.seen[0]?.call).toBe('GET /jobs?queue=default&phase=Running%2CQueued&limit=200');
  });

  it('shows one', async () => {
    const checkpoint = {
      ...{ attemptId: ID, sequence: 2, manifestDigest: DIGEST, sizeBytes: 1_500, progress: 'step 10 of 60' },
      ...{ savedDeviceSeconds: 8, at: '2030-01-01T11:59:30.000Z' },
    };
    const usage = { ranSeconds: 70, deviceSeconds: 140, lostDeviceSeconds: 2.25 };
    const dependsOn = [{ job: 'prepare', when: 'always' as const, phase: null }];
    server.on('GET /jobs/count', { body: aJob({ checkpoint, usage, dependsOn, attempts: 2, preemptions: 1 }) });
    expect((await atoll('job show count')).out).toBe(
      [
        'Name:       count',
        'Kind:       command',
        'Phase:      Running, since 1 min ago',
        'Reason:     all of its tasks run',
        'Queue:      default',
        'Class:      normal: priority 5, may preempt lower ones, may be preempted',
        'Waits for:  prepare to end (gone)',
        'Needs:      1 cpu, in one node',
        'Where:      any cluster',
        'Command:    node count.mjs',
        'Runs on:    dc-1 n1: cpu0',
        'Progress:   step 12 of 60',
        'Checkpoint: step 10 of 60 (number 2), 1.50 kB, saved 30 s ago',
        'Attempts:   2, 1 preempted',
        'Used:       ran 1 min, 140 accelerator-seconds, 2.3 of them lost',
        'Made:       1 h ago',
        '',
      ].join('\n'),
    );
  });

  it('explains: the sentence first, then what it rests on', async () => {
    server.on('GET /jobs/count/explain', { body: aJobExplanation() });
    const { out } = await atoll('explain job count', { columns: 120 });
    expect(out.startsWith('count is Queued (place 2 in its queue): 0/1 clusters fit.\n')).toBe(true);
    expect(out).toContain('1 min ago: preempted by high (priority 8 over 5); lost 0.2 device-seconds');
    expect(out).toContain('What would help:\n  - wait for low to end\n');
    expect(out).toMatch(/1 +preempted +dc-1/);
    expect((await atoll('job explain count')).exitCode).toBe(0);
  });

  it('explains one that neither waits nor was preempted', async () => {
    const nothing = { place: null, startsBy: null, preemptedBy: [], changes: [], candidates: [], decisions: [] };
    const sentence = 'count is Running: runs in dc-1.';
    server.on('GET /jobs/count/explain', { body: aJobExplanation({ ...nothing, sentence, attempts: [] }) });
    expect(await atoll('explain job count')).toEqual({ exitCode: 0, out: `${sentence}\n`, err: '' });
  });

  it('shows attempts and events', async () => {
    server.on('GET /jobs/count/attempts', page(anAttempt()));
    server.on(
      'GET /jobs/count/events',
      page({ id: ID, kind: 'Submitted', message: 'by key:x', attemptId: null, at: '2030-01-01T11:00:00.000Z' }),
    );
    expect((await atoll('job attempts count')).out).toMatch(/1 +Running +dc-1 +1 h ago +0 +placed on dc-1/);
    expect((await atoll('job events count')).out).toMatch(/1 h ago +Submitted +by key:x/);
  });
});

describe('logs', () => {
  const text = (content: string) => (_request: unknown, response: { end(text: string): unknown }) =>
    response.end(content);

  it('are what is there', async () => {
    server.on('GET /jobs/count/logs', text('one\ntwo\n'));
    expect(await atoll('job logs count --rank 1 --tail 4k')).toEqual({ exitCode: 0, out: 'one\ntwo\n', err: '' });
    expect(server.seen[0]?.call).toBe('GET /jobs/count/logs?rank=1&tailBytes=4000');
  });

  it('are followed over attempts to the end of the job', async () => {
    const jobs = [aJob(), aJob({ attempts: 2 }), aJob({ attempts: 2, phase: 'Succeeded' })];
    server.on('GET /jobs/count', (_request, response) =>
      response.end(JSON.stringify(jobs.length > 1 ? jobs.shift() : jobs[0])),
    );
    server.on('GET /jobs/count/logs', (request, response) =>
      response.end(request.url!.includes('attempt=1') ? 'first\n' : 'second\n'),
    );
    expect(await atoll('job logs count --follow')).toEqual({
      exitCode: 0,
      out: 'first\nsecond\n',
      err: 'attempt 2 of count:\n',
    });
  });

  it('of a job that has not begun: it is said why, once a reason, until it begins', async () => {
    const queued = (reason: string) => aJob({ attempts: 0, phase: 'Queued', reason });
    const jobs = [
      ...[queued('waits for room'), queued('waits for room'), queued('waits for room'), queued('quota is used up')],
      ...[aJob(), aJob({ phase: 'Succeeded' })],
    ];
    server.on('GET /jobs/count', (_request, response) => response.end(JSON.stringify(jobs.shift())));
    server.on('GET /jobs/count/logs', text('first\n'));
    expect(await atoll('job logs count --follow')).toEqual({
      exitCode: 0,
      out: 'first\n',
      err: [
        'count has not begun. It is Queued: waits for room\n',
        'count has not begun. It is Queued: quota is used up\n',
      ].join(''),
    });
  });

  it('of a job whose next attempt has to wait: it is said why', async () => {
    const jobs = [
      ...[aJob(), aJob({ phase: 'Stopping', reason: 'preempted by job urgent' })],
      aJob({ phase: 'Queued', reason: 'preempted by job urgent' }),
      aJob({ phase: 'Cancelled', reason: 'cancelled on request' }),
    ];
    server.on('GET /jobs/count', (_request, response) => response.end(JSON.stringify(jobs.shift())));
    server.on('GET /jobs/count/logs', text('first\n'));
    expect(await atoll('job logs count --follow')).toEqual({
      exitCode: 0,
      out: 'first\n',
      err: 'count has not begun again. It is Queued: preempted by job urgent\n',
    });
  });

  it('of a job that ends without having begun: there are none, and never will be', async () => {
    const jobs = [
      ...[aJob({ attempts: 0, phase: 'Queued', reason: 'waits for room' })],
      ...[aJob({ attempts: 0, phase: 'Queued', reason: 'waits for room' })],
      aJob({ attempts: 0, phase: 'Failed', reason: 'it found no room within its 5 s' }),
    ];
    server.on('GET /jobs/count', (_request, response) => response.end(JSON.stringify(jobs.shift())));
    expect(await atoll('job logs count --follow')).toEqual({
      exitCode: 1,
      out: '',
      err: [
        'count has not begun. It is Queued: waits for room\n',
        'error: count ended without having begun, so it has no log. It is Failed: it found no room within its 5 s\n',
      ].join(''),
    });
  });

  it('that are not there are a refusal', async () => {
    server.on('GET /jobs/count/logs', problem(503, 'unavailable', 'Cluster dc-1 does not answer.'));
    expect(await atoll('job logs count')).toMatchObject({
      exitCode: 1,
      err: 'error: unavailable: Cluster dc-1 does not answer.\n',
    });
  });
});

describe('artifacts', () => {
  it('are listed, and fetched into a new file', async () => {
    const files = [{ path: 'out/a.txt', sizeBytes: 3, digest: DIGEST }];
    server.on('GET /jobs/count/artifacts', { body: { job: 'count', outputDigest: DIGEST, files } });
    expect((await atoll('job artifacts count')).out).toMatch(/out\/a\.txt +3 B +aaaaaaaaaaaa\n/);
    server.on('GET /jobs/count/artifacts/out/a.txt', (_request, response) => response.end('abc'));
    const command = 'job artifacts count --get out/a.txt --to a.txt';
    expect(await atoll(command, { cwd: folder.path })).toMatchObject({ exitCode: 0 });
    expect(readFileSync(join(folder.path, 'a.txt'), 'utf8')).toBe('abc');
    expect(await atoll(command, { cwd: folder.path })).toMatchObject({
      exitCode: 1,
      err: expect.stringContaining('is there already'),
    });
    expect((await atoll('job artifacts count --get out/a.txt')).out).toBe('abc');
  });
});

describe('steering', () => {
  it.each(['cancel', 'suspend', 'resume', 'retry'])('%s', async (verb) => {
    server.on(`POST /jobs/count/${verb}`, { status: 202, body: aJob() });
    expect((await atoll(`job ${verb} count`)).exitCode).toBe(0);
    expect(server.seen[0]?.call).toBe(`POST /jobs/count/${verb}`);
  });

  it('delete says which of the two it did', async () => {
    server.on('DELETE /jobs/count', { status: 204 });
    server.on('GET /jobs/count', { body: aJob() });
    expect((await atoll('job delete count')).out).toBe('count is being cancelled; delete it again to remove it.\n');
    server.on('GET /jobs/count', { body: aJob({ phase: 'Cancelled' }) });
    expect((await atoll('job delete count')).out).toBe('count is gone.\n');
  });
});
