// An edge that is cut off for a day: the real agent, its real engine, a real control plane, Postgres and NATS. The day is
// virtual: the clocks by which offline permissions and leases are counted are set forward, hour by hour.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfiguration } from '#configuration';
import { freePort } from '#embedded';
import { createLogger } from '#telemetry';
import { eventually } from '#testing';
import { Agent } from '../../apps/agent/src/agent.ts';
import { agentConfiguration } from '../../apps/agent/src/configuration.ts';
import { ProcessEngine } from '../../apps/agent/src/engines/process-engine.ts';
import { silentMetrics } from '../../apps/agent/src/metrics.ts';
import type { OfflineClock } from '../../apps/agent/src/offline/offline-clock.ts';
import { type Answer, type Installation, startInstallation, upload } from './admin.fixture.ts';
import { buildAgent } from './agent-world.ts';

const root = resolve(import.meta.dirname, '../..');
const dist = join(root, '.cache/dist');
/** Of the engine: it finds its packages beside the built code. */
const ENVIRONMENT = {};
const MODEL = 'tiny-llm';
const HOUR_MS = 3_600_000;
const HOURS = 24;
/** Hours at which the agent is started anew, without the centre. */
const RESTARTS = [5, 13, 20];
const TOKENS_A_CHAT = 12;
const BUDGET_TOKENS = 100_000;

/** Real time, and what the spec adds to it. */
class VirtualClock implements OfflineClock {
  private addedMs = 0;
  advance(ms: number): void {
    this.addedMs += ms;
  }
  elapsedMs = () => performance.now() + this.addedMs;
  wallMs = () => Date.now() + this.addedMs;
}

let installation: Installation;
let folder: string;
let agent: Agent;
let port: number;
let key: string;
let joinToken: string;
const clock = new VirtualClock();
const log: string[] = [];
let restored: { close(): Promise<unknown> } | undefined;

const ask = async (path: string, body?: unknown): Promise<Answer['body']> => {
  const answer = await installation.call(body === undefined ? 'GET' : 'POST', `/api/v1${path}`, { body });
  if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
};

async function startAgent(): Promise<Agent> {
  const configuration = loadConfiguration(agentConfiguration, {
    argv: [],
    env: {
      ATOLL_STATE_DIRECTORY: join(folder, 'state'),
      ATOLL_CONTROL_PLANE_URL: installation.controlPlane.url,
      ATOLL_JOIN_TOKEN_FILE: joinToken,
      ATOLL_LOCAL_ENDPOINT_LISTEN_HOST: '127.0.0.1',
      ATOLL_LOCAL_ENDPOINT_LISTEN_PORT: String(port),
      ATOLL_ENGINE_CONTEXT_SIZE: '128',
      ATOLL_OPERATIONAL_PORT: '0',
    },
  });
  const logger = createLogger({
    process: 'agent',
    level: 'info',
    destination: { write: (line) => void log.push(line) },
  });
  const started = new Agent({
    configuration,
    engine: (stateFolder) =>
      new ProcessEngine({
        stateFolder,
        command: [process.execPath, join(dist, 'apps/engine/src/main.js')],
        environment: ENVIRONMENT,
        log: logger,
        metrics: silentMetrics,
      }),
    environment: ENVIRONMENT,
    log: logger,
    metrics: silentMetrics,
    onRemoved: (error) => log.push(error.message),
    heartbeatUrl: pathToFileURL(join(dist, 'apps/agent/src/heartbeat/heartbeat.worker.js')),
    clock,
  });
  await started.start();
  return started;
}

async function chat(bearer = key): Promise<{ status: number; tokens: number; headers: Headers; body: Answer['body'] }> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: MODEL,
      messages: [{ role: 'user', content: 'Good morning!' }],
      max_tokens: TOKENS_A_CHAT,
    }),
  });
  const body = (await response.json()) as Answer['body'];
  return { status: response.status, tokens: body.usage?.total_tokens ?? 0, headers: response.headers, body };
}

const engines = () => agent.status().details?.engines;
const leftTokens = () => agent.status().details?.offline?.leases.reduce((sum, { leftTokens: left }) => sum + left, 0);

async function enginePid(): Promise<number> {
  const [cluster] = (await ask('/clusters')).items;
  return cluster.observed.replicas[0].processId;
}

beforeAll(async () => {
  await buildAgent();
  folder = await mkdtemp(join(tmpdir(), 'atoll-edge-'));
  port = await freePort();
  installation = await startInstallation();
  await ask('/models', { name: MODEL });
  const content = await readFile(join(root, 'test/fixtures/models/tiny-llm/v1/model.gguf'));
  const files = [{ path: 'model.gguf', sizeBytes: content.length }];
  const { number } = await ask(`/models/${MODEL}/versions`, { files });
  await upload(installation, MODEL, number, 'model.gguf', content);
  await ask(`/models/${MODEL}/versions/${number}/publish`, {});
  const { token } = await ask('/join-tokens', { clusterName: 'edge-1', kind: 'edge', preApproved: true });
  joinToken = join(folder, 'join-token');
  await writeFile(joinToken, token, { mode: 0o600 });
  ({ key } = await ask('/api-keys', { name: 'shop', role: 'inference' }));
  await ask('/budgets', { name: 'all', tokens: BUDGET_TOKENS, period: 'total' });
  agent = await startAgent();
  await ask('/deployments', { name: MODEL, model: MODEL, version: number, replicas: 1 });
  await eventually(
    async () => {
      expect(engines()?.Ready).toBe(1);
      expect(agent.status().details?.offline?.permission).toBe('valid');
      expect(leftTokens()).toBeGreaterThan(2_000);
      expect((await chat()).status).toBe(200);
    },
    { timeoutMs: 60_000, intervalMs: 200 },
  );
}, 180_000);

afterAll(async () => {
  await agent?.stop(false);
  await restored?.close();
  await installation?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}, 60_000);

describe('R4: an edge that is cut off for a day, with restarts in between', () => {
  let spentTokens = 0;
  let pid: number;

  const count = async () => {
    const answer = await chat();
    spentTokens += answer.tokens;
    return answer;
  };

  it('serves each hour, from one engine, and charges it', async () => {
    const budget = async () => (await ask('/budgets/all')).spentTokens as number;
    // What the preparations spent is told before the cut, so that the rest can be counted from here.
    spentTokens = await eventually(async () => {
      const spent = await budget();
      expect(spent).toBeGreaterThan(0);
      return spent;
    });
    pid = await enginePid();
    await installation.controlPlane.close();
    await installation.server.kill();
    await eventually(() => expect(agent.status().details?.isConnected).toBe(false));
    const answers: string[] = [];
    for (let hour = 1; hour <= HOURS; hour += 1) {
      clock.advance(HOUR_MS);
      if (RESTARTS.includes(hour)) {
        await agent.stop(true);
        agent = await startAgent();
        await eventually(() => expect(engines()?.Ready).toBe(1), { timeoutMs: 20_000 });
      }
      const { status, headers, body } = await count();
      answers.push(`${status} ${headers.get('x-atoll-path')} ${body.usage?.completion_tokens > 0}`);
    }
    expect(answers).toEqual(Array.from({ length: HOURS }, () => '200 local true'));
    expect(log.filter((line) => line.includes('engine adopted'))).toHaveLength(RESTARTS.length);
    expect(process.kill(pid, 0)).toBe(true);
  }, 120_000);

  it('refuses a key that it cannot check, and says since when the centre was not seen', async () => {
    const { status, body } = await chat(`atoll_${'0'.repeat(16)}_${'x'.repeat(43)}`);
    expect([status, body.error.message]).toEqual([503, expect.stringMatching(/centre was last seen \d{4}-/)]);
  });

  it('R5: healed, its engine has the same process, and the budget is exact', async () => {
    await installation.server.restart();
    restored = await installation.startAnother();
    await eventually(() => expect(agent.status().details?.isConnected).toBe(true), { timeoutMs: 30_000 });
    await eventually(
      async () => {
        const url = (restored as unknown as { url: string }).url;
        const response = await fetch(`${url}/api/v1/budgets/all`, {
          headers: { authorization: `Bearer ${installation.ownerKey}` },
        });
        const { spentTokens: spent } = (await response.json()) as { spentTokens: number };
        expect(spent).toBe(spentTokens);
      },
      { timeoutMs: 60_000, intervalMs: 500 },
    );
    expect(log.filter((line) => line.includes('engine starts'))).toHaveLength(1);
    expect(process.kill(pid, 0)).toBe(true);
  }, 120_000);

  it('does not serve for ever: a permission that ended is refused, and comes back with the centre', async () => {
    await installation.server.kill();
    await eventually(() => expect(agent.status().details?.isConnected).toBe(false));
    clock.advance(8 * 24 * HOUR_MS);
    const { status, body } = await chat();
    expect([status, body.error.message]).toEqual([
      503,
      expect.stringMatching(/offline permission ended \d+ [hd] ago; the centre was last seen/),
    ]);
    await installation.server.restart();
    await eventually(async () => expect((await chat()).status).toBe(200), { timeoutMs: 30_000, intervalMs: 200 });
  }, 60_000);
});
