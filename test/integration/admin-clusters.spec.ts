// How clusters join, are accepted, renew and leave (S2), over the real HTTP side, Postgres and NATS.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connectNats, createIdentity, inboxPrefixOf, type NatsKey, readUserJwt } from '#messaging';
import { eventually, startStopwatch } from '#testing';
import { callApi, type Installation, joinCluster, proven, secretOf, startInstallation } from './admin.fixture.ts';
import { spoilt } from './spoilt.fixture.ts';

let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation();
}, 60_000);
afterAll(() => installation?.stop(), 60_000);

async function makeToken(clusterName: string, extra: Record<string, unknown> = {}): Promise<string> {
  const body = { clusterName, kind: 'edge', ...extra };
  return (await installation.call('POST', '/api/v1/join-tokens', { body })).body.token;
}

async function join(identity: NatsKey, token: string) {
  const { url } = installation.controlPlane;
  const body = await proven(url, identity, { token, agentVersion: '0.1.0' });
  return callApi(url, 'POST', '/api/v1/agent/join', { body });
}

async function renew(identity: NatsKey) {
  const { url } = installation.controlPlane;
  return callApi(url, 'POST', '/api/v1/agent/credentials', {
    body: await proven(url, identity, { agentVersion: '0.1.0' }),
  });
}

describe('joining', () => {
  it('gives a pre-approved cluster credentials for its own subjects at once', async () => {
    const { identity, reply } = await joinCluster(installation, 'edge-one', { region: 'eu', labels: { site: 'a' } });
    expect(reply).toMatchObject({ clusterName: 'edge-one', phase: 'Ready', retryAfterSeconds: null });
    expect(readUserJwt(reply.credentials.jwt)).toMatchObject({
      role: 'agent',
      clusterId: reply.clusterId,
      publicKey: identity.publicKey,
      accountPublicKey: reply.credentials.account,
    }); // prettier-ignore
    const { body } = await installation.call('GET', '/api/v1/clusters/edge-one');
    expect(body).toMatchObject({ region: 'eu', labels: { site: 'a' }, phase: 'Ready', observed: null });
  });

  it('lets others wait for approval, then answers the same key', async () => {
    const identity = createIdentity();
    const first = await join(identity, await makeToken('edge-waiting'));
    expect(first.body).toMatchObject({ phase: 'PendingApproval', credentials: null, retryAfterSeconds: 5 });
    expect((await renew(identity)).body.credentials).toBeNull();
    expect((await installation.call('POST', '/api/v1/clusters/edge-waiting/accept')).body.phase).toBe('Ready');
    expect((await renew(identity)).body.credentials.jwt).toMatch(/^ey/);
    const again = await installation.call('POST', '/api/v1/clusters/edge-waiting/accept');
    expect(again).toMatchObject({ status: 409, body: { detail: expect.stringContaining('is Ready') } });
  });

  it('answers the same key again with its spent token: a lost reply costs nothing', async () => {
    const identity = createIdentity();
    const token = await makeToken('edge-lost-reply', { preApproved: true });
    const first = await join(identity, token);
    const second = await join(identity, token);
    expect(second).toMatchObject({ status: 200, body: { clusterId: first.body.clusterId, phase: 'Ready' } });
  });

  it('lets two joins with one token at once make one cluster', async () => {
    const token = await makeToken('edge-raced', { preApproved: true });
    const answers = await Promise.all([createIdentity(), createIdentity()].map((identity) => join(identity, token)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 403]);
  });

  it.each([
    ['garbage', async () => 'not a token', 'not one of this installation'],
    ['foreign', async () => `atolljoin_${'a'.repeat(16)}_${'b'.repeat(43)}`, 'not one of this installation'],
    ['an API key', async () => installation.ownerKey, 'not one of this installation'],
    ['half right', async () => spoilt(await makeToken('edge-half')), 'not one of this installation'],
    [
      'used by another key',
      async () => {
        const token = await makeToken('edge-used', { preApproved: true });
        await join(createIdentity(), token);
        return token;
      },
      'already used',
    ],
  ])('refuses a token that is %s, with the reason and no trace of secrets', async (_name, make, want) => {
    const token = await make();
    const answer = await join(createIdentity(), token);
    expect(answer).toMatchObject({ status: 403, body: { detail: expect.stringContaining(want) } });
    const secret = secretOf(token);
    expect(JSON.stringify(answer.body)).not.toContain(secret);
    expect(installation.log.join('')).not.toContain(secret);
  }); // prettier-ignore

  it('S2: refuses a name that belongs to another key', async () => {
    await joinCluster(installation, 'edge-taken');
    const answer = await join(createIdentity(), await makeToken('edge-taken'));
    expect(answer).toMatchObject({ status: 409, body: { detail: expect.stringContaining('another key') } });
  });

  it('refuses a key that already belongs to a cluster', async () => {
    const { identity } = await joinCluster(installation, 'edge-owner');
    const answer = await join(identity, await makeToken('edge-second-name'));
    expect(answer).toMatchObject({ status: 403, body: { detail: expect.stringContaining('edge-owner') } });
  });

  it('refuses a proof made for another body, another nonce, or by another key', async () => {
    const { url } = installation.controlPlane;
    const identity = createIdentity();
    const token = await makeToken('edge-forged');
    const good = await proven(url, identity, { token, agentVersion: '0.1.0' });
    const forged = [
      { ...good, agentVersion: '9' },
      { ...good, publicKey: createIdentity().publicKey },
      { ...good, nonce: `${good.nonce}x` },
      { ...good, nonce: `9999999999.${String(good.nonce).split('.').slice(1).join('.')}` },
    ];
    for (const body of forged) expect((await callApi(url, 'POST', '/api/v1/agent/join', { body })).status).toBe(401);
    expect((await installation.call('GET', '/api/v1/clusters/edge-forged')).status).toBe(404);
  });

  it('takes no large body from nobody', async () => {
    const body = { token: 'x'.repeat(20_000) };
    const answer = await callApi(installation.controlPlane.url, 'POST', '/api/v1/agent/join', { body });
    expect(answer.status).toBe(413);
  });
});

describe('changing', () => {
  it('cordons and labels, with ETag and If-Match', async () => {
    await joinCluster(installation, 'edge-tagged');
    const read = await installation.call('GET', '/api/v1/clusters/edge-tagged');
    const etag = read.headers.get('etag')!;
    const changed = await installation.call('PATCH', '/api/v1/clusters/edge-tagged', {
      body: { cordoned: true, labels: { a: 'b' } },
      headers: { 'if-match': etag },
    }); // prettier-ignore
    expect(changed).toMatchObject({ status: 200, body: { cordoned: true, labels: { a: 'b' } } });
    expect(changed.headers.get('etag')).not.toBe(etag);
    const stale = await installation.call('PATCH', '/api/v1/clusters/edge-tagged', {
      body: { cordoned: false },
      headers: { 'if-match': etag },
    }); // prettier-ignore
    expect(stale).toMatchObject({ status: 412, body: { type: 'urn:atoll:problem:precondition-failed' } });
    expect((await installation.call('GET', '/api/v1/clusters/edge-tagged')).body.cordoned).toBe(true);
  });

  it('S2: removal cuts the live connection within a second, and the key stays out', async () => {
    const { identity, reply } = await joinCluster(installation, 'edge-removed');
    const session = await connectNats({
      servers: reply.credentials.natsServers,
      credentials: () => ({ jwt: reply.credentials.jwt, seed: identity.seed }),
      name: 'edge-removed',
      inboxPrefix: inboxPrefixOf(reply.clusterId),
    });
    try {
      const passedMs = startStopwatch();
      expect((await installation.call('DELETE', '/api/v1/clusters/edge-removed')).status).toBe(204);
      await eventually(() => expect(session.status().state).not.toBe('connected'));
      expect(passedMs()).toBeLessThan(1_000);
    } finally {
      await session.close(0);
    }
    expect(await renew(identity)).toMatchObject({
      status: 410,
      body: { type: 'urn:atoll:problem:cluster-removed', detail: expect.stringContaining('removed') },
    });
    expect((await installation.call('GET', '/api/v1/clusters/edge-removed')).status).toBe(404);
    expect((await join(identity, await makeToken('edge-removed'))).status).toBe(403);
    const anew = await join(createIdentity(), await makeToken('edge-removed', { preApproved: true }));
    expect(anew).toMatchObject({ status: 200, body: { phase: 'Ready' } });
  });
});

describe('every mutation', () => {
  it('leaves an audit entry that names who, what and which, and never a secret', async () => {
    const token = await makeToken('edge-audited', { preApproved: true });
    await join(createIdentity(), token);
    const { body } = await installation.call('GET', '/api/v1/audit?limit=200');
    // The leader judges clusters that send no heartbeats, and says so too.
    const [joined, made] = body.items.filter(({ actor }: { actor: string }) => !actor.startsWith('controller:'));
    expect(joined).toMatchObject({ action: 'clusters.join', actor: expect.stringMatching(/^cluster:/) });
    expect(made).toMatchObject({ action: 'join-tokens.create', actor: expect.stringMatching(/^key:[0-9a-f]{16}$/) });
    expect(JSON.stringify(body)).not.toContain(secretOf(token));
  });

  it('repeats the answer, not the deed, for a repeated Idempotency-Key', async () => {
    const headers = { 'idempotency-key': crypto.randomUUID() };
    const body = { clusterName: 'edge-repeated', kind: 'edge' };
    const first = await installation.call('POST', '/api/v1/join-tokens', { body, headers });
    const second = await installation.call('POST', '/api/v1/join-tokens', { body, headers });
    expect(second).toMatchObject({ status: 201, body: first.body });
    const other = await installation.call('POST', '/api/v1/join-tokens', {
      body: { ...body, kind: 'central' },
      headers,
    });
    expect(other).toMatchObject({ status: 422, body: { errors: [{ field: 'Idempotency-Key' }] } });
  });

  it('pages lists by cursor to the end', async () => {
    const names: string[] = [];
    let after = '';
    for (let pages = 0; pages < 50; pages += 1) {
      const { body } = await installation.call('GET', `/api/v1/clusters?limit=2${after}`);
      names.push(...body.items.map(({ name }: { name: string }) => name));
      if (body.next === null) break;
      after = `&after=${body.next}`;
    }
    const { body: all } = await installation.call('GET', '/api/v1/clusters?limit=200');
    expect(names).toEqual(all.items.map(({ name }: { name: string }) => name));
    expect(all.next).toBeNull();
  });
});
