/** How an agent is answered that asks how to get a version: by the database that is, at the time that it is. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { jwtVerify } from 'jose';
import { v7 } from 'uuid';
import { SUBJECTS, syncPlanReplySchema } from '#contracts';
import { type Cluster, DEFAULT_SYNC_POLICIES, type ModelVersion } from '#domain';
import { requestJson } from '#messaging';
import { eventually } from '#testing';
import { type Centre, makeCluster, type Servers, startCentre, startServers, WireAgent } from './federation.fixture.ts';
import {
  changeCluster,
  demandGo,
  encode,
  filesOf,
  held,
  MB,
  makeModel,
  observe,
  publish,
  REGISTRY_URL,
  request,
  type SyncWorld,
  startSyncWorld,
  want,
} from './sync.fixture.ts';

jest.setTimeout(60_000);

let world: SyncWorld;
beforeAll(async () => {
  world = await startSyncWorld();
}, 60_000);
afterAll(() => world?.stop());

/** A model of some versions of 100 MB, and a cluster that wants the newest. */
async function makeScene(count: number, change: Partial<Cluster> = {}) {
  const { store } = world;
  const modelId = await makeModel(store);
  const versions: ModelVersion[] = [];
  for (let number = 1; number <= count; number += 1) {
    versions.push(await publish(store, modelId, filesOf(number, { [`${modelId}.safetensors`]: 100 })));
  }
  const cluster = await makeCluster(store, change);
  const newest = versions.at(-1)!;
  await want(store, cluster.id, [newest]);
  return { cluster, versions, newest };
}

describe('a plan', () => {
  it('names the steps, the limits and a right to them', async () => {
    const sync = { ...DEFAULT_SYNC_POLICIES.edge, bytesPerSecondMax: 5 * MB };
    const { cluster, versions, newest } = await makeScene(2, { sync });
    const diff = await encode(world.store, versions[0]!, newest, 20);
    const asked = request(newest, { held: [versions[0]!.digest!] });
    const reply = demandGo(await world.plans.answer(cluster.id, asked));
    expect(syncPlanReplySchema.parse(reply)).toEqual(reply);
    const [step] = reply.steps;
    expect({ ...reply, steps: [{ ...step, source: { ...step!.source, token: '' } }] }).toMatchObject({
      path: 'direct-diff',
      wireBytes: 20 * MB,
      bytesPerSecondMax: 5 * MB,
      windowClosesInSeconds: null,
      steps: [
        {
          artifactId: diff.id,
          from: versions[0]!.digest,
          to: newest.digest,
          profile: 'fast',
          source: { kind: 'registry', name: 'registry', url: `${REGISTRY_URL}/api/v1/blobs`, token: '' },
          files: diff.files,
        },
      ],
    });
    const header = `Bearer ${step!.source.token}`;
    expect(await world.tokens.judge(header, diff.files[0]!.blobDigest)).toBe('granted');
  });

  it('counts the bytes of artifacts that it uses as used, but not at every request', async () => {
    const { cluster, versions, newest } = await makeScene(2);
    const { id, usedAt } = await encode(world.store, versions[0]!, newest, 20);
    await world.plans.answer(cluster.id, request(newest, { held: [versions[0]!.digest!] }));
    expect((await world.store.read.artifacts.find(id))!.usedAt).toEqual(usedAt);
  });

  it.each(['PendingApproval', 'Left'] as const)('is refused to a cluster that is %s', async (phase) => {
    const { cluster, newest } = await makeScene(1, { phase });
    expect(await world.plans.answer(cluster.id, request(newest))).toBe('not-a-member');
  });

  it('is refused to a cluster that nobody knows, and for a version that is not wanted', async () => {
    const { cluster, versions, newest } = await makeScene(2);
    expect([
      await world.plans.answer(v7(), request(newest)),
      await world.plans.answer(cluster.id, request(versions[0]!)),
    ]).toEqual(['not-a-member', 'not-wanted']);
  });

  it('is refused at once when the version is wanted no more', async () => {
    const { cluster, newest } = await makeScene(1);
    demandGo(await world.plans.answer(cluster.id, request(newest)));
    await want(world.store, cluster.id, []);
    expect(await world.plans.answer(cluster.id, request(newest))).toBe('not-wanted');
  });

  it('leaves an artifact out that is gone, and whole files remain', async () => {
    const { cluster, versions, newest } = await makeScene(2);
    await encode(world.store, versions[0]!, newest, 20);
    await world.store.transaction((rows) => rows.versions.abandon(versions[0]!.id));
    await world.store.transaction((rows) => rows.artifacts.removeStale(new Date(0)));
    const reply = demandGo(await world.plans.answer(cluster.id, request(newest, { held: [versions[0]!.digest!] })));
    expect([reply.path, reply.wireBytes]).toEqual(['whole-files', 100 * MB]);
  });
});

describe('of many that ask at once', () => {
  afterEach(() => void jest.restoreAllMocks());

  it('the model is read once: who asks during the read waits for it', async () => {
    const { cluster, newest } = await makeScene(2);
    const { versions } = world.store.read;
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const { promise: isReading, resolve: reads } = Promise.withResolvers<void>();
    const readThem = versions.listOfModel.bind(versions);
    const reading = jest.spyOn(versions, 'listOfModel').mockImplementation(async (modelId) => {
      reads();
      await gate;
      return readThem(modelId);
    });
    const found = jest.spyOn(versions, 'find');
    const ask = async () => demandGo(await world.plans.answer(cluster.id, request(newest)));
    const first = ask();
    await isReading;
    const others = [ask(), ask(), ask()];
    await eventually(() => expect(found).toHaveBeenCalledTimes(4));
    await Promise.all(found.mock.results.map(({ value }) => value));
    await new Promise((resolve) => setImmediate(resolve));
    open();
    const paths = (await Promise.all([first, ...others])).map(({ path }) => path);
    expect([reading.mock.calls.length, ...paths]).toEqual([1, ...Array(4).fill('whole-files')]);
    await ask();
    expect(reading).toHaveBeenCalledTimes(2);
  });
});

describe('a window', () => {
  const windows = [{ from: '02:00', to: '05:00' }];
  const sync = { ...DEFAULT_SYNC_POLICIES.edge, windows, timeZone: 'Asia/Shanghai' };
  afterEach(() => {
    world.clock.at = new Date();
  });
  const table: { name: string; at: string; want: Record<string, unknown> }[] = [
    {
      name: 'that is closed is waited for; a changed policy would count within a minute',
      at: '2026-03-10T12:00:00Z',
      want: { decision: 'wait', reason: 'waits for the window 02:00–05:00 Asia/Shanghai', retryAfterSeconds: 60 },
    },
    {
      name: 'that opens in a moment is waited for no longer than that',
      at: '2026-03-10T17:59:50Z',
      want: { decision: 'wait', retryAfterSeconds: 10 },
    },
    {
      name: 'that is open is told until when',
      at: '2026-03-10T18:00:00Z',
      want: { decision: 'go', windowClosesInSeconds: 10_800 },
    },
    {
      name: 'closes on the second',
      at: '2026-03-10T20:59:59Z',
      want: { decision: 'go', windowClosesInSeconds: 1 },
    },
    { name: 'is closed from then on', at: '2026-03-10T21:00:00Z', want: { decision: 'wait' } },
  ];
  it.each(table)('$name', async ({ at, want: wanted }) => {
    const { cluster, newest } = await makeScene(1, { sync });
    world.clock.at = new Date(at);
    expect(await world.plans.answer(cluster.id, request(newest))).toMatchObject(wanted);
  });
});

describe('a diff that is not there', () => {
  afterEach(() => {
    world.clock.at = new Date();
  });

  it('is wanted once, waited for, and then used', async () => {
    const { cluster, versions, newest } = await makeScene(2);
    const asked = request(newest, { held: [versions[0]!.digest!] });
    const waiting = { decision: 'wait', reason: 'waits for the diff from version 1, which is being made' };
    const replies = [await world.plans.answer(cluster.id, asked), await world.plans.answer(cluster.id, asked)];
    expect(replies).toEqual([expect.objectContaining(waiting), expect.objectContaining(waiting)]);
    const artifacts = await world.store.read.artifacts.ofModel(newest.modelId);
    expect(artifacts.map(({ baseVersionId, phase }) => [baseVersionId, phase])).toEqual([[versions[0]!.id, 'Wanted']]);
    await encode(world.store, versions[0]!, newest, 20);
    expect(demandGo(await world.plans.answer(cluster.id, asked)).path).toBe('direct-diff');
  });

  it('R8 is not waited for much longer than it should take: its maker may be dead', async () => {
    const { cluster, versions, newest } = await makeScene(2);
    const asked = request(newest, { held: [versions[0]!.digest!] });
    await world.plans.answer(cluster.id, asked);
    world.clock.at = new Date(Date.now() + 120_000);
    expect(demandGo(await world.plans.answer(cluster.id, asked)).path).toBe('whole-files');
  });

  it('that failed is neither waited for nor made again for whoever asks', async () => {
    const { cluster, versions, newest } = await makeScene(2);
    const asked = request(newest, { held: [versions[0]!.digest!] });
    await world.plans.answer(cluster.id, asked);
    await world.store.transaction(async (rows) => {
      for (let taken = await rows.artifacts.take(); taken !== null; taken = await rows.artifacts.take()) {
        await rows.artifacts.fail(taken.id, 'no');
      }
    });
    expect(demandGo(await world.plans.answer(cluster.id, asked)).path).toBe('whole-files');
    const artifacts = await world.store.read.artifacts.ofModel(newest.modelId);
    expect(artifacts.map(({ phase }) => phase)).toEqual(['Failed']);
  });
});

describe('a neighbour that has the version', () => {
  const near = () => ({ labels: { 'site-group': `hall-${v7()}` } });
  const endpoint = '10.0.0.7:7500';

  it('is fetched from, with a token that only it takes', async () => {
    const group = near();
    const { cluster, newest } = await makeScene(1, group);
    const holder = await makeCluster(world.store, group);
    await observe(world.store, holder.id, { blobEndpoint: endpoint, versions: [held(newest)] });
    const { path, steps } = demandGo(await world.plans.answer(cluster.id, request(newest)));
    const { kind, name, url, token } = steps[0]!.source;
    expect([path, kind, name, url]).toEqual([
      'whole-files',
      'neighbour',
      holder.name,
      `http://${endpoint}/atoll/blobs`,
    ]);
    const { payload } = await jwtVerify(token, world.verifyingKey, { audience: `atoll-neighbour:${holder.id}` });
    expect([payload.sub, payload.ver, payload.exp! - payload.iat!]).toEqual([cluster.id, [newest.digest], 900]);
    expect(await world.tokens.judge(`Bearer ${token}`, newest.files[0]!.digest)).toBe('unknown');
  });

  const table: { name: string; holder: Partial<Cluster> | null; report?: object; avoid?: boolean }[] = [
    { name: 'it is of another group', holder: near() },
    { name: 'it is out of contact', holder: { phase: 'Suspect' } },
    { name: 'it left', holder: { phase: 'Left' } },
    { name: 'it is still fetching', holder: {}, report: { phase: 'Fetching' } },
    { name: 'it serves no blobs', holder: {}, report: { endpoint: undefined } },
    { name: 'it failed the one who asks', holder: {}, avoid: true },
  ];
  it.each(table)('is not fetched from when $name', async ({ holder: change, report = {}, avoid = false }) => {
    const group = near();
    const { cluster, newest } = await makeScene(1, group);
    const holder = await makeCluster(world.store, { ...group, ...change });
    const { phase = 'Held', ...rest } = report as { phase?: 'Held' | 'Fetching' };
    const blobEndpoint = 'endpoint' in rest ? {} : { blobEndpoint: endpoint };
    await observe(world.store, holder.id, { ...blobEndpoint, versions: [held(newest, { phase })] });
    const asked = request(newest, { avoidNeighbours: avoid ? [holder.name] : [] });
    expect(demandGo(await world.plans.answer(cluster.id, asked)).steps[0]!.source.kind).toBe('registry');
  });

  it('is not seen by a cluster without a group, nor by one whose group changed', async () => {
    const group = near();
    const { cluster, newest } = await makeScene(1, group);
    const holder = await makeCluster(world.store, group);
    await observe(world.store, holder.id, { blobEndpoint: endpoint, versions: [held(newest)] });
    await changeCluster(world.store, cluster, { labels: {} });
    expect(demandGo(await world.plans.answer(cluster.id, request(newest))).steps[0]!.source.kind).toBe('registry');
  });
});

describe('over the wire', () => {
  let servers: Servers;
  let centre: Centre;
  beforeAll(async () => {
    servers = await startServers();
    centre = await startCentre(servers, { leads: false });
  }, 60_000);
  afterAll(async () => {
    await centre?.stop();
    await servers?.stop();
  });

  async function ask(clusterId: string, value: unknown) {
    const agent = await WireAgent.connect(servers, clusterId);
    try {
      const subject = SUBJECTS.syncPlan(clusterId);
      return await requestJson(agent.session.connection, subject, value, { timeoutMs: 30_000 });
    } finally {
      await agent.stop();
    }
  }

  async function makeWanted(change: Partial<Cluster> = {}) {
    const cluster = await makeCluster(servers.store, change);
    const version = await publish(servers.store, await makeModel(servers.store), filesOf(1, { [cluster.id]: 1 }));
    await want(servers.store, cluster.id, [version]);
    return { cluster, version };
  }

  it('S2 an agent is answered for its own cluster, and counted', async () => {
    const { cluster, version } = await makeWanted();
    const count = centre.counts.countOf('sync', null);
    const reply = syncPlanReplySchema.parse(await ask(cluster.id, request(version)));
    expect([demandGo(reply).path, centre.counts.countOf('sync', null)]).toEqual(['whole-files', count + 1]);
  });

  const table: { name: string; code: string; change?: Partial<Cluster>; value: (version: ModelVersion) => unknown }[] =
    [
      { name: 'garbage', code: 'malformed', value: () => 'garbage' },
      { name: 'nothing', code: 'malformed', value: () => undefined },
      {
        name: 'a list beyond its bound',
        code: 'malformed',
        value: (version) => request(version, { held: Array.from({ length: 1_001 }, () => version.digest!) }),
      },
      {
        name: 'a version that is not wanted',
        code: 'not-wanted',
        value: (version) => ({ ...request(version), versionDigest: 'f'.repeat(64) }),
      },
      {
        name: 'one who has left',
        code: 'not-a-member',
        change: { phase: 'Left' },
        value: (version) => request(version),
      },
    ];
  it.each(table)('$name is refused and counted', async ({ code, change, value }) => {
    const { cluster, version } = await makeWanted(change);
    const count = centre.counts.countOf('sync', code);
    await expect(ask(cluster.id, value(version))).rejects.toMatchObject({ code });
    expect(centre.counts.countOf('sync', code)).toBe(count + 1);
  });
});
