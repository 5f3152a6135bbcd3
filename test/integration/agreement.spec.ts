/** What operators see and say of sync, over the real HTTP side: policies, the overview of a version, and the agreement. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { v7 } from 'uuid';
import {
  agreementSchema,
  clusterSchema,
  type ReportMessage,
  SUBJECTS,
  type SyncPlanReply,
  syncPlanReplySchema,
  versionSyncSchema,
} from '#contracts';
import { type Cluster, DEFAULT_SYNC_POLICIES, type ModelVersion, Store } from '#domain';
import { requestJson } from '#messaging';
import { eventually } from '#testing';
import { gguf, type Installation, joinCluster, publishVersion, startInstallation } from './admin.fixture.ts';
import { makeCluster, type Servers, WireAgent } from './federation.fixture.ts';
import { changeCluster, demandGo, held, request, want } from './sync.fixture.ts';

jest.setTimeout(60_000);
const SLOWLY = { timeoutMs: 30_000 };

let installation: Installation;
let store: Store;
const contents = [gguf(200_000), gguf(200_000)];
const versions: ModelVersion[] = [];
const agents: WireAgent[] = [];
const beating: NodeJS.Timeout[] = [];

beforeAll(async () => {
  installation = await startInstallation();
  store = installation.controlPlane.app.get(Store);
  await installation.call('POST', '/api/v1/models', { body: { name: 'tiny' } });
  for (const content of contents) {
    const { id } = await publishVersion(installation, 'tiny', content);
    versions.push((await store.read.versions.find({ id }))!);
  }
}, 60_000);
afterEach(async () => {
  for (const timer of beating.splice(0)) clearInterval(timer);
  await Promise.all(agents.splice(0).map((agent) => agent.stop()));
  for (const cluster of await store.read.clusters.all()) await changeCluster(store, cluster, { phase: 'Left' });
});
afterAll(() => installation?.stop(), 60_000);

/** A cluster whose agent sends heartbeats and says what it is told to say. */
async function join(name: string, change: Partial<Cluster> = {}) {
  const { id: clusterId } = await makeCluster(store, { name, ...change });
  const agent = await WireAgent.connect({ server: installation.server } as Servers, clusterId);
  agents.push(agent);
  agent.heartbeat();
  beating.push(setInterval(() => agent.heartbeat(), 500));
  const say = async (change: Partial<ReportMessage>) => {
    agent.report(change);
    await eventually(async () => {
      const observation = await store.read.observations.find(clusterId);
      expect(observation?.report.sequence).toBe(agent.sequence);
    }, SLOWLY);
  };
  return { clusterId, agent, say };
}

const show = async (name: string) => {
  return clusterSchema.parse((await installation.call('GET', `/api/v1/clusters/${name}`)).body);
};
const patch = (name: string, body: unknown, headers: Record<string, string> = {}) =>
  installation.call('PATCH', `/api/v1/clusters/${name}`, { body, headers });
const overview = async (number: number) => {
  const { body } = await installation.call('GET', `/api/v1/models/tiny/versions/${number}/sync`);
  return versionSyncSchema.parse(body);
};
const agreement = async () => {
  return agreementSchema.parse((await installation.call('GET', '/api/v1/models/tiny/agreement')).body);
};

describe('the sync policy of a cluster', () => {
  it('is that of its kind when it joins', async () => {
    await joinCluster(installation, 'edge-a');
    await joinCluster(installation, 'central-a', { kind: 'central' });
    expect([(await show('edge-a')).sync, (await show('central-a')).sync]).toEqual([
      DEFAULT_SYNC_POLICIES.edge,
      DEFAULT_SYNC_POLICIES.central,
    ]);
  });

  it('changes in the fields that are given, and is audited', async () => {
    await makeCluster(store, { name: 'edge-a' });
    const windows = [{ from: '02:00', to: '05:00' }];
    await patch('edge-a', { sync: { windows, timeZone: 'Asia/Shanghai' } });
    const { body } = await patch('edge-a', { sync: { bytesPerSecondMax: 5_000_000 } });
    const wanted = { ...DEFAULT_SYNC_POLICIES.edge, windows, timeZone: 'Asia/Shanghai', bytesPerSecondMax: 5_000_000 };
    expect([body.sync, (await show('edge-a')).sync]).toEqual([wanted, wanted]);
    const { body: audit } = await installation.call('GET', '/api/v1/audit');
    const updates = audit.items.filter(({ action }: { action: string }) => action === 'clusters.update');
    expect(updates[0].detail).toEqual({ name: 'edge-a', sync: wanted });
  });

  it('is not changed by one who saw an older one', async () => {
    await makeCluster(store, { name: 'edge-a' });
    await patch('edge-a', { sync: { mode: 'snapshot' } });
    const answer = await patch('edge-a', { sync: { mode: 'incremental' } }, { 'if-match': '"1"' });
    expect([answer.status, (await show('edge-a')).sync.mode]).toEqual([412, 'snapshot']);
  });

  it.each([
    { name: 'a cron that never fires', sync: { cron: '0 0 31 2 *' }, field: 'sync.cron' },
    { name: 'a cron out of range', sync: { cron: '61 0 1 1 *' }, field: 'sync.cron' },
    { name: 'no cron', sync: { cron: 'daily' }, field: 'sync.cron' },
    { name: 'a place that is no time zone', sync: { timeZone: 'Mars/Olympus' }, field: 'sync.timeZone' },
    { name: 'a time that is none', sync: { windows: [{ from: '2:00', to: '25:00' }] }, field: 'sync.windows[0].from' },
    { name: 'a limit of nothing', sync: { bytesPerSecondMax: 0 }, field: 'sync.bytesPerSecondMax' },
    { name: 'a mode that is none', sync: { mode: 'eager' }, field: 'sync.mode' },
    { name: 'a field that is none', sync: { speed: 1 }, field: 'sync.speed' },
  ])('is refused with the field at fault: $name', async ({ sync, field }) => {
    await makeCluster(store, { name: 'edge-a' });
    const { status, body } = await patch('edge-a', { sync });
    const { sync: after } = await show('edge-a');
    expect([status, body.errors?.[0]?.field, after]).toEqual([422, field, DEFAULT_SYNC_POLICIES.edge]);
  });
});

describe('an agent', () => {
  it('learns with its document how neighbours prove themselves, and when to verify what', async () => {
    const [edge, central] = [await join('edge-a'), await join('central-a', { kind: 'central' })];
    const [ofEdge, ofCentral] = [await edge.agent.fetch(), await central.agent.fetch()];
    expect([ofEdge.blobs!.verifyingKey, ofEdge.verification?.mode, ofCentral.verification?.mode]).toEqual([
      expect.stringContaining('BEGIN PUBLIC KEY'),
      'sample',
      'full',
    ]);
    for (const { verification } of [ofEdge, ofCentral]) {
      expect(verification!.dueInSeconds).toBeLessThanOrEqual(86_400);
    }
  });

  it('asks for a plan and fetches by it, for as long as the version is wanted', async () => {
    const { clusterId, agent } = await join('edge-a');
    const version = versions[1]!;
    await want(store, clusterId, [version]);
    const subject = SUBJECTS.syncPlan(clusterId);
    const answer = await requestJson(agent.session.connection, subject, request(version), SLOWLY);
    const reply: SyncPlanReply = syncPlanReplySchema.parse(answer);
    const { source, files } = demandGo(reply).steps[0]!;
    const fetchBlob = () =>
      fetch(`${source.url}/${files[0]!.blobDigest}`, { headers: { authorization: `Bearer ${source.token}` } });
    const response = await fetchBlob();
    expect(response.status).toBe(200);
    if (files[0]!.encoding === 'whole') {
      expect(Buffer.from(await response.arrayBuffer()).equals(contents[1]!)).toBe(true);
    }
    await want(store, clusterId, []);
    expect((await fetchBlob()).status).toBe(403);
  });

  it('that finds drift has it in the audit log, once', async () => {
    const { clusterId, agent } = await join('edge-a');
    const event = {
      id: v7(),
      kind: 'version-drifted',
      at: new Date().toISOString(),
      versionDigest: versions[0]!.digest!,
      path: 'model.gguf',
      foundDigest: 'f'.repeat(64),
    };
    await agent.tell(event);
    await agent.tell(event);
    await eventually(() => expect(agent.acked).toContain(event.id), SLOWLY);
    const { body } = await installation.call('GET', '/api/v1/audit?limit=200');
    const entries = body.items.filter(({ actor }: { actor: string }) => actor === `cluster:${clusterId}`);
    const drifted = entries.filter(({ action }: { action: string }) => action === 'versions.drifted');
    expect(drifted).toEqual([
      expect.objectContaining({
        targetId: versions[0]!.digest,
        detail: expect.objectContaining({ cluster: 'edge-a', path: 'model.gguf', foundDigest: 'f'.repeat(64) }),
      }),
    ]);
  });
});

describe('the overview of a version', () => {
  it('says of every member what it has or would do', async () => {
    const [first, second] = [await join('edge-a'), await join('edge-b')];
    await join('edge-c');
    await makeCluster(store, { name: 'edge-d', phase: 'PendingApproval' });
    await first.say({ versions: [held(versions[1]!)] });
    await second.say({});
    const { summary, clusters, digest } = await overview(2);
    expect([digest, summary]).toEqual([
      versions[1]!.digest,
      '1 holds it, 1 will finish, 1 will not: 1 out of contact (edge-c)',
    ]);
    expect(clusters.map(({ cluster, state }) => [cluster, state])).toEqual([
      ['edge-a', 'held'],
      ['edge-b', 'planned'],
      ['edge-c', 'unreachable'],
    ]);
  });

  it.each([
    { name: 'a model', path: 'nothing/versions/1/sync', status: 404 },
    { name: 'a version', path: 'tiny/versions/99/sync', status: 404 },
    { name: 'a number', path: 'tiny/versions/one/sync', status: 422 },
  ])('is not of what is not there: $name', async ({ path, status }) => {
    expect((await installation.call('GET', `/api/v1/models/${path}`)).status).toBe(status);
  });

  it('is not of a version that is still uploaded', async () => {
    await installation.call('POST', '/api/v1/models', { body: { name: 'half' } });
    const files = [{ path: 'model.gguf', sizeBytes: 10 }];
    await installation.call('POST', '/api/v1/models/half/versions', { body: { files } });
    const { status, body } = await installation.call('GET', '/api/v1/models/half/versions/1/sync');
    expect([status, body.detail]).toEqual([409, 'version 1 is Uploading; only one that is Published goes to clusters']);
  });
});

describe('the agreement on a model', () => {
  it('follows what clusters report of what they should hold', async () => {
    const { clusterId, say } = await join('edge-a');
    await want(store, clusterId, versions);
    await say({ versions: [held(versions[0]!)] });
    const lacking = await agreement();
    await say({ versions: versions.map((version) => held(version)) });
    const agreed = await agreement();
    const strange = { ...held(versions[0]!), digest: 'c'.repeat(64) };
    await say({ versions: [...versions.map((version) => held(version)), strange] });
    const drifted = await agreement();
    expect([lacking, agreed, drifted].map(({ newest, agrees, summary }) => ({ newest, agrees, summary }))).toEqual([
      { newest: 2, agrees: false, summary: '0 of 1 clusters agree; edge-a lacks version 2' },
      { newest: 2, agrees: true, summary: '1 cluster agrees' },
      {
        newest: 2,
        agrees: false,
        summary: '0 of 1 clusters agree; edge-a holds cccccccccccc, which the registry does not know',
      },
    ]);
  });

  it('does not mind versions of other models', async () => {
    await installation.call('POST', '/api/v1/models', { body: { name: 'other' } });
    const { digest } = await publishVersion(installation, 'other', gguf(1_000));
    const { clusterId, say } = await join('edge-a');
    await want(store, clusterId, versions);
    await say({ versions: [...versions.map((version) => held(version)), { ...held(versions[0]!), digest }] });
    expect((await agreement()).summary).toBe('1 cluster agrees');
  });

  it('is not of a model that is not there', async () => {
    expect((await installation.call('GET', '/api/v1/models/nothing/agreement')).status).toBe(404);
  });
});
