/** Offline bundles, leases and told usage over the wire, on a whole control plane. */
import { createHash, createHmac, verify } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { v7 } from 'uuid';
import { type BundleReply, bundleReplySchema, leaseReplySchema, offlineBundleSchema, SUBJECTS } from '#contracts';
import {
  BUNDLE_SIGNATURE_CONTEXT,
  DEFAULT_ROUTING_POLICY,
  DEFAULT_TENANT_ID,
  type Deployment,
  Store,
  splitToken,
} from '#domain';
import {
  connectNats,
  createIdentity,
  inboxPrefixOf,
  issueUserJwt,
  type NatsSession,
  permissionTables,
  publishEvent,
  requestJson,
  subscribeJson,
} from '#messaging';
import { eventually } from '#testing';
import { EventIntake } from '../../apps/control-plane/src/federation/event-intake.ts';
import { Secrets } from '../../apps/control-plane/src/secrets/secrets.ts';
import { type Installation, startInstallation } from './admin.fixture.ts';
import { aWish, insertBudget, serve } from './budgets.fixture.ts';
import { DIGEST, insertCluster, insertDeployment } from './store.fixture.ts';

let installation: Installation;
let store: Store;
let session: NatsSession;
let clusterId: string;
let deployment: Deployment;
const acked: string[] = [];

beforeAll(async () => {
  installation = await startInstallation();
  store = installation.controlPlane.app.get(Store, { strict: false });
  clusterId = (await insertCluster(store)).id;
  session = await connect(clusterId);
  subscribeJson(
    session.connection,
    SUBJECTS.acked(clusterId),
    ({ value }) => void acked.push(...(value as { ids: string[] }).ids),
    { onError: () => undefined },
  );
  deployment = await insertDeployment(store);
  await serve(store, clusterId, deployment);
}, 60_000);
afterAll(async () => {
  await session?.close();
  await installation?.stop();
}, 60_000);

async function connect(id: string): Promise<NatsSession> {
  const { publicKey, seed } = createIdentity();
  const jwt = await issueUserJwt({
    accountSeed: installation.server.operator.atollAccount.seed,
    userPublicKey: publicKey,
    name: 'agent',
    role: 'agent',
    clusterId: id,
    permissions: permissionTables.agent(id),
  });
  return connectNats({
    servers: installation.server.url,
    credentials: () => ({ jwt, seed }),
    name: `agent-${id}`,
    inboxPrefix: inboxPrefixOf(id),
  });
}

const request = (subject: string, body: unknown, by = session) =>
  requestJson(by.connection, subject, body, { timeoutMs: 10_000 });

async function fetchBundle(have: string | null = null): Promise<BundleReply> {
  return bundleReplySchema.parse(await request(SUBJECTS.bundle(clusterId), { have }));
}

/** The newest one, whatever is here. */
async function newest() {
  const reply = await fetchBundle();
  if (reply.answer !== 'bundle') throw new Error('there must be a bundle');
  const hash = createHash('sha256').update(reply.text).digest('hex');
  return { ...reply, hash, bundle: offlineBundleSchema.parse(JSON.parse(reply.text)) };
}

async function makeKey(name: string, body: object = {}) {
  const { body: made } = await installation.call('POST', '/api/v1/api-keys', { body: { name, ...body } });
  return made as { id: string; publicId: string; key: string; offline: boolean };
}

async function sql(statement: string, parameters: unknown[] = []): Promise<void> {
  const client = new Client({ connectionString: installation.database.url });
  await client.connect();
  await client.query(statement, parameters).finally(() => client.end());
}

describe('an offline bundle', () => {
  it('R4: names keys, deployments and budgets, and is signed by the installation', async () => {
    const made = await makeKey('app', { models: ['tiny'] });
    const budget = await insertBudget(store, { name: 'all', limitTokens: 1_000_000, period: 'day' });
    const { text, signature, bundle } = await newest();
    const { blobVerifyingKey } = installation.controlPlane.app.get(Secrets, { strict: false });
    const proves = (given: string) =>
      verify(
        null,
        Buffer.from(BUNDLE_SIGNATURE_CONTEXT + given),
        blobVerifyingKey,
        Buffer.from(signature, 'base64url'),
      );
    expect([proves(text), proves(`${text} `)]).toEqual([true, false]);
    const { secret } = splitToken('atoll', made.key)!;
    const offlineHash = createHmac('sha256', Buffer.from(bundle.keyPepper, 'base64url')).update(secret).digest('hex');
    expect(bundle.keys).toContainEqual({
      ...{ publicId: made.publicId, offlineHash, tenantId: DEFAULT_TENANT_ID, role: 'inference', models: ['tiny'] },
      ...{ expiresAtMs: null, budgetIds: [budget.id] },
    });
    expect(bundle.deployments).toEqual([
      {
        ...{ deploymentId: deployment.id, tenantId: DEFAULT_TENANT_ID, name: deployment.name, servedModel: 'tiny' },
        ...{ versionDigest: DIGEST, versionNumber: 1, adapters: [], routing: DEFAULT_ROUTING_POLICY },
        createdAtSeconds: Math.floor(deployment.createdAt.getTime() / 1_000),
      },
    ]);
    expect(bundle.budgets).toEqual([
      { budgetId: budget.id, title: 'budget "all" of 1,000,000 tokens a day', period: 'day' },
    ]);
    expect(bundle).toMatchObject({ clusterId, validForSeconds: 604_800 });
  });

  it('S3: holds nothing that opens the front door, and no viewers', async () => {
    const viewer = await makeKey('looks', { role: 'viewer' });
    const { text } = await newest();
    const stored = await store.read.apiKeys.list({ tenantId: DEFAULT_TENANT_ID, after: null, limit: 200 });
    for (const { secretHash } of stored) expect(text).not.toContain(secretHash);
    expect(text).not.toContain(viewer.publicId);
  });

  it('R18: is unchanged as long as nothing of it changed, and is not made again', async () => {
    const { hash } = await newest();
    expect(await fetchBundle(hash)).toEqual({ answer: 'unchanged' });
    const before = await store.read.bundles.head(clusterId);
    expect(await fetchBundle(hash)).toEqual({ answer: 'unchanged' });
    expect((await store.read.bundles.head(clusterId))?.issued).toEqual(before?.issued);
    expect((await newest()).hash).toBe(hash);
  });

  it('lacks a revoked key from the next fetch on, under a higher sequence', async () => {
    const made = await makeKey('leaves');
    const before = await newest();
    expect(before.bundle.keys.map(({ publicId }) => publicId)).toContain(made.publicId);
    expect((await installation.call('DELETE', `/api/v1/api-keys/${made.id}`)).status).toBe(204);
    const reply = await fetchBundle(before.hash);
    const after = offlineBundleSchema.parse(JSON.parse((reply as { text: string }).text));
    expect(after.keys.map(({ publicId }) => publicId)).not.toContain(made.publicId);
    expect(after.sequence).toBeGreaterThan(before.bundle.sequence);
  });

  it('changes with a budget and with what is placed there, and with nothing else', async () => {
    const { hash, bundle } = await newest();
    const [budget] = await store.read.budgets.list({ tenantId: DEFAULT_TENANT_ID, after: null, limit: 1 });
    await store.transaction((rows) => rows.budgets.update(budget!.id, budget!.revision, { limitTokens: 5 }));
    const changed = await newest();
    expect(changed.bundle.budgets[0]!.title).toBe('budget "all" of 5 tokens a day');
    const other = await insertDeployment(store, { servedModel: 'other' });
    expect(await fetchBundle(changed.hash)).toEqual({ answer: 'unchanged' });
    await serve(store, clusterId, deployment, other);
    const both = await newest();
    expect(both.bundle.deployments.map(({ deploymentId }) => deploymentId)).toEqual([deployment.id, other.id].sort());
    expect([bundle, changed.bundle, both.bundle].map(({ sequence }) => sequence)).toEqual(
      [bundle, changed.bundle, both.bundle].map(({ sequence }) => sequence).sort((left, right) => left - right),
    );
    expect(new Set([hash, changed.hash, both.hash]).size).toBe(3);
  });

  it('is issued anew once it is an hour old', async () => {
    const { hash, bundle } = await newest();
    await sql(`UPDATE offline_bundles SET issued_at = issued_at - interval '61 minutes' WHERE cluster_id = $1`, [
      clusterId,
    ]);
    const reply = await fetchBundle(hash);
    const again = offlineBundleSchema.parse(JSON.parse((reply as { text: string }).text));
    expect(again.sequence).toBeGreaterThan(bundle.sequence);
    expect({ ...again, sequence: 0, issuedAt: '' }).toEqual({ ...bundle, sequence: 0, issuedAt: '' });
  });

  it('R20: rises above what it was although the database lost it', async () => {
    const { bundle } = await newest();
    await sql('DELETE FROM offline_bundles WHERE cluster_id = $1', [clusterId]);
    expect((await newest()).bundle.sequence).toBeGreaterThan(bundle.sequence);
  });

  it('of two control planes at once is the same', async () => {
    await installation.startAnother();
    await makeKey('one-more');
    const texts = await Promise.all(Array.from({ length: 10 }, () => newest().then(({ text }) => text)));
    expect(new Set(texts).size).toBe(1);
  });

  it('S5: tells a cluster nothing of tenants that are not served there', async () => {
    const { body: guests } = await installation.call('POST', '/api/v1/tenants', { body: { name: 'guests' } });
    const { text } = await newest();
    expect(text).not.toContain(guests.id);
    expect(text).not.toContain(splitToken('atoll', guests.token)!.publicId);
  });

  it.each([
    ['garbage', () => ({ have: 7 }), () => clusterId, 'malformed'],
    ['nobody', () => ({ have: null }), () => v7(), 'not-a-member'],
  ])('is refused to %s', async (_who, body, idOf, reason) => {
    const id = idOf();
    const stranger = await connect(id);
    const reply = request(SUBJECTS.bundle(id), body(), stranger);
    await expect(reply).rejects.toMatchObject({ code: reason });
    await stranger.close();
  });

  it('R4: a key from before keys could be checked offline is named without a hash, and its list says so', async () => {
    const made = await makeKey('old');
    await sql('UPDATE api_keys SET offline_hash = NULL WHERE id = $1', [made.id]);
    const { bundle } = await newest();
    expect(bundle.keys.find(({ publicId }) => publicId === made.publicId)).toMatchObject({ offlineHash: null });
    const { body } = await installation.call('GET', '/api/v1/api-keys');
    const offline = body.items.map(({ name, offline }: { name: string; offline: boolean }) => [name, offline]);
    expect(offline).toEqual(
      expect.arrayContaining([
        ['old', false],
        ['one-more', true],
      ]),
    );
  });
});

describe('a lease', () => {
  it('R1: is granted over the wire, and usage of it counts once, however often it comes', async () => {
    const budget = await insertBudget(store);
    const { publicId } = await makeKey('pays');
    await newest();
    const wish = aWish(budget.id);
    const answer = leaseReplySchema.parse(await request(SUBJECTS.lease(clusterId), { wishes: [wish], returns: [] }));
    const { leaseId } = answer.grants[0]!;
    const entry = {
      ...{ tenantId: DEFAULT_TENANT_ID, keyPublicId: publicId, deploymentId: deployment.id, servedModel: 'tiny' },
      ...{ versionDigest: DIGEST, leaseIds: [leaseId], requests: 3, promptTokens: 70, completionTokens: 30 },
      estimatedRequests: 1,
    };
    const event = { id: v7(), kind: 'usage-recorded', at: new Date().toISOString(), entries: [entry] };
    await publishEvent(session.connection, clusterId, event.id, event);
    await eventually(() => expect(acked).toContain(event.id));
    // The stream keeps the same message from coming twice; another stream would not.
    const intake = installation.controlPlane.app.get(EventIntake, { strict: false });
    const again = () => intake.take({ clusterId, messageId: event.id, body: event, deliveries: 2 });
    await Promise.all([again(), again()]);
    expect(await store.read.budgets.standings([budget])).toMatchObject([{ spentTokens: 100, outTokens: 9_900 }]);
  });

  it('S5: usage of a tenant that is not served there is refused, acknowledged, and audited', async () => {
    const entry = {
      ...{ tenantId: v7(), keyPublicId: 'nobody00', deploymentId: deployment.id, servedModel: 'tiny' },
      ...{ versionDigest: DIGEST, leaseIds: [], requests: 1, promptTokens: 1, completionTokens: 1 },
      estimatedRequests: 0,
    };
    const event = { id: v7(), kind: 'usage-recorded', at: new Date().toISOString(), entries: [entry] };
    await publishEvent(session.connection, clusterId, event.id, event);
    await eventually(() => expect(acked).toContain(event.id));
    const audit = await store.read.audit.list({ tenantId: DEFAULT_TENANT_ID, after: null, limit: 5 });
    expect(audit).toContainEqual(
      expect.objectContaining({ action: 'usage.refused', targetId: clusterId, actor: `cluster:${clusterId}` }),
    );
  });

  it.each([
    ['garbage', () => ({ wishes: 'all' }), () => clusterId, 'malformed'],
    ['nobody', () => ({ wishes: [], returns: [] }), () => v7(), 'not-a-member'],
  ])('is refused to %s', async (_who, body, idOf, reason) => {
    const id = idOf();
    const stranger = await connect(id);
    const reply = request(SUBJECTS.lease(id), body(), stranger);
    await expect(reply).rejects.toMatchObject({ code: reason });
    await stranger.close();
  });
});
