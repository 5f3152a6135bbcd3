// Deployments as intent: created, planned, changed and removed over HTTP, carried out by the leader in the same process.

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SUBJECTS } from '#contracts';
import { Store } from '#domain';
import { publishJson } from '#messaging';
import { eventually } from '#testing';
import { ControlPlaneNats } from '../../apps/control-plane/src/nats/control-plane-nats.ts';
import { gguf, type Installation, joinCluster, publishVersion, startInstallation } from './admin.fixture.ts';

let installation: Installation;
let beating: NodeJS.Timeout | undefined;
const content = () => gguf(1_000);

beforeAll(async () => {
  installation = await startInstallation();
  await installation.call('POST', '/api/v1/models', { body: { name: 'tiny' } });
  await publishVersion(installation, 'tiny', content());
  await publishVersion(installation, 'tiny', content());
  const { reply } = await joinCluster(installation, 'edge-a', { region: 'eu' });
  beating = startHeartbeats(reply.clusterId);
  await reportOf('edge-a');
}, 60_000);
afterAll(async () => {
  clearInterval(beating);
  await installation?.stop();
}, 60_000);

/** Without signs of life the cluster would be Suspect after 3 s, and nothing would be placed on it. */
function startHeartbeats(clusterId: string): NodeJS.Timeout {
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

/** What an agent with one CPU would have reported. */
async function reportOf(name: string, replicas: object[] = []): Promise<void> {
  const { body: cluster } = await installation.call('GET', `/api/v1/clusters/${name}`);
  const nodes = [
    {
      name: 'n1',
      devices: [0, 1, 2, 3].map((id) => ({ id: `cpu${id}`, deviceType: 'cpu' as const, memoryBytes: 8e9 })),
    },
  ];
  const report = {
    clusterId: cluster.id,
    bootId: crypto.randomUUID(),
    sequence: 1,
    epoch: 1,
    revision: 1,
    agentVersion: '0.1.0',
    nodes,
    replicas,
    versions: [],
  }; // prettier-ignore
  const store = installation.controlPlane.app.get(Store, { strict: false });
  await store.transaction((rows) =>
    rows.observations.upsert({
      clusterId: cluster.id,
      report: report as never,
      replacedBoots: [],
      receivedAt: new Date(),
    }),
  );
}

const at = '/api/v1/deployments';
const get = async (name: string) => (await installation.call('GET', `${at}/${name}`)).body;
const create = (body: object, query = '') => installation.call('POST', `${at}${query}`, { body });

describe('creating', () => {
  it('takes the newest published version and is placed after the commit', async () => {
    const made = await create({ name: 'chat', model: 'tiny' });
    expect(made).toMatchObject({
      status: 201,
      body: { version: 2, servedModel: 'tiny', replicas: 1, readyReplicas: 0 },
    });
    expect(made.headers.get('etag')).toBe('"1"');
    const placed = await eventually(async () => {
      const deployment = await get('chat');
      expect(deployment.placements).toMatchObject([
        { cluster: 'edge-a', version: 2, placementPhase: 'Assigned', phase: null },
      ]);
      return deployment;
    });
    expect(placed.status).toContain('edge-a');
    const [replica] = placed.placements;
    await reportOf('edge-a', [
      {
        replicaId: replica.id,
        deploymentId: placed.id,
        versionDigest: placed.versionDigest,
        phase: 'Ready',
        reason: '',
        restarts: 0,
      },
    ]); // prettier-ignore
    expect(await get('chat')).toMatchObject({ readyReplicas: 1, status: '1 of 1 replica(s) ready, as wanted.' });
  });

  it('says why nothing can be placed, in status and in explain', async () => {
    await create({ name: 'nowhere', model: 'tiny', selector: { regions: ['moon'] } });
    await eventually(async () => expect((await get('nowhere')).status).toMatch(/0 of 1 replica\(s\) ready; .*region/));
    const { body } = await installation.call('GET', `${at}/nowhere/explain`);
    expect(body).toMatchObject({
      assign: [],
      candidates: [{ cluster: 'edge-a', score: null, rejectedBecause: expect.any(String) }],
    });
  });

  it.each([
    ['an unknown model', { model: 'nothing' }, 'model'],
    ['an unknown version', { version: 9 }, 'version'],
  ])('refuses %s', async (_name, change, field) => {
    const answer = await create({ name: 'bad', model: 'tiny', ...change });
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ field }] } });
  });

  it('refuses a taken name', async () => {
    expect((await create({ name: 'chat', model: 'tiny' })).status).toBe(409);
  });
});

describe('dryRun', () => {
  it('plans a creation, a change and a removal, and changes nothing', async () => {
    const before = await get('chat');
    expect(await create({ name: 'maybe', model: 'tiny' }, '?dryRun=true')).toMatchObject({
      status: 200,
      body: { deployment: 'maybe', assign: [{ cluster: 'edge-a' }], remove: [] },
    }); // prettier-ignore
    const scaled = await installation.call('PATCH', `${at}/chat?dryRun=true`, { body: { replicas: 0 } });
    expect(scaled.body.remove).toMatchObject([{ cluster: 'edge-a', reason: expect.any(String) }]);
    expect((await installation.call('DELETE', `${at}/chat?dryRun=true`)).body.remove).toHaveLength(1);
    expect(await get('chat')).toEqual(before);
    expect((await installation.call('GET', `${at}/maybe`)).status).toBe(404);
  });
});

describe('changing', () => {
  it('changes version by replacing, and honours If-Match', async () => {
    const before = await get('chat');
    const stale = await installation.call('PATCH', `${at}/chat`, {
      body: { replicas: 2 },
      headers: { 'if-match': '"99"' },
    });
    expect(stale.status).toBe(412);
    const changed = await installation.call('PATCH', `${at}/chat`, {
      body: { version: 1 },
      headers: { 'if-match': `"${before.revision}"` },
    }); // prettier-ignore
    expect(changed).toMatchObject({ status: 200, body: { version: 1, revision: before.revision + 1 } });
    await eventually(async () => {
      const versions = (await get('chat')).placements.map(({ version }: { version: number }) => version);
      expect(versions).toContain(1);
      expect(versions).toContain(2); // the old one stays until the new one serves
    });
  });

  it('keeps a version and a model that are in use', async () => {
    expect(await installation.call('DELETE', '/api/v1/models/tiny/versions/1')).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('chat') },
    }); // prettier-ignore
    expect((await installation.call('DELETE', '/api/v1/models/tiny')).status).toBe(409);
  });
});

describe('removing', () => {
  it('marks it, lets replicas drain, and is gone then; repeating is harmless', async () => {
    expect(await installation.call('DELETE', `${at}/nowhere`)).toMatchObject({ status: 202, body: { deleting: true } });
    await eventually(async () => expect((await installation.call('GET', `${at}/nowhere`)).status).toBe(404));
    expect((await installation.call('DELETE', `${at}/nowhere`)).status).toBe(404);
    const removed = await installation.call('DELETE', `${at}/chat`);
    expect(removed.body.deleting).toBe(true);
    expect((await installation.call('PATCH', `${at}/chat`, { body: { replicas: 3 } })).status).toBe(409);
  });

  it('of a cluster ends its placements in the same transaction', async () => {
    await create({ name: 'moved', model: 'tiny' });
    await eventually(async () => expect((await get('moved')).placements).toHaveLength(1));
    await installation.call('DELETE', '/api/v1/clusters/edge-a');
    expect((await get('moved')).placements).toEqual([]);
  });
});
