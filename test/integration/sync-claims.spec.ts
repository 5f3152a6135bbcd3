/** One cluster of a site group asks the registry, the others wait for it and fetch from it, whatever becomes of it. */
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Client } from 'pg';
import { v7 } from 'uuid';
import type { SyncPlanReply } from '#contracts';
import { type Cluster, DEFAULT_SYNC_POLICIES, type ModelVersion } from '#domain';
import { eventually } from '#testing';
import { makeCluster } from './federation.fixture.ts';
import {
  changeCluster,
  demandGo,
  fetching,
  filesOf,
  held,
  MB,
  makeModel,
  observe,
  publish,
  request,
  type SyncWorld,
  startSyncWorld,
  want,
} from './sync.fixture.ts';

jest.setTimeout(60_000);

let world: SyncWorld;
let database: Client;
beforeAll(async () => {
  world = await startSyncWorld();
  database = new Client(world.databaseUrl);
  await database.connect();
}, 60_000);
afterAll(async () => {
  await database?.end();
  await world?.stop();
});

let version: ModelVersion;
let first: Cluster;
let second: Cluster;
let third: Cluster;

async function makeGroup(count: number): Promise<Cluster[]> {
  const labels = { 'site-group': `hall-${v7()}` };
  const clusters: Cluster[] = [];
  for (let index = 0; index < count; index += 1) {
    const cluster = await makeCluster(world.store, { labels });
    await want(world.store, cluster.id, [version]);
    await observe(world.store, cluster.id);
    clusters.push(cluster);
  }
  return clusters;
}

beforeEach(async () => {
  const modelId = await makeModel(world.store);
  version = await publish(world.store, modelId, filesOf(1, { [modelId]: 100 }));
  [first, second, third] = (await makeGroup(3)) as [Cluster, Cluster, Cluster];
});

const ask = (cluster: Cluster) => world.plans.answer(cluster.id, request(version));
const endpointOf = (cluster: Cluster) => `${cluster.name}.site:7500`;
/** `go`, or whom it waits for. */
function wordOf(reply: SyncPlanReply | string): string {
  if (typeof reply === 'string') return reply;
  return reply.decision === 'go' ? `go ${reply.steps[0]!.source.name}` : reply.reason;
}
const word = async (cluster: Cluster) => wordOf(await ask(cluster));
const waitsFor = (cluster: Cluster) => `waits for neighbour ${cluster.name}, which fetches it`;

/** As if that many seconds went by for Postgres without the holder moving. */
async function stall(seconds: number): Promise<void> {
  const older =
    'UPDATE sync_claims SET progressed_at = progressed_at - make_interval(secs => $1) WHERE version_digest = $2';
  await database.query(older, [seconds, version.digest]);
}

describe('of a site group', () => {
  it('the first who asks goes to the registry, the others wait for it, as often as they ask', async () => {
    expect([await word(first), await word(second), await word(third), await word(first), await word(second)]).toEqual([
      'go registry',
      waitsFor(first),
      waitsFor(first),
      'go registry',
      waitsFor(first),
    ]);
  });

  it('those who wait are told how far it is, and ask again soon', async () => {
    await ask(first);
    await observe(world.store, first.id, { versions: [fetching(version, 41 * MB, 100 * MB)] });
    expect(await ask(second)).toEqual({
      decision: 'wait',
      reason: `${waitsFor(first)} (41 %)`,
      retryAfterSeconds: 1,
    });
  });

  it('in a large group they ask less often', async () => {
    const [holder, other] = (await makeGroup(45)) as [Cluster, Cluster];
    await ask(holder);
    expect(await ask(other)).toMatchObject({ decision: 'wait', retryAfterSeconds: 2.2 });
  });

  it('of those who ask at once exactly one goes', async () => {
    const words = await Promise.all([first, second, third].map(word));
    const going = words.filter((each) => each === 'go registry');
    expect([going.length, words.filter((each) => each.startsWith('waits for neighbour')).length]).toEqual([1, 2]);
  });

  it('once it has the version they fetch from it', async () => {
    await ask(first);
    await observe(world.store, first.id, { versions: [held(version)], blobEndpoint: endpointOf(first) });
    expect([await word(second), await word(third)]).toEqual([`go ${first.name}`, `go ${first.name}`]);
  });

  it('a group of five costs the registry one version, whoever is asked and answered first', async () => {
    const group = await makeGroup(5);
    let registryBytes = 0;
    const waiting = new Set(group);
    await eventually(async () => {
      for (const cluster of [...waiting]) {
        const reply = await ask(cluster);
        if (typeof reply === 'string' || reply.decision === 'wait') continue;
        if (reply.steps.some(({ source }) => source.kind === 'registry')) registryBytes += reply.wireBytes;
        await observe(world.store, cluster.id, { versions: [held(version)], blobEndpoint: endpointOf(cluster) });
        waiting.delete(cluster);
      }
      expect(waiting.size).toBe(0);
    });
    expect(registryBytes / version.sizeBytes).toBeLessThanOrEqual(1.1);
  });
});

describe('the one who fetches', () => {
  it('loses its turn after 20 s without progress, and waits then itself', async () => {
    await ask(first);
    await stall(21);
    expect([await word(second), await word(first), await word(third)]).toEqual([
      'go registry',
      waitsFor(second),
      waitsFor(second),
    ]);
  });

  it('keeps it while it moves, however slowly', async () => {
    await ask(first);
    await stall(21);
    await observe(world.store, first.id, { versions: [fetching(version, 1, 100 * MB)] });
    expect(await word(second)).toBe(`${waitsFor(first)} (0 %)`);
    await stall(5); // that it moved counted from then on
    expect(await word(second)).toBe(`${waitsFor(first)} (0 %)`);
  });

  it('keeps it while it makes files of what it fetched', async () => {
    const making = (bytesHave: number) => [{ ...fetching(version, MB, MB), bytesHave }];
    await observe(world.store, first.id, { versions: making(0) });
    await ask(first);
    await word(second);
    await stall(21);
    await observe(world.store, first.id, { versions: making(10 * MB) });
    expect(await word(second)).toBe(`${waitsFor(first)} (100 %)`);
  });

  const releases: { name: string; happens: () => Promise<void> }[] = [
    { name: 'left', happens: () => changeCluster(world.store, first, { phase: 'Left' }) },
    { name: 'is out of contact', happens: () => changeCluster(world.store, first, { phase: 'Suspect' }) },
    { name: 'moved to another site', happens: () => changeCluster(world.store, first, { labels: {} }) },
    { name: 'wants it no more', happens: () => want(world.store, first.id, []) },
    {
      name: 'has it, but serves nobody',
      happens: () => observe(world.store, first.id, { versions: [held(version)] }),
    },
    {
      name: 'asks when its window is closed',
      happens: async () => {
        const now = new Date();
        const at = (minutes: number) => new Date(now.getTime() + minutes * 60_000).toISOString().slice(11, 16);
        const windows = [{ from: at(60), to: at(120) }];
        await changeCluster(world.store, first, { sync: { ...DEFAULT_SYNC_POLICIES.edge, windows } });
        expect(await word(first)).toMatch(/^waits for the window/);
      },
    },
  ];
  it.each(releases)('is waited for no more when it $name', async ({ happens }) => {
    await ask(first);
    expect(await word(second)).toBe(waitsFor(first));
    await happens();
    expect([await word(second), await word(third)]).toEqual(['go registry', waitsFor(second)]);
  });

  it('that failed somebody is not fetched from by that one, and the registry is', async () => {
    await ask(first);
    await observe(world.store, first.id, { versions: [held(version)], blobEndpoint: endpointOf(first) });
    const avoiding = request(version, { avoidNeighbours: [first.name] });
    expect(wordOf(await world.plans.answer(second.id, avoiding))).toBe('go registry');
  });

  it('is waited for by nobody of another group, nor by one that has no group', async () => {
    await ask(first);
    const [other] = await makeGroup(1);
    await changeCluster(world.store, third, { labels: {} });
    expect([await word(other!), await word(third)]).toEqual(['go registry', 'go registry']);
  });

  it('holds nothing up of another version', async () => {
    await ask(first);
    const other = await publish(world.store, version.modelId, filesOf(2, { [version.modelId]: 50 }));
    await want(world.store, second.id, [version, other]);
    const reply = demandGo(await world.plans.answer(second.id, request(other)));
    expect(reply.steps[0]!.source.name).toBe('registry');
  });
});
