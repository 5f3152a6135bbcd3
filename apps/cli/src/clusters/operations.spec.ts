// What the commands that operate clusters send, show and answer with.
import { describe, expect, it } from '@jest/globals';
import type { ClusterDrainDto } from '#contracts';
import { aCluster, ID } from '../../test/builders.fixture.ts';
import { adminServer, NOW } from '../../test/cli.fixture.ts';

const { server, atoll, bodyOf } = adminServer();

const aDrain = (changes: Partial<ClusterDrainDto> = {}): ClusterDrainDto => ({
  mode: 'move',
  deadlineSeconds: 600,
  since: '2030-01-01T11:59:00.000Z',
  requestedBy: 'key:a',
  stage: 'move',
  isDone: false,
  replicasLeft: 1,
  attemptsLeft: 0,
  status: 'Being drained (move): 1 replica left.',
  blockedBy: ['chat: 1 replica waiting for another place to serve (0/2 clusters fit)'],
  ...changes,
});
/** A clock that jumps by more than a second at every look. */
function hurried(): () => Date {
  let ms = NOW.getTime();
  return () => {
    ms += 1_001;
    return new Date(ms);
  };
}

const done = { isDone: true, replicasLeft: 0, status: 'Drained; nothing runs here.', blockedBy: [] };

describe('cluster drain', () => {
  it.each<[string, object]>([
    ['cluster drain edge', { mode: 'move' }],
    ['cluster drain edge --mode wait --deadline 2h', { mode: 'wait', deadlineSeconds: 7_200 }],
    ['cluster drain edge --mode stop', { mode: 'stop' }],
  ])('%s', async (command, want) => {
    server.on('POST /clusters/edge/drain', { body: aCluster({ drain: aDrain() }) });
    const { exitCode, out } = await atoll(command);
    expect([exitCode, bodyOf('POST /clusters/edge/drain')]).toEqual([0, want]);
    expect(out).toContain('Being drained (move): 1 replica left.\nSee how it goes: atoll explain cluster edge');
  });

  it('waits until nothing runs there', async () => {
    const answers = [aDrain(), aDrain(done)];
    server.on('POST /clusters/edge/drain', { body: aCluster({ drain: aDrain() }) });
    server.on('GET /clusters/edge', (_request, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(aCluster({ drain: answers.shift()! })));
    });
    expect(await atoll('cluster drain edge --wait')).toMatchObject({
      exitCode: 0,
      out: expect.stringContaining('edge: Drained; nothing runs here.'),
    });
  });

  it('gives up at the time limit with what it waits for', async () => {
    server.on('POST /clusters/edge/drain', { body: aCluster({ drain: aDrain() }) });
    server.on('GET /clusters/edge', { body: aCluster({ drain: aDrain() }) });
    const { exitCode, err } = await atoll('cluster drain edge --wait --timeout 1', { now: hurried() });
    expect([exitCode, err]).toEqual([1, expect.stringContaining('edge is not drained after 1 s')]);
    expect(err).toContain('waiting for another place to serve');
  });

  it('U4: a dry run shows what goes where and changes nothing', async () => {
    const replicas = [{ replicaId: ID, deployment: 'chat', to: 'edge-2', says: 'goes once its replacement serves' }];
    const jobs = [{ job: 'tune', attempt: 2, says: 'saves what it can, and is queued again' }];
    const plan = { cluster: 'edge', mode: 'move', outcome: '1 replicas and 1 attempts', replicas, jobs };
    server.on('POST /clusters/edge/drain', { body: plan });
    const { out } = await atoll('cluster drain edge --dry-run');
    expect(server.seen.map(({ call }) => call)).toEqual(['POST /clusters/edge/drain?dryRun=true']);
    for (const words of ['Nothing was changed', 'replica of chat', 'edge-2', 'job tune, attempt 2'])
      expect(out).toContain(words);
  });

  it('is undone', async () => {
    server.on('DELETE /clusters/edge/drain', { body: aCluster() });
    expect(await atoll('cluster undrain edge')).toMatchObject({ out: 'edge is no longer drained (Ready).\n' });
  });
});

describe('explain cluster', () => {
  const explanation = {
    ...{ cluster: 'edge', phase: 'Unknown', summary: 'edge has been Unknown for 10 min', silentSeconds: 600 },
    ...{ reportedAt: null, desired: { epoch: 3, revision: 12 }, applied: null, versions: [], conflicts: [] },
    findings: [{ about: 'contact', says: 'edge has been Unknown for 10 min', next: 'look at its machine' }],
    replicas: [{ replicaId: ID, deployment: 'chat', isWanted: null, phase: 'Ready', reason: '' }],
  };

  it.each(['explain cluster edge', 'cluster explain edge'])('%s', async (command) => {
    server.on('GET /clusters/edge/explain', { body: explanation });
    const { exitCode, out } = await atoll(command);
    expect(exitCode).toBe(0);
    for (const words of ['edge has been Unknown for 10 min', 'look at its machine', 'revision 12 of epoch 3', 'local'])
      expect(out).toContain(words);
  });
});

describe('conflicts and resync', () => {
  it('says when there was none', async () => {
    server.on('GET /clusters/edge/conflicts', { body: { cluster: 'edge', conflicts: [] } });
    expect((await atoll('cluster conflicts edge')).out).toContain('in the last week');
  });

  it('lists them with how they were resolved', async () => {
    const of = { id: ID, kind: 'replaced-elsewhere', subject: ID, openedAt: '2030-01-01T11:00:00.000Z' };
    const conflicts = [
      { ...of, message: 'one', resolution: null, resolvedAt: null },
      { ...of, message: 'two', resolution: 'by prefer-edge', resolvedAt: '2030-01-01T11:30:00.000Z' },
    ];
    server.on('GET /clusters/edge/conflicts', { body: { cluster: 'edge', conflicts } });
    const { out } = await atoll('cluster conflicts edge');
    expect(out).toMatch(/one\s+open/);
    expect(out).toMatch(/two\s+by prefer-edge/);
  });

  it.each([
    ['cluster resync edge --dry-run', 'true', 'Nothing was changed'],
    ['cluster resync edge', 'false', 'edge takes documents again.'],
  ])('R20: %s', async (command, dryRun, words) => {
    const positions = { reported: { epoch: 9, revision: 812 }, known: { epoch: 7, revision: 640 } };
    const stops = [{ id: ID, what: 'a replica of lost' }];
    const outcome = '1 of what runs there stops, 0 starts';
    const next = { epoch: 10, revision: 813 };
    const body = { cluster: 'edge', ...positions, next, stops, starts: [], outcome };
    server.on('POST /clusters/edge/resync', { body });
    const { out } = await atoll(command);
    expect(server.seen.map(({ call }) => call)).toEqual([`POST /clusters/edge/resync?dryRun=${dryRun}`]);
    for (const each of [words, 'revision 812 of epoch 9', 'revision 813 of epoch 10', 'a replica of lost'])
      expect(out).toContain(each);
  });
});
