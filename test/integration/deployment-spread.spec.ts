/** X04: replicas that are to lie in several regions, over the real HTTP side, leader, Postgres and NATS. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { gguf, type Installation, joinCluster, publishVersion, startInstallation } from './admin.fixture.ts';
import { type Servers, until, WireAgent } from './federation.fixture.ts';

let installation: Installation;
const agents: WireAgent[] = [];

beforeAll(async () => {
  installation = await startInstallation();
  await installation.call('POST', '/api/v1/models', { body: { name: 'chat' } });
  for (const size of [200, 300]) await publishVersion(installation, 'chat', gguf(size));
  await join('harbour', 'eu');
  await join('prairie', 'us');
}, 60_000);
afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.stop()));
  await installation?.stop();
}, 60_000);

async function join(name: string, region: string): Promise<void> {
  const { reply } = await joinCluster(installation, name, { region });
  const agent = await WireAgent.connect({ server: installation.server } as Servers, reply.clusterId, 4);
  agents.push(agent);
  await agent.live();
  await until('its first report', async () => (await get(`clusters/${name}`)).observed !== null);
}

const get = async (path: string) => (await installation.call('GET', `/api/v1/${path}`)).body;
const create = (body: object, query = '') =>
  installation.call('POST', `/api/v1/deployments${query}`, { body: { model: 'chat', version: 1, ...body } });
const change = (name: string, body: object, query = '') =>
  installation.call('PATCH', `/api/v1/deployments/${name}${query}`, { body });
const cordon = (name: string, cordoned: boolean) =>
  installation.call('PATCH', `/api/v1/clusters/${name}`, { body: { cordoned } });

interface Placed {
  readonly cluster: string;
  readonly version: number;
  readonly placementPhase: string;
}
const placesOf = async (name: string): Promise<string[]> => {
  const { placements } = await get(`deployments/${name}`);
  return (placements as Placed[]).map(({ cluster, version }) => `${cluster} ${version}`).sort();
};
const isAt = (name: string, ...wanted: string[]) =>
  until(`${name} is at ${wanted.join(', ')}`, async () => (await placesOf(name)).join() === wanted.join());

describe('a deployment that is to lie in two regions', () => {
  it('X04: with one region closed leaves the place empty and says why, and takes it once there is room', async () => {
    await cordon('prairie', true);
    const spread = { by: 'region', minGroups: 2 };
    const demand = { name: 'apart', replicas: 3, spread };
    const planned = await create(demand, '?dryRun=true');
    expect([planned.status, planned.body.assign.map(({ cluster }: Placed) => cluster)]).toEqual([
      200,
      ['harbour', 'harbour'],
    ]);
    expect(await create(demand)).toMatchObject({ status: 201, body: { spread } });
    await isAt('apart', 'harbour 1', 'harbour 1');
    const reason =
      '0/2 clusters fit: 1 cordoned, 1 in a region that has its share; it wants 2 regions and has eu: eu has room, us has none (1 cordoned); make room in us, join a cluster of another region, or want fewer';
    await until('it says why', async () => (await get('deployments/apart')).status.includes(reason));
    expect(await get('deployments/apart/explain')).toMatchObject({
      outcome: expect.stringContaining(reason),
      candidates: [
        { cluster: 'harbour', rejectedBy: 'spread' },
        { cluster: 'prairie', rejectedBy: 'cordon' },
      ],
    });
    await cordon('prairie', false);
    await isAt('apart', 'harbour 1', 'harbour 1', 'prairie 1');
    await until('all serve', async () => (await get('deployments/apart')).readyReplicas === 3);
  });

  it('X04 X02: changes version and scales without leaving a region', async () => {
    await change('apart', { version: 2 });
    await isAt('apart', 'harbour 2', 'harbour 2', 'prairie 2');
    await change('apart', { replicas: 2 });
    await isAt('apart', 'harbour 2', 'prairie 2');
  });

  it('is so no more once it is said, and what it is not told of stays', async () => {
    expect((await change('apart', { replicas: 2 })).body.spread).toEqual({ by: 'region', minGroups: 2 });
    const more = await change('apart', { spread: { by: 'cluster', minGroups: 3 }, replicas: 3 });
    expect(more.body.spread).toEqual({ by: 'cluster', minGroups: 3 });
    await until('the third waits', async () => (await get('deployments/apart')).status.includes('it wants 3 clusters'));
    await cordon('prairie', true);
    expect((await change('apart', { spread: null })).body.spread).toBeNull();
    await isAt('apart', 'harbour 2', 'harbour 2', 'prairie 2');
    const { body } = await change('apart', { spread: { by: 'region', minGroups: 3 } });
    expect(body.status).toContain('its replicas are in 2 of 3 regions; what runs is not moved for it');
  });
});
