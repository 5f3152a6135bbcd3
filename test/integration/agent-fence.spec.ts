// Two real agents with one identity, because the state folder was copied while the first ran; a real control plane.
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfiguration } from '#configuration';
import { createLogger } from '#telemetry';
import { eventually } from '#testing';
import { Agent } from '../../apps/agent/src/agent.ts';
import { agentConfiguration } from '../../apps/agent/src/configuration.ts';
import { ProcessEngine } from '../../apps/agent/src/engines/process-engine.ts';
import { AgentFencedError } from '../../apps/agent/src/errors.ts';
import { silentMetrics } from '../../apps/agent/src/metrics.ts';
import { liftFence } from '../../apps/agent/src/state/fence.ts';
import { type Installation, startInstallation } from './admin.fixture.ts';
import { buildAgent } from './agent-world.ts';

const dist = resolve(import.meta.dirname, '../../.cache/dist');

let installation: Installation;
let folder: string;
let joinToken: string;
const running = new Set<Agent>();

beforeAll(async () => {
  await buildAgent();
  folder = await mkdtemp(join(tmpdir(), 'atoll-fence-'));
  installation = await startInstallation();
  const body = { clusterName: 'edge-1', kind: 'edge', preApproved: true };
  const { token } = (await installation.call('POST', '/api/v1/join-tokens', { body })).body;
  joinToken = join(folder, 'join-token');
  await writeFile(joinToken, token, { mode: 0o600 });
}, 120_000);

afterAll(async () => {
  for (const agent of running) await agent.stop(false);
  await installation?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}, 60_000);

interface Started {
  readonly agent: Agent;
  readonly fenced: AgentFencedError[];
  readonly said: string[];
}

async function start(name: string): Promise<Started> {
  const [fenced, said]: [AgentFencedError[], string[]] = [[], []];
  const log = createLogger({ process: 'agent', level: 'info', destination: { write: (line) => void said.push(line) } });
  const configuration = loadConfiguration(agentConfiguration, {
    argv: [],
    env: {
      ATOLL_STATE_DIRECTORY: join(folder, name),
      ATOLL_CONTROL_PLANE_URL: installation.controlPlane.url,
      ATOLL_JOIN_TOKEN_FILE: joinToken,
      ATOLL_OPERATIONAL_PORT: '0',
    },
  });
  const agent = new Agent({
    configuration,
    engine: (stateFolder) =>
      new ProcessEngine({ stateFolder, command: ['none'], environment: {}, log, metrics: silentMetrics }),
    environment: {},
    log,
    metrics: silentMetrics,
    onRemoved: () => undefined,
    onFenced: (error) => void fenced.push(error),
    heartbeatUrl: pathToFileURL(join(dist, 'apps/agent/src/heartbeat/heartbeat.worker.js')),
  });
  running.add(agent);
  await agent.start().catch(async (cause: unknown) => {
    await agent.stop();
    running.delete(agent);
    throw cause;
  });
  await eventually(() => expect(agent.status().details?.isConnected).toBe(true));
  return { agent, fenced, said };
}

describe('two agents with the same identity', () => {
  it('the older is fenced and says so, the newer says so and goes on; a restart is not fenced, a fenced one stays away', async () => {
    const first = await start('first');
    // What is being written has its name in a moment.
    const isPassing = (path: string) => path.includes('agent.lock') || path.endsWith('.tmp');
    await cp(join(folder, 'first'), join(folder, 'second'), { recursive: true, filter: (path) => !isPassing(path) });
    const second = await start('second');
    await eventually(() => expect(first.fenced).toHaveLength(1), { timeoutMs: 60_000 });
    expect(first.fenced[0]).toBeInstanceOf(AgentFencedError);
    expect(first.fenced[0]!.message).toContain(`boot ${second.agent.bootId}`);
    expect(first.agent.status().details?.isConnected).toBe(false);
    expect(second.agent.status().details?.rivals).toEqual([first.agent.bootId]);
    expect(second.said.join()).toContain('an older agent with the same identity still reports');
    await first.agent.stop(false);
    running.delete(first.agent);
    await expect(start('first')).rejects.toThrow(/To let this one go on, stop the other and remove/);

    await second.agent.stop(true);
    running.delete(second.agent);
    const again = await start('second');
    await eventually(() => expect(again.agent.status().details?.rivals).toEqual([]), { timeoutMs: 60_000 });
    expect([second.fenced, again.fenced]).toEqual([[], []]);
    expect(again.agent.status().details?.isConnected).toBe(true);

    await again.agent.stop(true);
    running.delete(again.agent);
    await liftFence(join(folder, 'first'));
    expect((await start('first')).fenced).toEqual([]);
  }, 120_000);
});
