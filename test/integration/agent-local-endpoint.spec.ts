// The built agent as a process, killed and started without NATS: it serves its local clients by what is on its disk, and
// what it spent is told exactly once when the centre is back.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';
import type { LeaseRequest, UsageEntry } from '#contracts';
import type { DesiredReplica, OfflineBundle } from '#domain';
import {
  BUDGET_ID,
  bundleOf,
  DEPLOYMENT_ID,
  deploymentOf,
  keyOf,
  Signer,
} from '../../apps/agent/test/offline.builders.ts';
import { until } from '../../apps/agent/test/temporary-folder.ts';
import { AgentWorld, buildAgent, CLUSTER_ID } from './agent-world.ts';

const REPLICA_ID = '01900000-0000-7000-8000-00000000b001';
const LEASED_TOKENS = 50_000;
const mine = keyOf('mineaaaa', { budgetIds: [BUDGET_ID] });
const later = keyOf('lateraaa');
const LISTEN = { localEndpoint: { listen: { host: '127.0.0.1', port: 0 } } };

function replicaOf(versionDigest: string): DesiredReplica {
  return {
    replicaId: REPLICA_ID,
    deploymentId: DEPLOYMENT_ID,
    deploymentName: 'tiny',
    servedModel: 'tiny',
    versionDigest,
    claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
    epoch: 1,
    draining: false,
  };
}

describe('R4: the local endpoint of a real agent', () => {
  let world: AgentWorld;
  let signer: Signer;
  let bundle: OfflineBundle;
  const leases = new Map<string, string>();
  beforeAll(() => buildAgent(), 60_000);
  afterEach(() => world.stop(), 60_000);

  async function serving(): Promise<void> {
    [world, signer] = [new AgentWorld(), new Signer()];
    leases.clear();
    await world.start();
    world.verifyingKey = signer.verifyingKey;
    const version = world.publishVersion(1, 'weights of version one');
    bundle = bundleOf({
      issuedAt: new Date().toISOString(),
      keys: [mine.key],
      deployments: [deploymentOf({ versionDigest: version.digest })],
      budgets: [{ budgetId: BUDGET_ID, title: 'budget "all"', period: 'total' }],
    });
    world.answerAs('bundle', () => ({ answer: 'bundle', ...signer.sign(bundle) }));
    world.answerAs('lease', ({ wishes }: LeaseRequest) => ({
      grants: wishes.map(({ requestId, budgetId }) => {
        leases.set(requestId, leases.get(requestId) ?? uuidv7());
        const leaseId = leases.get(requestId)!;
        return { requestId, budgetId, leaseId, grantedTokens: LEASED_TOKENS, expiresInSeconds: 172_800 };
      }),
      refusals: [],
      ended: [],
    }));
    world.want({ versions: [version], replicas: [replicaOf(version.digest)] });
    await start();
    await world.waitForReplica(REPLICA_ID, 'Ready');
    await until(async () => (await chat()).status === 200, 'it serves with a lease', 20_000);
  }

  async function start(): Promise<void> {
    world.log = '';
    await world.startAgent(LISTEN);
    await until(
      () => portNow(),
      () => `the local endpoint listens: ${world.log}`,
      30_000,
    );
  }

  const portNow = () => /"port":(\d+),"msg":"local endpoint"/.exec(world.log)?.[1];

  async function chat(token = mine.token, body: object = {}): Promise<Response> {
    return fetch(`http://127.0.0.1:${portNow()}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'hi' }], ...body }),
    });
  }

  const statusOf = async (token: string) => (await chat(token)).status;

  /** What was told, each event once. */
  const told = () => {
    const events = new Map(
      world.events.filter(({ kind }) => kind === 'usage-recorded').map((event) => [event.id, event]),
    );
    const entries = [...events.values()].flatMap((event) => event.entries as UsageEntry[]);
    return {
      requests: entries.reduce((sum, { requests }) => sum + requests, 0),
      keys: [...new Set(entries.map(({ keyPublicId }) => keyPublicId))],
      leases: [...new Set(entries.flatMap(({ leaseIds }) => leaseIds))].length,
    };
  };

  it('killed and started again with NATS gone, it serves at once; afterwards every request was told once', async () => {
    await serving();
    let asked = 1;
    await world.killNats();
    for (let round = 0; round < 3; round += 1) {
      const answers = await Promise.all(Array.from({ length: 5 }, () => chat(mine.token, { stream: round === 1 })));
      asked += answers.length;
      expect(answers.map(({ status, headers }) => [status, headers.get('x-atoll-path')])).toEqual(
        answers.map(() => [200, 'local']),
      );
      await Promise.all(answers.map((answer) => answer.text()));
      await world.killAgent('SIGKILL');
      await start();
      await until(async () => (await chat(mine.token)).status === 200, 'its engine is adopted', 20_000);
      asked += 1;
    }
    expect(await statusOf(later.token)).toBe(503);
    expect(await statusOf('garbage')).toBe(401);
    await world.restartNats();
    await until(
      () => told().requests >= asked,
      () => `${asked} requests are told: ${JSON.stringify(told())}`,
      60_000,
    );
    expect(told()).toEqual({ requests: asked, keys: ['mineaaaa'], leases: 1 });
  }, 120_000);

  it('a key that is made later is known at once in contact; a revoked one is 401; forged bundles change nothing', async () => {
    await serving();
    expect(await statusOf(later.token)).toBe(401);
    bundle = { ...bundle, sequence: bundle.sequence + 1, keys: [mine.key, later.key] };
    await until(async () => (await statusOf(later.token)) === 200, 'the new key is known', 20_000);
    const trusted = signer;
    signer = new Signer();
    bundle = { ...bundle, sequence: bundle.sequence + 1, keys: [] };
    await until(async () => (await statusOf(keyOf('unknown1').token)) === 503, 'the forged one is refused', 20_000);
    expect(await statusOf(mine.token)).toBe(200);
    signer = trusted;
    await until(async () => (await statusOf(keyOf('unknown1').token)) === 401, 'the real one is taken', 20_000);
    expect(await statusOf(mine.token)).toBe(401);
  }, 120_000);

  it('a bundle that is flipped on disk falls back to the one before; one of another cluster is not used', async () => {
    await serving();
    bundle = { ...bundle, sequence: bundle.sequence + 1, keys: [mine.key, later.key] };
    await until(async () => (await statusOf(later.token)) === 200, 'a second one is held', 20_000);
    await world.killNats();
    await world.killAgent('SIGKILL');
    const path = join(world.stateFolder, 'state', 'offline-bundle.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('lateraaa', 'laterbbb'));
    await start();
    await until(async () => (await statusOf(mine.token)) === 200, 'it serves by the one before', 20_000);
    expect(await statusOf(later.token)).toBe(503);
    expect(bundle.clusterId).toBe(CLUSTER_ID);
  }, 120_000);
});
