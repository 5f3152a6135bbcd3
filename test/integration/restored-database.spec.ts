/**
 * R20: a database restored from a backup, a control plane that leads anew on it, and an agent – the real process – that
 * has gone on since the backup was taken.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { type Answer, callApi, gguf, type Installation, publishVersion, startInstallation } from './admin.fixture.ts';
import { until } from './federation.fixture.ts';

const root = join(import.meta.dirname, '../..');
const NODES = [
  {
    name: 'machine',
    devices: ['cpu-0', 'cpu-1', 'cpu-2'].map((id) => ({ id, deviceType: 'cpu', memoryBytes: 1e9 })),
  },
];

let installation: Installation;
let url: string;
let closeControlPlane: () => Promise<void>;
let agent: ChildProcess;

beforeAll(async () => {
  installation = await startInstallation();
  url = installation.controlPlane.url;
  closeControlPlane = () => installation.controlPlane.close();
}, 60_000);
afterAll(async () => {
  if (agent?.exitCode === null) {
    const ended = new Promise((resolve) => agent.once('exit', resolve));
    agent.kill('SIGTERM');
    await ended;
  }
  await closeControlPlane?.();
  await installation?.stop();
}, 60_000);

async function restartControlPlane(between: () => Promise<void>): Promise<void> {
  await closeControlPlane();
  await between();
  const next = await installation.startAnother();
  url = next.url;
  closeControlPlane = () => next.close();
}

const call = (method: string, path: string, body?: unknown): Promise<Answer> =>
  callApi(url, method, `/api/v1/${path}`, { key: installation.ownerKey, ...(body === undefined ? {} : { body }) });
const get = async (path: string) => (await call('GET', path)).body;

/** With nobody connected to `database`, or whoever is gets cut. */
async function administer(...statements: string[]): Promise<void> {
  const server = new URL(installation.database.url);
  server.pathname = '/postgres';
  const client = new pg.Client({ connectionString: server.href });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

async function query<Row extends pg.QueryResultRow>(statement: string): Promise<Row> {
  const client = new pg.Client({ connectionString: installation.database.url });
  await client.connect();
  try {
    return (await client.query<Row>(statement)).rows[0]!;
  } finally {
    await client.end();
  }
}

async function startAgent(): Promise<void> {
  const folder = join(installation.directory, 'edge');
  await mkdir(folder);
  const made = await call('POST', 'join-tokens', { clusterName: 'edge', kind: 'edge', preApproved: true });
  await writeFile(join(folder, 'token'), made.body.token, { mode: 0o600 });
  const configuration = {
    stateDirectory: join(folder, 'state'),
    controlPlaneUrl: url,
    joinTokenFile: join(folder, 'token'),
    engine: { command: [process.execPath, join(root, 'apps/agent/test/engine-child.mjs')] },
    inventory: { nodes: NODES },
    operational: { port: 0 },
    sync: { headroomBytes: 0 },
  };
  await writeFile(join(folder, 'agent.yaml'), JSON.stringify(configuration));
  const main = join(root, '.cache/dist/apps/agent/src/main.js');
  agent = spawn(process.execPath, [main, '--config', join(folder, 'agent.yaml')], { stdio: 'ignore' });
}

async function deploy(name: string): Promise<void> {
  const { status } = await call('POST', 'deployments', { name, model: 'chat', servedModel: name });
  expect(status).toBe(201);
}

async function serve(name: string): Promise<void> {
  await deploy(name);
  await until(`${name} to serve`, async () => (await get(`deployments/${name}`)).readyReplicas === 1);
}

/** Process ids of ready replicas, by the end of their ids. */
async function engines(): Promise<Record<string, number>> {
  const { observed } = await get('clusters/edge');
  const ready = observed.replicas.filter(({ phase }: { phase: string }) => phase === 'Ready');
  return Object.fromEntries(
    ready.map(({ replicaId, processId }: { replicaId: string; processId: number }) => [replicaId, processId]),
  );
}

describe('a database that is restored from a backup', () => {
  it('R20: does no harm to an agent that is ahead of it, says so, and gets it back in step when it is told to', async () => {
    await call('POST', 'models', { name: 'chat' });
    await publishVersion(installation, 'chat', gguf(300));
    await startAgent();
    await serve('kept');
    const [kept] = Object.entries(await engines());

    const live = new URL(installation.database.url).pathname.slice(1);
    const backup = `${live}_backup`;
    await restartControlPlane(() => administer(`CREATE DATABASE ${backup} TEMPLATE ${live}`));
    await serve('lost');
    const before = await engines();
    const lost = Object.entries(before).find(([id]) => id !== kept![0])!;
    const applied = (await get('clusters/edge/explain')).applied;

    await restartControlPlane(() =>
      administer(
        `DROP DATABASE ${live} WITH (FORCE)`,
        `CREATE DATABASE ${live} TEMPLATE ${backup}`,
        `DROP DATABASE ${backup}`,
      ),
    );
    await until('the lead to be seen', async () => (await get('clusters/edge')).ahead !== null);
    expect((await get('clusters/edge')).ahead).toMatchObject(applied);
    await until('the leader to rise above it', async () => {
      const { epoch } = await query<{ epoch: string }>('SELECT epoch FROM leader');
      return Number(epoch) > applied.epoch;
    });

    // What is asked of the fleet meanwhile goes elsewhere, or waits with the reason.
    await deploy('later');
    const status = async () => (await get('deployments/later')).status;
    await until('the refusal', async () => (await status()).includes('1 ahead of this database'));
    const explained = await get('clusters/edge/explain');
    expect(explained.summary).toMatch(
      /^edge has applied revision \d+ of epoch \d+, the database knows \d+ of epoch \d+: it was restored from a backup/,
    );
    const isListed = async () => (await get('clusters/edge/conflicts')).conflicts[0]?.kind === 'database-restored';
    await until('the conflict', isListed);
    const { epoch, revision } = (await get('clusters/edge/explain')).desired;
    expect({ epoch: epoch < applied.epoch, revision: revision < applied.revision }).toEqual({
      epoch: true,
      revision: true,
    });
    expect(await engines()).toEqual(before);

    const plan = await call('POST', 'clusters/edge/resync?dryRun=true', {});
    expect(plan.body).toMatchObject({
      reported: applied,
      stops: [{ id: lost[0], what: 'a replica of a deployment that this database does not know' }],
      starts: [],
    });
    expect(await engines()).toEqual(before);

    const done = await call('POST', 'clusters/edge/resync', {});
    expect(done).toMatchObject({
      status: 200,
      body: { next: { revision: applied.revision + 1 }, stops: [{ id: lost[0] }] },
    });
    await until('the lost one to end', async () => !(lost[0] in (await engines())));
    await until('what waited to serve', async () => (await get('deployments/later')).readyReplicas === 1);
    expect(await engines()).toMatchObject({ [kept![0]]: kept![1] });
    expect(await get('clusters/edge')).toMatchObject({ ahead: null });
    expect((await get('clusters/edge/conflicts')).conflicts).toMatchObject([
      {
        kind: 'database-restored',
        resolution: expect.stringMatching(/^resynced with revision \d+ of epoch \d+: 1 to stop/),
      },
    ]);
    const again = await call('POST', 'clusters/edge/resync', {});
    expect(again).toMatchObject({ status: 409, body: { detail: expect.stringContaining('nothing to resync') } });
  }, 120_000);
});
