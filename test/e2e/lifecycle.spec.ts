/** An installation's life, as its operator leads it: who gets in, what runs where, which version, and who leaves. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect, jwtAuthenticator } from '@nats-io/transport-node';
import { parse } from 'yaml';
import { eventually, startStopwatch } from '#testing';
import { PROJECT_ROOT } from '../../deploy/quickstart/instance.ts';
import { MODEL, publishFolder } from '../../deploy/quickstart/story.ts';
import { Chats } from './chats.fixture.ts';
import { expireTokens, tryJoin } from './joining.fixture.ts';
import { isRunning } from './processes.fixture.ts';
import { foundInLogs, secretsUnder } from './secrets.fixture.ts';
import { EDGES, MODELS, TestFleet } from './test-fleet.fixture.ts';

const [SHANGHAI, FRANKFURT] = EDGES;
/** What nobody else would say. */
const PROMPT = 'Quokkas juggle seventeen marmalade zeppelins';
const secrets = new Map<string, string>([['marmalade zeppelins', 'a prompt']]);

describe('an installation', () => {
  let fleet: TestFleet;
  beforeAll(async () => {
    fleet = await TestFleet.start();
  }, 90_000);
  afterAll(() => fleet?.stop(), 60_000);

  it('S1: every route of the OpenAPI document is 401 without a key; agents prove a key of their own', async () => {
    const ownerKey = (await readFile(fleet.processes.ownerKeyFile, 'utf8')).trim();
    const document = (await (
      await fetch(`${fleet.processes.controlPlaneUrl}/api/openapi.json`, {
        headers: { authorization: `Bearer ${ownerKey}` },
      })
    ).json()) as { paths: Record<string, Record<string, unknown>> };
    const routes = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => ({ method: method.toUpperCase(), path })),
    );
    expect(routes.length).toBeGreaterThan(25);
    const answers = await Promise.all(
      routes.map(async ({ method, path }) => {
        const url = `${fleet.processes.controlPlaneUrl}${path.replaceAll(/\{[^}]+\}/g, 'x1')}`;
        const body = method === 'POST' || method === 'PUT' || method === 'PATCH' ? '{}' : undefined;
        const { status } = await fetch(url, { method, body, headers: { 'content-type': 'application/json' } });
        return `${method} ${path} ${status}`;
      }),
    );
    expect(answers.filter((answer) => !answer.endsWith(' 401')).sort()).toEqual([
      'GET /api/v1/agent/challenge 200',
      'GET /healthz 200',
      'GET /readyz 200',
      'POST /api/v1/agent/credentials 422',
      'POST /api/v1/agent/join 422',
    ]);
  }, 20_000);

  it('S1: paths that do not exist, and metrics, are 401 on every listener; health probes are open', async () => {
    const listeners = await listenersOf(fleet);
    expect(Object.keys(listeners).sort()).toEqual(['agent', 'control-plane', 'engine', 'gateway']);
    const paths = ['/', '/metrics', '/no/such/path', '/api/v1/nothing', '/v1/models', '/v1/chat/completions', '/link'];
    for (const [name, url] of Object.entries(listeners)) {
      const statuses = await Promise.all(
        paths.flatMap((path) =>
          ['GET', 'POST', 'DELETE'].map(async (method) => {
            const { status } = await fetch(`${url}${path}`, { method });
            return `${method} ${path} ${status}`;
          }),
        ),
      );
      expect({ name, open: statuses.filter((answer) => !answer.endsWith(' 401')) }).toEqual({ name, open: [] });
      expect((await fetch(`${url}/healthz`)).status).toBe(200);
    }
  }, 20_000);

  it('U5: an unknown model and a wrong key are said as OpenAI says them', async () => {
    const body = { model: 'nobody', messages: [{ role: 'user' as const, content: PROMPT }] };
    await expect(fleet.openai().chat.completions.create(body)).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
      message: expect.stringContaining(MODEL),
    });
    await expect(fleet.chat(PROMPT, { key: 'sk-nonsense' })).rejects.toMatchObject({ status: 401 });
    expect((await fleet.openai().models.list()).data.map(({ id }) => id)).toEqual([MODEL]);
  }, 20_000);

  it('U5: a key with a budget is charged to it, and one whose budget is spent is told so as OpenAI says it', async () => {
    const ownerKey = (await readFile(fleet.processes.ownerKeyFile, 'utf8')).trim();
    const headers = { authorization: `Bearer ${ownerKey}`, 'content-type': 'application/json' };
    const url = `${fleet.processes.controlPlaneUrl}/api/v1/budgets`;
    const keyWith = async (name: string, tokens: number) => {
      const made = await fleet.admin.createApiKey({ name });
      secrets.set(made.key.split('_').slice(2).join('_'), `the key ${name}`);
      const body = JSON.stringify({ name, tokens, period: 'total', key: made.publicId });
      expect((await fetch(url, { method: 'POST', headers, body })).status).toBe(201);
      return made.key;
    };
    // Routes are whole: a gateway that knows of the later budget knows of the earlier one.
    const [rich, poor] = [await keyWith('rich', 50_000), await keyWith('poor', 0)];
    await eventually(() =>
      expect(fleet.chat(PROMPT, { key: poor })).rejects.toMatchObject({ status: 429, code: 'insufficient_quota' }),
    );
    await fleet.chat(PROMPT, { key: rich });
    const budget = await (await fetch(`${url}/rich`, { headers })).json();
    expect(budget).toMatchObject({ leases: [{ holder: { kind: 'gateway' } }] });
  }, 20_000);

  it('scales in and out again; what stays keeps its engine', async () => {
    await fleet.admin.updateDeployment(MODEL, { replicas: 1 });
    const one = await fleet.settled(1);
    const kept = one.placements[0]!.cluster;
    const engine = await fleet.enginePid(kept);
    const other = EDGES.find((name) => name !== kept)!;
    await eventually(async () => expect(await fleet.enginePids(other)).toEqual([]));
    await fleet.admin.updateDeployment(MODEL, { replicas: 2 });
    const two = await fleet.settled(2);
    expect(new Set(two.placements.map(({ cluster }) => cluster))).toEqual(new Set(EDGES));
    expect(await fleet.enginePid(kept)).toBe(engine);
  }, 60_000);

  it('U2: what an engine wrote can be read from afar, and an agent that is well is found well on its machine', async () => {
    const [placement] = (await fleet.deployment()).placements;
    let log = '';
    for await (const piece of fleet.admin.replicaLog(MODEL, placement!.id)) log += piece;
    expect(log).toContain('ready');
    const doctor = join(PROJECT_ROOT, '.cache/dist/apps/agent/src/doctor/main.js');
    const file = fleet.instance.path('configuration', `${placement!.cluster}.yaml`);
    const { stdout } = await promisify(execFile)(process.execPath, [doctor, '--config', file, '--json']);
    const { findings } = JSON.parse(stdout) as { findings: { check: string; verdict: string; says: string }[] };
    expect(findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([]);
    expect(findings.length).toBeGreaterThan(10);
  }, 30_000);

  it('R7: a new version replaces the old one with no failed chat, never with fewer that serve; the text is another', async () => {
    const before = await fleet.chat(PROMPT, { tokensMax: 30 });
    const next = await publishFolder(fleet.admin, join(MODELS, 'v2'), 'the King James Bible', () => undefined);
    const old = await Promise.all(EDGES.map((name) => fleet.enginePid(name)));
    let readyMin = Number.POSITIVE_INFINITY;
    const chats = await Chats.during(fleet, async (running) => {
      await fleet.admin.updateDeployment(MODEL, { version: next.number });
      await eventually(
        async () => {
          const clusters = await fleet.admin.clusters();
          const replicas = clusters.flatMap((cluster) => cluster.observed?.replicas ?? []);
          readyMin = Math.min(readyMin, replicas.filter(({ phase }) => phase === 'Ready').length);
          expect(replicas.map(({ versionDigest }) => versionDigest)).toEqual([next.digest, next.digest]);
        },
        { timeoutMs: 60_000 },
      );
      const doneAtMs = performance.now();
      await eventually(() => expect(running.since(doneAtMs).answers.length).toBeGreaterThan(10));
    });
    expect(chats.failures).toEqual([]);
    expect(readyMin).toBeGreaterThanOrEqual(2);
    const digests = new Set(chats.answers.map(({ versionDigest }) => versionDigest));
    expect(digests).toEqual(new Set([fleet.version.digest, next.digest]));
    const after = await fleet.chat(PROMPT, { tokensMax: 30 });
    expect(after.versionDigest).toBe(next.digest);
    expect(after.text).not.toBe(before.text);
    await fleet.settled(2);
    await eventually(() => expect(old.filter(isRunning)).toEqual([]));
  }, 90_000);

  it('U2, U4: nothing new goes to a cordoned cluster, which the plan says; what runs there keeps running', async () => {
    const engine = await fleet.enginePid(SHANGHAI);
    await fleet.admin.updateCluster(SHANGHAI, { cordoned: true });
    const plan = await fleet.admin.planUpdate(MODEL, { replicas: 3 });
    expect(plan.candidates.find(({ cluster }) => cluster === SHANGHAI)?.rejectedBecause).toMatch(/cordoned/);
    expect(plan.assign.map(({ cluster }) => cluster)).not.toContain(SHANGHAI);
    expect((await fleet.settled(2)).replicas).toBe(2);
    expect(await fleet.enginePid(SHANGHAI)).toBe(engine);
    await fleet.answers(SHANGHAI);
    await fleet.admin.updateCluster(SHANGHAI, { cordoned: false });
  }, 60_000);

  it('a deployment that is deleted leaves no engine, and its model is no longer served', async () => {
    const engines = await Promise.all(EDGES.map((name) => fleet.enginePid(name)));
    await fleet.admin.removeDeployment(MODEL);
    await eventually(() => expect(engines.filter(isRunning)).toEqual([]), { timeoutMs: 30_000 });
    await eventually(() => expect(fleet.chat(PROMPT)).rejects.toMatchObject({ status: 404 }), { timeoutMs: 10_000 });
    await eventually(async () => expect(await fleet.admin.deployments()).toEqual([]), { timeoutMs: 30_000 });
  }, 90_000);

  it('S2: used, expired, foreign and broken join tokens, and a taken name, are refused with the reason', async () => {
    const token = async (clusterName: string) => {
      const made = await fleet.admin.createJoinToken({ clusterName, kind: 'edge', preApproved: true });
      secrets.set(made.token.split('_').slice(2).join('_'), `the join token of ${clusterName}`);
      return made.token;
    };
    const used = (await readFile(fleet.instance.path('secrets', `join-${FRANKFURT}`), 'utf8')).trim();
    const expired = await token('late');
    await expireTokens(fleet, 'late');
    const foreign = `atolljoin_${'a1b2c3d4e5f6'}_${'Zx9'.repeat(14)}`;
    const cases = [
      { name: 'used', token: used, want: /already used/ },
      { name: 'expired', token: expired, want: /expired at/ },
      { name: 'foreign', token: foreign, want: /not one of this installation/ },
      { name: 'garbage', token: 'open sesame', want: /not one of this installation|join token/i },
      { name: 'taken', token: await token(FRANKFURT).catch(() => ''), want: /belongs to a cluster with another key/ },
    ];
    const before = await fleet.admin.clusters();
    const attempts = await Promise.all(
      cases.map(async (one) => ({ ...one, attempt: await tryJoin(fleet, one.name, one.token) })),
    );
    for (const { name, token: given, want, attempt } of attempts) {
      expect({ name, ...attempt }).toMatchObject({ name, code: 2, log: expect.stringMatching(want) });
      expect(attempt.log).not.toContain(given);
    }
    expect((await fleet.admin.clusters()).map(({ id }) => id).sort()).toEqual(before.map(({ id }) => id).sort());
  }, 60_000);

  it('S2: a removed cluster loses its NATS connection within 1 s and its agent ends, saying why; others take over', async () => {
    const request = { name: MODEL, model: MODEL, replicas: 2, selector: {} };
    await fleet.admin.createDeployment({ ...request, selector: { clusterNames: [...EDGES] } });
    await fleet.settled(2);
    await fleet.admin.updateDeployment(MODEL, { selector: {} });
    const engines = await fleet.enginePids(SHANGHAI);
    expect(engines.length).toBeGreaterThan(0);
    const asAgent = await connectAs(fleet, SHANGHAI);
    const agent = fleet.processes.processOf(SHANGHAI)!;
    await eventually(() => fleet.chat());
    const chats = await Chats.during(fleet, async () => {
      await fleet.admin.removeCluster(SHANGHAI);
      const passedMs = startStopwatch();
      await asAgent.closed();
      expect(passedMs()).toBeLessThan(1_000);
      expect((await agent.exited).code).toBe(3);
      await fleet.settled(2, 40_000);
    });
    expect(agent.logTail()).toMatch(/was removed from the fleet: engines stop and this agent ends/);
    expect(engines.filter(isRunning)).toEqual([]);
    await expect(connectAs(fleet, SHANGHAI)).rejects.toThrow(/authoriz|revoked/i);
    expect(chats.failures).toEqual([]);
    expect((await fleet.deployment()).placements.map(({ cluster }) => cluster)).not.toContain(SHANGHAI);
  }, 90_000);

  it('S8: prompts, keys and tokens are in no log of any process and in no metric', async () => {
    await fleet.chat(PROMPT);
    for (const [secret, file] of await secretsUnder(fleet.instance.path('secrets'))) {
      // User JWTs hold public keys, which logs may name.
      if (file !== 'gateway.jwt') secrets.set(secret, file);
    }
    const publicIds = /^(atoll|atolljoin)_([A-Za-z0-9]+)_(.+)$/;
    for (const [secret, file] of [...secrets]) {
      const parts = publicIds.exec(secret);
      if (parts !== null) secrets.set(parts[3]!, `${file}, its secret part`);
    }
    for (const name of [FRANKFURT, SHANGHAI]) {
      secrets.set(
        (await readFile(fleet.instance.path('agents', name, 'identity.nk'), 'utf8')).trim(),
        `${name}'s seed`,
      );
    }
    secrets.delete('');
    // Public keys are among the operator's strings; they are no secrets.
    for (const secret of [...secrets.keys()]) if (/^[ACOU][A-Z2-7]{55}$/.test(secret)) secrets.delete(secret);
    expect(secrets.size).toBeGreaterThan(10);
    expect(await foundInLogs(fleet.instance.directory, secrets)).toEqual([]);
    const ownerKey = (await readFile(fleet.processes.ownerKeyFile, 'utf8')).trim();
    const authorization = `Bearer ${ownerKey}`;
    for (const url of [fleet.processes.gatewayUrl, fleet.processes.controlPlaneUrl]) {
      const response = await fetch(`${url}/metrics`, { headers: { authorization } });
      const metrics = await response.text();
      expect({ url, status: response.status }).toEqual({ url, status: 200 });
      expect([...secrets].filter(([secret]) => metrics.includes(secret)).map(([, name]) => name)).toEqual([]);
    }
  }, 30_000);

  it('S10: two installations share no secret', async () => {
    const bootstrap = join(PROJECT_ROOT, '.cache/dist/apps/control-plane/src/bootstrap.js');
    const folders = ['first', 'second'].map((name) => fleet.instance.path('installations', name));
    await Promise.all(
      folders.map((folder) => promisify(execFile)(process.execPath, [bootstrap, '--directory', folder])),
    );
    const [first, second] = await Promise.all(folders.map((folder) => secretsUnder(folder)));
    expect(first!.size).toBeGreaterThan(5);
    expect([...first!].filter(([secret]) => second!.has(secret)).map(([, file]) => file)).toEqual([]);
  }, 30_000);
});

async function listenersOf(fleet: TestFleet): Promise<Record<string, string>> {
  const agentFile = fleet.instance.path('configuration', `${SHANGHAI}.yaml`);
  const agent = parse(await readFile(agentFile, 'utf8')) as { operational: { port: number } };
  const engines = fleet.instance.path('agents', SHANGHAI, 'engines');
  const [engine] = await readdir(engines);
  const ready = JSON.parse(await readFile(join(engines, engine!, 'ready.json'), 'utf8')) as { port: number };
  return {
    'control-plane': fleet.processes.controlPlaneUrl,
    gateway: fleet.processes.gatewayUrl,
    agent: `http://127.0.0.1:${agent.operational.port}`,
    engine: `http://127.0.0.1:${ready.port}`,
  };
}

/** A connection with a cluster's own credentials, as somebody who stole them would make it. */
async function connectAs(fleet: TestFleet, cluster: string) {
  const text = await readFile(fleet.instance.path('agents', cluster, 'state', 'credentials.json'), 'utf8');
  const { jwt, natsServers } = JSON.parse(text.slice(text.indexOf('\n'))) as { jwt: string; natsServers: string[] };
  const seed = (await readFile(fleet.instance.path('agents', cluster, 'identity.nk'), 'utf8')).trim();
  return connect({
    servers: natsServers,
    authenticator: jwtAuthenticator(jwt, new TextEncoder().encode(seed)),
    reconnect: false,
    timeout: 5_000,
  });
}
