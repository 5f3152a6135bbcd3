import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { issueUserJwt, readUserJwt, readUserPermissions, revokeUsers } from './credentials.ts';
import { createIdentity, proveIdentity, verifyProof } from './identity.ts';
import { decodeAccountClaims, decodeJwt } from './nats-jwt.ts';
import { createNatsOperator } from './operator.ts';
import { readOperatorFiles, writeOperatorFiles } from './operator-files.ts';
import { inboxPrefixOf, permissionTables } from './permissions.ts';
import { renderServerConfiguration } from './server-configuration.ts';

const operator = await createNatsOperator('spec');
const cluster = '0190b6f0-0000-7000-8000-000000000001';

describe('operator', () => {
  it('signs both accounts with limits that allow connections', () => {
    for (const account of [operator.systemAccount, operator.atollAccount]) {
      const claims = decodeAccountClaims(account.jwt);
      expect(claims.subject).toBe(account.publicKey);
      expect(claims.limits?.conn).toBeGreaterThan(0);
      expect(claims.limits?.subs).toBe(-1);
    }
    expect(decodeAccountClaims(operator.atollAccount.jwt).limits?.streams).toBeGreaterThan(0);
    expect(decodeJwt(operator.atollAccount.jwt).issuer).toBe(operator.operator.publicKey);
  });

  it('S10: two installations share no key', async () => {
    const other = await createNatsOperator('spec');
    expect(other.operator.seed).not.toBe(operator.operator.seed);
    expect(other.atollAccount.publicKey).not.toBe(operator.atollAccount.publicKey);
  });

  it('renders a configuration with durable writes, without an HTTP monitor and without seeds', () => {
    const text = renderServerConfiguration({ port: 4222, storeDirectory: '/s', jwtDirectory: '/j', operator });
    expect(text).toContain('sync_interval: always');
    expect(text).toContain('ping_interval: "20s"');
    // Without the JWTs: what is random says anything once in a while.
    expect(text.replaceAll(/eyJ[\w.-]+/g, '')).not.toMatch(/http|monitor/);
    expect(text).not.toContain(operator.operator.seed);
    expect(text).not.toContain(operator.atollAccount.seed);
  });
});

describe('operator files', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'atoll-operator-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it('come back as written, for their owner only', async () => {
    expect(await readOperatorFiles(directory)).toBeUndefined();
    await writeOperatorFiles(directory, operator);
    expect(await readOperatorFiles(directory)).toEqual(operator);
    expect((await stat(join(directory, 'operator.json'))).mode & 0o777).toBe(0o600);
  });

  it('are refused when damaged or mixed, without showing a seed', async () => {
    await writeOperatorFiles(directory, operator);
    const path = join(directory, 'operator.json');
    const text = await readFile(path, 'utf8');
    const mixed = text.replace(operator.atollAccount.seed, operator.systemAccount.seed);
    for (const damaged of [text.slice(0, 300), '', '{}', mixed]) {
      await writeFile(path, damaged);
      const error = await readOperatorFiles(directory).catch((cause: unknown) => cause);
      expect(error).toMatchObject({ name: 'OperatorFilesError' });
      expect(String(error)).not.toContain(operator.operator.seed.slice(0, 12));
    }
  });
});

describe('permission tables', () => {
  const cases = [
    {
      name: 'S2: an agent reaches its own subjects only',
      permissions: permissionTables.agent('c1'),
      wantPublish: ['hb', 'report', 'fetch', 'sync', 'bundle', 'lease', 'event']
        .map((verb) => `atoll.v1.c1.${verb}`)
        .concat(['atoll.v1.gateways.fetch', '_INBOX_c1.>']),
      wantSubscribe: [
        'atoll.v1.c1.desired',
        'atoll.v1.c1.acked',
        'atoll.v1.c1.rpc.>',
        'atoll.v1.gateways',
        '_INBOX_c1.>',
      ],
    },
    {
      name: 'S2: a gateway hears heartbeats, routes and links',
      permissions: permissionTables.gateway('g1'),
      wantPublish: ['atoll.v1.routes.fetch', 'atoll.v1.gateways', 'atoll.v1.usage', 'atoll.v1.outcomes'],
      wantSubscribe: ['atoll.v1.*.hb', 'atoll.v1.routes', 'atoll.v1.links', '_INBOX_g1.>'],
    },
    {
      name: 'the control plane has the whole tree and JetStream',
      permissions: permissionTables['control-plane'](),
      wantPublish: ['atoll.v1.>', '$JS.API.>', '$JS.ACK.>', '$JS.FC.>'],
      wantSubscribe: ['atoll.v1.>', '_INBOX_control-plane.>'],
    },
  ];
  it.each(cases)('$name', ({ permissions, wantPublish, wantSubscribe }) => {
    expect(permissions.publish).toEqual(wantPublish);
    expect(permissions.subscribe).toEqual(wantSubscribe);
  });

  it.each(['', '*', '>', 'a.b', 'a b', 'a\n', 'x'.repeat(65)])('S2: %j is no subject token', (token) => {
    expect(() => permissionTables.agent(token)).toThrow(RangeError);
    expect(() => inboxPrefixOf(token)).toThrow(RangeError);
  });
});

describe('user JWTs', () => {
  const { publicKey } = createIdentity();
  const base = { accountSeed: operator.atollAccount.seed, userPublicKey: publicKey, name: 'edge-1' };

  it('carry role, cluster, expiry and the allow-lists', async () => {
    const permissions = permissionTables.agent(cluster);
    const now = 1_800_000_000_000;
    const token = await issueUserJwt({ ...base, role: 'agent', clusterId: cluster, permissions, ttlSeconds: 60, now });
    expect(readUserJwt(token)).toMatchObject({
      role: 'agent',
      clusterId: cluster,
      publicKey,
      name: 'edge-1',
      accountPublicKey: operator.atollAccount.publicKey,
      expiresAtSeconds: 1_800_000_060,
    });
    expect(readUserPermissions(token)).toEqual({ publish: permissions.publish, subscribe: permissions.subscribe });
  });

  it('are refused for foreign keys and for roles that do not fit', async () => {
    const permissions = permissionTables.agent(cluster);
    const wrong = [
      { ...base, role: 'agent' as const, permissions },
      { ...base, role: 'gateway' as const, clusterId: cluster, permissions },
      { ...base, role: 'agent' as const, clusterId: cluster, permissions, userPublicKey: operator.operator.publicKey },
    ];
    for (const options of wrong) await expect(issueUserJwt(options)).rejects.toMatchObject({ name: 'CredentialError' });
  });

  it('are refused when a byte is changed', async () => {
    const permissions = permissionTables.agent(cluster);
    const token = await issueUserJwt({ ...base, role: 'agent', clusterId: cluster, permissions });
    const [head, body, signature] = token.split('.');
    const forged = Buffer.from(String(body), 'base64url').toString().replace('role:agent', 'role:system');
    const texts = ['', 'a.b.c', `${head}.${Buffer.from(forged).toString('base64url')}.${signature}`, 'x'.repeat(9000)];
    for (const text of texts) expect(() => readUserJwt(text)).toThrow('JWT');
    expect(() => readUserJwt(operator.atollAccount.jwt)).toThrow('not a user JWT');
  });

  it('revocations are in the re-signed account, the latest time winning', async () => {
    const keys = { operatorSeed: operator.operator.seed, accountPublicKey: operator.atollAccount.publicKey };
    const token = await revokeUsers(keys, [
      { userPublicKey: publicKey, revokedAtSeconds: 200 },
      { userPublicKey: publicKey, revokedAtSeconds: 100 },
    ]);
    const claims = decodeAccountClaims(token);
    expect(claims.revocations).toEqual({ [publicKey]: 200 });
    expect(claims.limits).toEqual(decodeAccountClaims(operator.atollAccount.jwt).limits);
  });
});

describe('proof of identity', () => {
  const { publicKey, seed } = createIdentity();
  const body = { name: 'edge-1', token: 't', capacity: { nodes: 1, labels: ['a'] } };
  const signature = proveIdentity(seed, 'nonce', body);
  const proof = { publicKey, nonce: 'nonce', signature, body };

  it('holds, whatever the order of the fields', () => {
    expect(verifyProof(proof)).toBe(true);
    expect(verifyProof({ ...proof, body: { capacity: { labels: ['a'], nodes: 1 }, token: 't', name: 'edge-1' } })).toBe(
      true,
    );
  });

  it.each([
    ['another nonce', { nonce: 'other' }],
    ['another body', { body: { ...body, name: 'edge-2' } }],
    ['another key', { publicKey: createIdentity().publicKey }],
    ['an account key', { publicKey: operator.atollAccount.publicKey }],
    ['a cut signature', { signature: signature.slice(1) }],
    ['no signature', { signature: '' }],
    ['garbage', { publicKey: 'U'.repeat(56) }],
  ])('S2: fails with %s', (_name, change) => {
    expect(verifyProof({ ...proof, ...change })).toBe(false);
  });
});
