/** The wire between agents, gateways and the control plane, on real Postgres and NATS, with a fake agent. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { v7 } from 'uuid';
import { routesViewSchema, SUBJECTS } from '#contracts';
import { DEFAULT_TENANT_ID } from '#domain';
import { connectNats, createIdentity, publishJson, RequestRefusedError, requestJson, subscribeJson } from '#messaging';
import { AccountClaimsPusher } from '../../apps/control-plane/src/federation/account-claims-pusher.ts';
import {
  type Centre,
  CPU,
  makeCluster,
  makeDeployment,
  makeVersion,
  type Servers,
  startCentre,
  startServers,
  until,
  WireAgent,
} from './federation.fixture.ts';

jest.setTimeout(60_000);

let servers: Servers;
let centre: Centre;
const agents: WireAgent[] = [];

beforeAll(async () => {
  servers = await startServers();
  centre = await startCentre(servers, { leads: false });
}, 60_000);
afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.stop()));
});
afterAll(async () => {
  await centre?.stop();
  await servers?.stop();
});

async function join(change: Parameters<typeof makeCluster>[1] = {}) {
  const cluster = await makeCluster(servers.store, change);
  const agent = await WireAgent.connect(servers, cluster.id);
  agents.push(agent);
  return { cluster, agent };
}

const observed = (clusterId: string) => servers.store.read.observations.find(clusterId);

describe('reports', () => {
  it('the newest replaces the one before, whole', async () => {
    const { cluster, agent } = await join();
    agent.report({ endpoint: '10.0.0.1:80' });
    await until('the first report', async () => (await observed(cluster.id))?.report.sequence === 1);
    agent.report();
    const second = await until('the second', async () => {
      const observation = await observed(cluster.id);
      return observation?.report.sequence === 2 ? observation : null;
    });
    expect(second.report.endpoint).toBeUndefined();
  });

  const dropped = (reason: string) => centre.counts.countOf('report', reason);
  const table: { reason: string; send: (agent: WireAgent) => void }[] = [
    { reason: 'foreign', send: (agent) => agent.report({ clusterId: v7() }) },
    { reason: 'older-epoch', send: (agent) => agent.report({ epoch: 4 }) },
    { reason: 'stale', send: (agent) => agent.report({ epoch: 5, sequence: 1 }) },
    { reason: 'repeated', send: (agent) => agent.report({ epoch: 5, sequence: 10 }) },
    { reason: 'malformed', send: (agent) => agent.report({ sequence: -1 }) },
    {
      reason: 'malformed',
      send: (agent) => publishJson(agent.session.connection, SUBJECTS.report(agent.clusterId), 'garbage'),
    },
  ];
  it.each(table)('one that is $reason changes nothing and is counted', async ({ reason, send }) => {
    const { cluster, agent } = await join();
    agent.report({ epoch: 5, sequence: 10 });
    const before = await until('the good report', () => observed(cluster.id));
    const count = dropped(reason);
    send(agent);
    await until(`the count of ${reason}`, async () => dropped(reason) === count + 1);
    expect(await observed(cluster.id)).toEqual(before);
  });

  it('a late one of a replaced boot is stale', async () => {
    const { cluster, agent } = await join();
    const oldBoot = agent.bootId;
    agent.report();
    await until('the old boot', () => observed(cluster.id));
    agent.bootId = v7();
    agent.sequence = 0;
    agent.report();
    await until('the new boot', async () => (await observed(cluster.id))?.report.bootId === agent.bootId);
    const count = dropped('stale');
    agent.report({ bootId: oldBoot, sequence: 1 });
    await until('the drop', async () => dropped('stale') === count + 1);
  });

  it.each(['PendingApproval', 'Left'] as const)('of a cluster that is %s do not count', async (phase) => {
    const { cluster, agent } = await join({ phase });
    const count = dropped('not-a-member');
    agent.report();
    await until('the drop', async () => dropped('not-a-member') === count + 1);
    expect(await observed(cluster.id)).toBeNull();
  });

  it('one behind the desired document is answered by a hint', async () => {
    const { cluster, agent } = await join();
    await servers.store.transaction((rows) =>
      rows.desired.put(cluster.id, 3, { versions: [], replicas: [], tasks: [] }),
    );
    agent.report();
    await until('the hint', async () => agent.hints.length > 0);
    expect(agent.hints[0]).toEqual({ epoch: 3, revision: 1 });
  });
});

describe('fetching', () => {
  it('the whole document, with a blob token for the versions in it', async () => {
    const { cluster, agent } = await join();
    const version = await makeVersion(servers.store);
    const deployment = await makeDeployment(servers.store, version);
    const { id: versionId, number, digest, files } = version;
    const replica = {
      replicaId: v7(),
      deploymentId: deployment.id,
      deploymentName: deployment.name,
      servedModel: 'chat',
    };
    const content = {
      versions: [{ versionId, modelName: 'model', number, digest: digest!, files }],
      replicas: [{ ...replica, versionDigest: digest!, claim: CPU, epoch: 3, draining: false }],
      tasks: [],
    };
    await servers.store.transaction((rows) => rows.desired.put(cluster.id, 3, content));
    expect(await agent.fetch()).toEqual({
      state: { clusterId: cluster.id, epoch: 3, revision: 1, ...content },
      blobs: { url: 'http://127.0.0.1:1/api/v1/blobs', token: `${cluster.id}:${digest}`, expiresInSeconds: 900 },
      verification: { mode: 'sample', dueInSeconds: expect.any(Number) },
    });
  });

  it('before there is any document', async () => {
    const { agent } = await join();
    expect((await agent.fetch()).state).toBeNull();
  });

  it('is refused to who has left', async () => {
    const { agent } = await join({ phase: 'Left' });
    await expect(agent.fetch()).rejects.toMatchObject({ code: 'not-a-member' });
  });

  it('says what a malformed request should be', async () => {
    const { agent } = await join();
    const ask = requestJson(
      agent.session.connection,
      SUBJECTS.desiredFetch(agent.clusterId),
      { have: 1 },
      { timeoutMs: 3_000 },
    );
    await expect(ask).rejects.toThrow(new RequestRefusedError('malformed', 'revision and epoch: numbers from 0 on'));
  });

  it('gateways that announced themselves', async () => {
    const { agent } = await join();
    const gateway = { gatewayId: v7(), linkEndpoint: '127.0.0.1:7401', publicKey: createIdentity().publicKey };
    publishJson(centre.nats.connection, SUBJECTS.gateways, gateway);
    const ask = () => requestJson(agent.session.connection, SUBJECTS.gatewaysFetch, {}, { timeoutMs: 3_000 });
    await until('the announcement', async () => ((await ask()) as { gateways: unknown[] }).gateways.length > 0);
    expect(await ask()).toEqual({ gateways: [gateway] });
    centre.clock.advance(15_001);
    expect(await ask()).toEqual({ gateways: [] });
  });

  it('the routes, newer than what the gateway has', async () => {
    const ask = (have: number) =>
      requestJson(centre.nats.connection, SUBJECTS.routesFetch, { have }, { timeoutMs: 3_000 });
    const first = routesViewSchema.parse(await ask(0));
    await makeCluster(servers.store);
    const { view } = await servers.store.transaction((rows) => rows.routes.refresh());
    expect(view.sequence).toBeGreaterThan(first.sequence);
    expect(await ask(first.sequence)).toEqual(view);
  });
});

describe('events', () => {
  it('have one effect however often they come, and are acknowledged each time', async () => {
    const { cluster, agent } = await join();
    const event = { id: v7(), kind: 'version-verified', at: new Date().toISOString(), versionDigest: 'a'.repeat(64) };
    await agent.tell(event);
    await until('the first acknowledgement', async () => agent.acked.length === 1);
    // Another message id, so that JetStream itself does not drop it.
    await agent.tell({ ...event });
    publishJson(agent.session.connection, SUBJECTS.event(cluster.id), event);
    await until('the second', async () => agent.acked.length >= 2);
    const page = { tenantId: DEFAULT_TENANT_ID, after: null, limit: 200 };
    const entries = (await servers.store.read.audit.list(page)).filter(
      ({ actor }) => actor === `cluster:${cluster.id}`,
    );
    expect([agent.acked[0], agent.acked[1], entries.length]).toEqual([event.id, event.id, 1]);
  });

  it('a character that Postgres cannot hold does not make one come back for ever', async () => {
    const { agent } = await join();
    const replica = { replicaId: v7(), versionDigest: 'a'.repeat(64) };
    const reason = 'last words: \0 \ud800';
    const event = { id: v7(), kind: 'replica-failed', at: new Date().toISOString(), ...replica, reason };
    await agent.tell(event);
    await until('the acknowledgement', async () => agent.acked.includes(event.id));
  });

  it('that make no sense are counted and not acknowledged', async () => {
    const { agent } = await join();
    const count = centre.counts.countOf('event', 'malformed');
    await agent.tell({ id: v7(), kind: 'nonsense' });
    await until('the drop', async () => centre.counts.countOf('event', 'malformed') === count + 1);
    expect(agent.acked).toEqual([]);
  });
});

describe('connections', () => {
  it('R6 that NATS saw ending are told to gateways', async () => {
    const { cluster, agent } = await join();
    const links: unknown[] = [];
    const stop = subscribeJson(centre.nats.connection, SUBJECTS.links, ({ value }) => void links.push(value), {
      onError: () => undefined,
    });
    await agent.session.close();
    // Agents of earlier specs may still be told of.
    const isOwn = (link: unknown) => (link as { clusterId: string }).clusterId === cluster.id;
    const own = await until('the hint', async () => links.find(isOwn));
    await stop();
    expect(own).toEqual({ clusterId: cluster.id, connected: false });
  });

  it('of a revoked agent are cut, also after NATS forgot and came back', async () => {
    const { cluster, agent } = await join();
    const pusher = centre.app.get(AccountClaimsPusher);
    await servers.store.transaction((rows) => rows.revocations.insert(agent.publicKey, cluster.id));
    await pusher.request();
    await until('the cut', async () => agent.session.status().state === 'disconnected');
    await servers.server.restart();
    await until('the control plane to be back', async () => centre.nats.isConnected());
    await pusher.request();
    const another = connectNats({
      servers: servers.server.url,
      credentials: () => ({ jwt: 'x', seed: 'x' }),
      name: 'nobody',
      inboxPrefix: '_INBOX_nobody',
      isFirstConnectionAwaited: false,
    });
    await expect(another).rejects.toThrow();
    // Its last try may have met the server while it was away.
    await until('the refusal', async () => {
      const status = agent.session.status();
      return status.state === 'disconnected' && status.failure === 'unauthorized';
    });
  });
});
