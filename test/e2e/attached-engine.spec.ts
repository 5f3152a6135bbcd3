/** A fleet whose edge has an engine that runs already: deployed to by name, asked through the gateway, gone, and back. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '#testing';
import { PROJECT_ROOT } from '../../deploy/quickstart/instance.ts';
import { MODEL } from '../../deploy/quickstart/story.ts';
import { EDGES, TestFleet } from './test-fleet.fixture.ts';

const SIMULATOR = join(PROJECT_ROOT, '.cache/dist/apps/engine-sim/src/main.js');
const FAST = ['--first-token-ms', '5', '--token-ms', '1', '--context-size', '256'];

async function simulate(port: string): Promise<{ child: ChildProcess; url: string }> {
  const flags = ['--port', port, '--model', 'upstream-name', ...FAST];
  const child = spawn(process.execPath, [SIMULATOR, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface(child.stdout!)) {
    const url = /(http:\S+)\/v1/.exec(line)?.[1];
    if (url !== undefined) return { child, url };
  }
  throw new Error('The simulator said no address.');
}

describe('an engine that runs already', () => {
  let fleet: TestFleet;
  let simulator: Awaited<ReturnType<typeof simulate>>;
  beforeAll(async () => {
    simulator = await simulate('0');
    const engines = { gpu: { kind: 'attach', url: simulator.url, dialect: 'vllm' } };
    fleet = await TestFleet.start({
      adjust: (name, configuration) =>
        EDGES.some((edge) => edge === name)
          ? { ...configuration, engine: { command: [process.execPath, SIMULATOR, ...FAST] }, engines }
          : configuration,
    });
  }, 90_000);
  afterAll(async () => {
    await fleet?.stop();
    simulator?.child.kill('SIGKILL');
  }, 60_000);

  const chat = (body: object = {}) =>
    fleet.openai().chat.completions.create({
      ...{ model: 'attached', messages: [{ role: 'developer', content: 'Hello' }], max_completion_tokens: 12 },
      ...body,
    });
  const phase = async () => {
    const { placements } = await fleet.admin.deployment('attached');
    const observed = (await fleet.admin.clusters()).flatMap((cluster) => cluster.observed?.replicas ?? []);
    const own = observed.find(({ replicaId }) => placements.some(({ id }) => id === replicaId));
    return `${own?.phase}: ${own?.reason}`;
  };

  it('serves a deployment that names it', async () => {
    const selector = { clusterNames: [EDGES[0]] };
    await fleet.admin.createDeployment({
      ...{ name: 'attached', model: MODEL, servedModel: 'attached', version: 1, replicas: 1, engine: 'gpu', selector },
    });
    await eventually(async () => expect(await phase()).toBe('Ready: '), { timeoutMs: 30_000, intervalMs: 100 });
    const answer = await eventually(() => chat(), { timeoutMs: 10_000, intervalMs: 100 });
    expect(answer.choices[0]!.message.content).toMatch(/^upstream-name, version none:/);
    await expect(chat({ messages: [{ role: 'user', content: 'a long question '.repeat(200) }] })).rejects.toMatchObject(
      { status: 400, code: 'context_length_exceeded', type: 'invalid_request_error' },
    );
  }, 60_000);

  it('that goes is told with the reason, and serves again once it is back', async () => {
    const { port } = new URL(simulator.url);
    simulator.child.kill('SIGKILL');
    await once(simulator.child, 'exit');
    await eventually(async () => expect(await phase()).toContain('gpu is not there: nothing listens at'), {
      ...{ timeoutMs: 15_000, intervalMs: 100 },
    });
    await expect(chat()).rejects.toMatchObject({ status: 503 });
    simulator = await simulate(port);
    await eventually(() => chat(), { timeoutMs: 20_000, intervalMs: 100 });
    expect(await phase()).toBe('Ready: ');
  }, 60_000);
});
