// An agent that serves its neighbours: the built agent as a process, on real NATS, asked as a cluster of its site group
// would ask it.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SignJWT } from 'jose';
import type { DesiredVersion } from '#domain';
import { until as untilIn } from '../../apps/agent/test/temporary-folder.ts';
import { AgentWorld, buildAgent, CLUSTER_ID } from './agent-world.ts';

const ASKER_ID = '01900000-0000-7000-8000-00000000c002';
const CONTENT = 'weights of version one';
const until: typeof untilIn = (look, what) => untilIn(look, what, 30_000);
const listening = { neighbours: { listen: { host: '127.0.0.1', port: 0 } } };

describe('an agent and its neighbours', () => {
  const [keys, nextKeys] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
  const pemOf = (key: KeyObject) => key.export({ format: 'pem', type: 'spki' }) as string;
  let world: AgentWorld;
  let version: DesiredVersion;
  beforeAll(() => buildAgent(), 60_000);
  beforeEach(async () => {
    world = new AgentWorld();
    await world.start();
    world.verifyingKey = pemOf(keys.publicKey);
    version = world.publishVersion(1, CONTENT);
    world.want({ versions: [version] });
  }, 30_000);
  afterEach(() => world.stop(), 30_000);

  const log = () => `log: ${world.log.slice(-3_000)}`;
  const isHeld = () => world.lastReport?.versions[0]?.phase === 'Held';

  function tokenOf(change: { audience?: string; versions?: string[]; by?: KeyObject; expires?: string } = {}) {
    return new SignJWT({ ver: change.versions ?? [version.digest] })
      .setProtectedHeader({ alg: 'EdDSA' })
      .setSubject(ASKER_ID)
      .setAudience(change.audience ?? `atoll-neighbour:${CLUSTER_ID}`)
      .setIssuedAt()
      .setExpirationTime(change.expires ?? '15m')
      .sign(change.by ?? keys.privateKey);
  }

  async function get(endpoint: string, token: string | undefined, headers: Record<string, string> = {}) {
    const response = await fetch(`http://${endpoint}/atoll/blobs/${version.files[0]!.digest}`, {
      headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    });
    return { status: response.status, text: await response.text() };
  }

  it('tells where, and serves the files of what it holds to who may have them', async () => {
    await world.startAgent(listening);
    const endpoint = await until(() => world.lastReport?.blobEndpoint, log);
    expect(endpoint).toMatch(/^127\.0\.0\.1:\d+$/);
    await until(isHeld, log);
    expect(await get(endpoint, await tokenOf())).toEqual({ status: 200, text: CONTENT });
    expect(await get(endpoint, await tokenOf(), { range: 'bytes=11-' })).toEqual({ status: 206, text: 'version one' });
    const statuses = await Promise.all(
      [
        tokenOf({ audience: `atoll-neighbour:${ASKER_ID}` }),
        tokenOf({ expires: '-7d' }),
        tokenOf({ versions: ['f'.repeat(64)] }),
        tokenOf({ by: nextKeys.privateKey }),
      ].map(async (token) => (await get(endpoint, await token)).status),
    );
    expect(statuses).toEqual([403, 403, 404, 401]);
  }, 60_000);

  it('S1: without a token every path is 401', async () => {
    await world.startAgent(listening);
    const endpoint = await until(() => world.lastReport?.blobEndpoint, log);
    const paths = [
      '/',
      '/healthz',
      '/readyz',
      '/metrics',
      '/atoll/blobs/',
      '/atoll/ping',
      '/v1/models',
      '/no/such/path',
    ];
    const statuses = await Promise.all(
      paths.flatMap((path) =>
        ['GET', 'POST', 'DELETE'].map(async (method) => (await fetch(`http://${endpoint}${path}`, { method })).status),
      ),
    );
    expect([...new Set(statuses)]).toEqual([401]);
    expect((await get(endpoint, undefined)).status).toBe(401);
  }, 60_000);

  it('R4: restarted while the centre is away, it serves what it has verified again', async () => {
    await world.startAgent(listening);
    await until(isHeld, log);
    await until(() => world.lastReport?.blobEndpoint, log);
    await world.killAgent('SIGKILL');
    await world.killNats();
    world.log = '';
    await world.startAgent(listening);
    const port = await until(() => /"port":(\d+),"msg":"neighbours may fetch here"/.exec(world.log)?.[1], log);
    await until(async () => (await get(`127.0.0.1:${port}`, await tokenOf())).status === 200, log);
  }, 60_000);

  it('a key that was changed is asked for when somebody shows a token of it', async () => {
    await world.startAgent(listening);
    const endpoint = await until(() => world.lastReport?.blobEndpoint, log);
    await until(isHeld, log);
    world.verifyingKey = pemOf(nextKeys.publicKey);
    const token = await tokenOf({ by: nextKeys.privateKey });
    await until(async () => (await get(endpoint, token)).status === 200, log);
    expect((await get(endpoint, await tokenOf())).status).toBe(401);
  }, 60_000);

  it('serves none and names no place when it is not told to', async () => {
    await world.startAgent({ neighbours: { advertise: 'edge.example.com:7412' } });
    await until(isHeld, log);
    expect(world.lastReport!.blobEndpoint).toBeUndefined();
    expect(world.log).not.toContain('neighbours may fetch here');
  }, 60_000);
});
