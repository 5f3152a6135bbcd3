// Two versions of one deployment side by side: a client may demand the newer one, and the control plane hears how the
// answers of each went.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type OutcomesMessage, outcomesSchema, SUBJECTS } from '#contracts';
import type { RouteDeployment } from '#domain';
import { type MessagingError, publishJson, subscribeJson } from '#messaging';
import { eventually } from '#testing';
import { answering, failing } from '../bench/gateway/behaviours.ts';
import type { FakeCluster } from '../bench/gateway/fake-cluster.ts';
import { deploymentOf, identityFor, openSession } from '../bench/gateway/installation.ts';
import { type Answer, errorOf, GatewayWorld, TENANT } from './gateway-world.ts';

jest.setTimeout(60_000);

const PATIENCE = { timeoutMs: 30_000 };
const minVersion = (value: string | string[]) => ({ headers: { 'x-atoll-min-version': value } });

/** `one` serves version 1 and `two` version 2 of `tiny`. */
async function routeVersions(world: GatewayWorld, one: FakeCluster, two: FakeCluster): Promise<RouteDeployment> {
  const deployment = deploymentOf('tiny', TENANT, [one.id, two.id], [1, 2]);
  world.centre.change({ clusters: [one.route, two.route], deployments: [deployment] });
  await world.untilRouted();
  return deployment;
}

describe('x-atoll-min-version', () => {
  let world: GatewayWorld;
  let one: FakeCluster;
  let two: FakeCluster;

  beforeAll(async () => {
    world = await GatewayWorld.start();
    const pair = await world.startPair(answering());
    [one, two] = [pair[0]!, pair[1]!];
  }, 60_000);
  beforeEach(async () => {
    one.behave = two.behave = answering();
    await routeVersions(world, one, two);
  });
  afterAll(() => world.stop());

  it('without it both versions answer, and each answer says its number', async () => {
    const seen = new Set<string>();
    await eventually(async () => {
      const { status, headers } = await world.chat();
      expect(status).toBe(200);
      seen.add(`${headers['x-atoll-cluster']} ${headers['x-atoll-version-number']}`);
      expect([...seen].sort()).toEqual(['one 1', 'two 2']);
    }, PATIENCE);
  }, 60_000);

  it('with it only versions that are new enough answer, streams too', async () => {
    const seen: string[] = [];
    for (let sent = 0; sent < 10; sent += 1) {
      const { status, headers } = await world.chat({ stream: sent % 2 === 0 }, minVersion('2'));
      seen.push(`${status} ${headers['x-atoll-version-number']}`);
    }
    expect(new Set(seen)).toEqual(new Set(['200 2']));
  });

  it('a version that nobody serves is 503 and says which one is the newest; the models are listed all the same', async () => {
    const answer = await world.chat({}, minVersion('3'));
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '2']);
    expect(errorOf(answer)).toMatchObject({ code: 'version_not_available', param: 'x-atoll-min-version' });
    expect(errorOf(answer).message).toContain('the newest that serves is version 2');
    expect(errorOf(answer).message).toContain('1 version 1 is below the wanted 3');
    const listed = await world.send('GET', '/v1/models', null, minVersion('3'));
    expect([listed.status, listed.text.includes('"tiny"')]).toEqual([200, true]);
  });

  it.each(['0', '-1', '1.5', 'newest', '', ['1', '2']])('%j is 400 and names the header', async (value) => {
    const answer = await world.chat({}, minVersion(value));
    expect(answer.status).toBe(400);
    expect(errorOf(answer)).toMatchObject({ param: 'x-atoll-min-version', type: 'invalid_request_error' });
    expect(errorOf(answer).message).toContain('x-atoll-min-version');
  });

  it('a failover goes to no older version, and the clusters do not get the header', async () => {
    const sent: unknown[] = [];
    two.behave = (request, response, body) => {
      sent.push(request.headers['x-atoll-min-version']);
      failing(503)(request, response, body);
    };
    const answer = await world.chat({}, minVersion('2'));
    expect([answer.status, answer.headers['x-atoll-cluster'], sent]).toEqual([503, 'two', [undefined]]);
    // Without the header the same failure is answered by the older version.
    await eventually(async () => {
      const { status, headers } = await world.chat();
      expect([status, headers['x-atoll-version-number'], headers['x-atoll-attempts']]).toEqual([200, '1', '2']);
    }, PATIENCE);
  }, 60_000);

  it('routes from before versions were numbered: any wanted version is not available, everything else works', async () => {
    const [deployment] = world.centre.view.deployments;
    const replicas = deployment!.replicas.map(({ versionNumber: _number, ...replica }) => replica);
    world.centre.change({ deployments: [{ ...deployment!, replicas: replicas as never }] });
    await world.untilRouted();
    const plain = await world.chat();
    expect([plain.status, 'x-atoll-version-number' in plain.headers]).toEqual([200, false]);
    expect((await world.chat({}, minVersion('1'))).status).toBe(503);
  });
});

describe('outcomes', () => {
  let world: GatewayWorld;
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    await Promise.all(closing.splice(0).map((close) => close()));
    await world.stop();
  });

  it('the control plane hears how the answers of each version went, over allowed subjects only', async () => {
    world = await GatewayWorld.start();
    const messages = await hearOutcomes(world);
    const [one, two] = (await world.startPair(answering())) as [FakeCluster, FakeCluster];
    const deployment = await routeVersions(world, one, two);
    two.behave = failing(500);
    const answers: Answer[] = [];
    // A failing replica is given less: sent until each version was asked.
    await eventually(async () => {
      answers.push(await world.chat());
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 500]));
    }, PATIENCE);
    const counted = (status: number) => answers.filter((answer) => answer.status === status).length;
    const [older, newer] = deployment.replicas.map(({ versionDigest }) => versionDigest);
    await eventually(() => {
      const { entries = [] } = messages.at(-1) ?? {};
      const [old, fresh] = [older, newer].map((digest) => entries.find((entry) => entry.versionDigest === digest));
      expect(old).toMatchObject({ deploymentId: deployment.id, requests: counted(200), failures: 0 });
      expect(old!.firstByteCounts.reduce((sum, count) => sum + count, 0)).toBe(counted(200));
      expect(fresh).toMatchObject({ deploymentId: deployment.id, requests: counted(500), failures: counted(500) });
      expect(fresh!.firstByteCounts.every((count) => count === 0)).toBe(true);
    }, PATIENCE);
    expect(new Set(messages.map(({ gatewayId }) => gatewayId)).size).toBe(1);
    expect(messages.map(({ sequence }) => sequence)).toEqual(messages.map((_, index) => index + 1));
  }, 60_000);

  it('what was counted while draining is told before NATS is closed', async () => {
    world = await GatewayWorld.start();
    const messages = await hearOutcomes(world);
    await world.startPair(answering());
    const answer = await world.chat();
    await world.gateway.shutdown.run('spec');
    expect(answer.status).toBe(200);
    await eventually(() => {
      const { entries = [] } = messages.at(-1) ?? {};
      expect(entries.map(({ requests }) => requests)).toEqual([1]);
    }, PATIENCE);
  }, 60_000);

  it("S2: a gateway's identity may publish outcomes, and neither hear them nor publish elsewhere", async () => {
    world = await GatewayWorld.start();
    const messages = await hearOutcomes(world);
    const errors: MessagingError[] = [];
    const identity = await identityFor(world.nats.operator, 'gateway', 'g1');
    const session = await openSession(world.nats.url, identity, (error) => errors.push(error));
    const denied = session.connection.subscribe(SUBJECTS.outcomes, { callback: () => undefined });
    await session.connection.flush();
    expect(await denied.closed).toMatchObject({ name: 'PermissionViolationError' });
    const message = { gatewayId: TENANT, sequence: 1, entries: [] };
    publishJson(session.connection, `${SUBJECTS.outcomes}.more`, message);
    publishJson(session.connection, SUBJECTS.outcomes, message);
    await session.connection.flush();
    await eventually(() => expect([messages.length, errors.at(-1)?.failure]).toEqual([1, 'forbidden']));
    await session.close(500);
  }, 60_000);

  /** Parsed as the leader parses them; under a key of its own, beside the centre. */
  async function hearOutcomes({ nats }: GatewayWorld): Promise<OutcomesMessage[]> {
    const messages: OutcomesMessage[] = [];
    const session = await openSession(nats.url, await identityFor(nats.operator, 'control-plane', 'control-plane'));
    subscribeJson(session.connection, `${SUBJECTS.outcomes}.>`, () => void messages.push({} as OutcomesMessage), {
      onError: () => undefined,
    });
    subscribeJson(
      session.connection,
      SUBJECTS.outcomes,
      ({ value }) => void messages.push(outcomesSchema.parse(value)),
      { onError: (error) => messages.push(error as never) },
    );
    await session.connection.flush();
    closing.push(() => session.close(500));
    return messages;
  }
});
