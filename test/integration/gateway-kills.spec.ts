// The built gateway, killed in the middle of charging and started again on its folder, with the control plane's own desk on
// real Postgres behind real NATS. Each request has a key of its own, so that what each of them was charged can be read from
// the database: what was answered once, what was cut off once or not at all, what was refused nothing.
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { v7 } from 'uuid';
import { type GatewayUsage, gatewayUsageSchema, SUBJECTS } from '#contracts';
import { type Budget, budgetTitle, type RouteKey } from '#domain';
import { freePort, type RunningProcess } from '#embedded';
import { type NatsSession, subscribeJson } from '#messaging';
import { migrate, openStore, type PostgresStore } from '#store';
import { createTestDatabase, eventually, propertyRuns, type TestDatabase } from '#testing';
import { GatewayUsageDesk } from '../../apps/control-plane/src/budgets/gateway-usage.ts';
import { Leases } from '../../apps/control-plane/src/budgets/leases.ts';
import { chunkOf } from '../bench/gateway/behaviours.ts';
import type { Behaviour } from '../bench/gateway/fake-cluster.ts';
import { createKey, identityFor, openSession } from '../bench/gateway/installation.ts';
import { insertBudget } from './budgets.fixture.ts';
import { GatewayWorld, TENANT } from './gateway-world.ts';
import { DIGEST, NOW } from './store.fixture.ts';

const { numRuns: ROUNDS, seed: SEED = 1 + Math.floor(Math.random() * 1_000_000) } = propertyRuns(4, 60);
jest.setTimeout(60_000 + ROUNDS * 15_000);

/** Clients at once. */
const LANES = 8;
const REQUESTS_A_ROUND = 160;
const ANSWER_MS_MAX = 15;
const USAGE = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 };

/** What the client saw of a request. */
type Outcome = 'answered' | 'cut off' | 'refused';
/** The moment at which the gateway is killed. */
type Moment = 'an answer has come' | 'what it tells is taken, and nobody said so' | 'it starts';
const MOMENTS: readonly Moment[] = [
  'an answer has come',
  'what it tells is taken, and nobody said so',
  'an answer has come',
  'it starts',
];

let database: TestDatabase;
let store: PostgresStore;
let world: GatewayWorld;
let session: NatsSession;
let budget: Budget;
let port: number;
let gateway: RunningProcess;
let moment: Moment | null = null;
const gatewayIds = new Set<string>();
/** By the key's public id. */
const outcomes = new Map<string, Outcome>();

let state = SEED;
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}

const answering: Behaviour = (_request, response, body) => {
  const { stream } = JSON.parse(body.toString('utf8')) as { stream?: boolean };
  setTimeout(() => {
    if (stream !== true) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ choices: [], usage: USAGE }));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chunkOf('one'));
    response.end(`data: ${JSON.stringify({ choices: [], usage: USAGE })}\n\ndata: [DONE]\n\n`);
  }, random() * ANSWER_MS_MAX);
};

beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url, poolSize: 4 });
  world = await GatewayWorld.start();
  port = await freePort();
  await world.addCluster({ name: 'one', path: 'direct', behave: answering });
  world.route();
  budget = await insertBudget(store, { tenantId: TENANT, limitTokens: 1_000_000_000 });
  session = await openSession(world.nats.url, await identityFor(world.nats.operator, 'control-plane', 'control-plane'));
  const desk = new GatewayUsageDesk(store, new Leases(store, {} as never));
  const answer = async (asked: GatewayUsage, respond: (reply: unknown) => void) => {
    gatewayIds.add(asked.gatewayId);
    const reply = await desk.answer(asked);
    if (moment !== 'what it tells is taken, and nobody said so' || asked.told.length === 0) return respond(reply);
    await gateway.stop('SIGKILL');
  };
  subscribeJson(
    session.connection,
    SUBJECTS.usage,
    ({ value, respond }) => answer(gatewayUsageSchema.parse(value), respond),
    { onError: () => undefined },
  );
  await session.connection.flush();
}, 60_000);
afterAll(async () => {
  await gateway?.stop('SIGKILL');
  await world?.stop();
  await session?.close(500);
  await store?.close();
  await database?.drop();
});

interface Ticket {
  readonly token: string;
  readonly key: RouteKey;
}

/** A key for each request of a round, all of one tenant that has one budget. */
async function issueTickets(count: number, of: Budget = budget): Promise<Ticket[]> {
  const tickets = Array.from({ length: count }, () => createKey({ tenantId: TENANT, budgetIds: [of.id] }));
  await store.transaction(async (rows) => {
    for (const { key } of tickets) {
      const { publicId } = key;
      await rows.apiKeys.insert({
        ...{ id: v7(), tenantId: TENANT, name: publicId, publicId, secretHash: DIGEST, offlineHash: DIGEST },
        ...{ role: 'inference', models: null, expiresAt: null, revokedAt: null, createdAt: NOW },
      });
    }
  });
  const budgets = [{ budgetId: of.id, title: budgetTitle(of) }];
  world.centre.change({ keys: tickets.map(({ key }) => key), budgets });
  return tickets;
}

async function ask({ token }: Ticket): Promise<Outcome> {
  const isStream = random() < 0.5;
  try {
    const { status, text, isWhole } = await world.chat({ max_tokens: 20, stream: isStream }, { token });
    if (status !== 200) return 'refused';
    return isWhole && (!isStream || text.includes('[DONE]')) ? 'answered' : 'cut off';
  } catch {
    return 'cut off';
  }
}

/** Clients ask until the gateway is gone, or the round's keys are used up. */
async function load(tickets: Ticket[], onAnswer: () => void): Promise<void> {
  const lane = async () => {
    for (let ticket = tickets.pop(); ticket !== undefined && gateway.isRunning(); ticket = tickets.pop()) {
      const outcome = await ask(ticket);
      outcomes.set(ticket.key.publicId, outcome);
      if (outcome === 'answered') onAnswer();
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

async function round(kill: Moment): Promise<void> {
  const tickets = await issueTickets(REQUESTS_A_ROUND);
  const fetchesBefore = world.centre.fetches;
  moment = kill;
  gateway = await world.startGatewayProcess(port);
  if (kill === 'it starts') {
    await eventually(() => expect(world.centre.fetches).toBeGreaterThan(fetchesBefore), { intervalMs: 1 });
    return gateway.stop('SIGKILL');
  }
  if (kill === 'an answer has come') await world.untilReachable();
  let toCome = 1 + Math.floor(random() * (REQUESTS_A_ROUND / 2));
  await load(kill === 'an answer has come' ? tickets : [], () => {
    toCome -= 1;
    if (toCome === 0) void gateway.stop('SIGKILL');
  });
  await gateway.exited;
}

/** By the key's public id: how many requests the database has it charged for. */
async function charged(): Promise<Map<string, number>> {
  const rows = await store.read.tokenUsage.since({ tenantId: TENANT, since: '2000-01-01' }, 100_000);
  return new Map(rows.map(({ keyPublicId, requests }) => [keyPublicId, requests]));
}

const BOUNDS: Readonly<Record<Outcome, readonly [number, number]>> = {
  answered: [1, 1],
  'cut off': [0, 1],
  refused: [0, 0],
};

describe('R12: a gateway that is killed while it charges', () => {
  it(`charges what it answered once, and nothing twice, in ${ROUNDS} kills`, async () => {
    for (let count = 0; count < ROUNDS; count += 1) await round(MOMENTS[count % MOMENTS.length]!);
    moment = null;
    const [last] = await issueTickets(1);
    gateway = await world.startGatewayProcess(port);
    await world.untilReachable();
    outcomes.set(last!.key.publicId, await ask(last!));
    await gateway.stop('SIGTERM');

    const requests = await charged();
    const wrong = [...outcomes]
      .map(([publicId, outcome]) => ({ outcome, charged: requests.get(publicId) ?? 0 }))
      .filter(({ outcome, charged: times }) => times < BOUNDS[outcome][0] || times > BOUNDS[outcome][1]);
    expect({ seed: SEED, wrong }).toEqual({ seed: SEED, wrong: [] });
    const answered = [...outcomes.values()].filter((outcome) => outcome === 'answered');
    expect(answered.length).toBeGreaterThanOrEqual(ROUNDS / 2);
    expect(gatewayIds.size).toBe(1);

    const rows = await store.read.tokenUsage.since({ tenantId: TENANT, since: '2000-01-01' }, 100_000);
    const spentTokens = rows.reduce((sum, each) => sum + each.promptTokens + each.completionTokens, 0);
    const [standing] = await store.read.budgets.standings([budget]);
    expect(standing).toMatchObject({ spentTokens, outTokens: 0, overdraftTokens: 0 });
  });

  it('goes on within what is left of its lease when it comes back and nobody else is there', async () => {
    const small = await insertBudget(store, { tenantId: TENANT, limitTokens: 4_000 });
    const [one, two, three, four] = (await issueTickets(4, small)) as [Ticket, Ticket, Ticket, Ticket];
    gateway = await world.startGatewayProcess(port);
    await world.untilReachable();
    const statusOf = async (maxTokens: number, { token }: Ticket) =>
      (await world.chat({ max_tokens: maxTokens }, { token })).status;
    expect(await statusOf(20, one)).toBe(200);
    await gateway.stop('SIGKILL');
    await world.nats.kill();

    gateway = await world.startGatewayProcess(port);
    await eventually(async () => expect(await statusOf(2_000, two)).toBe(200));
    expect(await statusOf(3_980, three)).toBe(429);
    await gateway.stop('SIGKILL');

    await world.nats.restart();
    gateway = await world.startGatewayProcess(port);
    await world.untilReachable();
    expect(await statusOf(20, four)).toBe(200);
    await gateway.stop('SIGTERM');
    const requests = await charged();
    expect([one, two, three, four].map(({ key }) => requests.get(key.publicId) ?? 0)).toEqual([1, 1, 0, 1]);
    expect((await store.read.budgets.standings([small]))[0]).toMatchObject({ outTokens: 0, overdraftTokens: 0 });
  });
});
