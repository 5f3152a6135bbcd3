/**
 * Many agents come back at once (R5): a real control plane, Postgres and NATS, and agents of production code, all cut off
 * for a while and healed together. How long until each knows again that what it has is what is wanted, and how many bytes
 * that took, against what the whole documents take.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { AdminClient } from '#contracts';
import { QuickstartFleet } from '../../../deploy/quickstart/fleet.ts';
import { Instance } from '../../../deploy/quickstart/instance.ts';
import { MODEL, ownerClient, publishModel } from '../../../deploy/quickstart/story.ts';
import type { BenchRow } from '../main.ts';
import { CountingProxy } from './counting-proxy.ts';
import { LightAgent } from './light-agent.ts';

const AGENTS = 1_000;
const REPLICAS_EACH = 8;
const AWAY_MS = 20_000;
const CONVERGED_MS_MAX = 60_000;
const BYTES_PERCENT_MAX = 5;
const JOINS_AT_ONCE = 8;
const WAIT_MS_MAX = 300_000;

/** Options: `--agents N` (default 1,000), `--replicas N` of one deployment, spread over all (default: eight an agent). */
export async function benchReconnect(options: readonly string[]): Promise<readonly BenchRow[]> {
  const { values } = parseArgs({
    args: options.filter((option) => option !== '--json'),
    options: { agents: { type: 'string' }, replicas: { type: 'string' } },
  });
  const count = Number(values.agents ?? AGENTS);
  const replicas = Number(values.replicas ?? count * REPLICAS_EACH);
  const instance = await Instance.at(await mkdtemp(join(tmpdir(), 'atoll-bench-')));
  const fleet = new QuickstartFleet(instance, {});
  const agents: LightAgent[] = [];
  let proxy: CountingProxy | undefined;
  try {
    await fleet.startPostgres({ mayBeGiven: false });
    await fleet.bootstrap();
    await fleet.startNats();
    await fleet.migrate();
    await fleet.startControlPlane();
    const admin = await ownerClient(fleet.controlPlaneUrl, fleet.ownerKeyFile);
    proxy = await CountingProxy.open({ host: '127.0.0.1', port: Number(new URL(fleet.natsAddress).port) });
    await joinAll(agents, count, admin, fleet.controlPlaneUrl, proxy.port);
    await settle(agents, admin, replicas);
    return await measure(agents, proxy);
  } finally {
    await Promise.all(agents.map((agent) => agent.stop()));
    await proxy?.close();
    await fleet.stop();
    await rm(instance.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function joinAll(
  agents: LightAgent[],
  count: number,
  admin: AdminClient,
  controlPlaneUrl: string,
  proxyPort: number,
): Promise<void> {
  let next = 0;
  const joinOn = async () => {
    while (next < count) {
      next += 1;
      const clusterName = `edge-${next}`;
      const { token } = await admin.createJoinToken({ clusterName, kind: 'edge', preApproved: true });
      const agent = await patiently(() => LightAgent.join(controlPlaneUrl, token, `nats://127.0.0.1:${proxyPort}`));
      agents.push(agent);
      agent.start();
    }
  };
  await Promise.all(Array.from({ length: JOINS_AT_ONCE }, joinOn));
}

/** The control plane lets one address try only so often: all agents of a bench have the same. */
async function patiently<Result>(join: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await join();
    } catch (cause) {
      if ((cause as { status?: unknown }).status !== 429) throw cause;
      await delay(1_000);
    }
  }
}

/** A deployment with so many replicas, until every one of them stands in somebody's document. */
async function settle(agents: readonly LightAgent[], admin: AdminClient, replicas: number): Promise<void> {
  const { number: version } = await publishModel(admin, () => undefined);
  await until(async () => (await admin.clusters()).filter(({ observed }) => observed !== null).length >= agents.length);
  await admin.createDeployment({ name: MODEL, model: MODEL, version, replicas });
  const held = () => agents.reduce((sum, agent) => sum + (agent.state?.replicas.length ?? 0), 0);
  await until(() => Promise.resolve(held() >= replicas));
}

async function measure(agents: readonly LightAgent[], proxy: CountingProxy): Promise<BenchRow[]> {
  const wholeBytes = agents.reduce((sum, { state }) => sum + JSON.stringify(state).length, 0);
  for (const agent of agents) agent.fetchedBytes = 0;
  proxy.cut();
  await delay(AWAY_MS);
  const healedAtMs = performance.now();
  proxy.heal();
  await until(() => Promise.resolve(agents.every(({ knownAtMs }) => knownAtMs > healedAtMs)));
  const [bytesDown, bytesUp] = [proxy.bytesDown, proxy.bytesUp];
  const tookMs = agents.map(({ knownAtMs }) => knownAtMs - healedAtMs).sort((left, right) => left - right);
  const slowestMs = tookMs.at(-1)!;
  const fetchedBytes = agents.reduce((sum, agent) => sum + agent.fetchedBytes, 0);
  const percent = round((100 * fetchedBytes) / wholeBytes);
  return [
    { measure: 'agents, cut off together for 20 s', value: agents.length, unit: '' },
    {
      measure: 'median agent knows that it is up to date after',
      value: round(tookMs[tookMs.length >> 1]! / 1_000),
      unit: 's',
    },
    {
      measure: 'last agent knows that it is up to date after',
      value: round(slowestMs / 1_000),
      unit: 's',
      bar: `<= ${CONVERGED_MS_MAX / 1_000}`,
      isMet: slowestMs <= CONVERGED_MS_MAX,
    },
    { measure: 'desired documents, whole, of all agents', value: round(wholeBytes / 1e6), unit: 'MB' },
    {
      measure: 'questions and answers about them, of the whole documents',
      value: percent,
      unit: '%',
      bar: `<= ${BYTES_PERCENT_MAX}`,
      isMet: percent <= BYTES_PERCENT_MAX,
    },
    { measure: 'bytes to agents meanwhile, NATS and its greeting included', value: round(bytesDown / 1e6), unit: 'MB' },
    { measure: 'bytes from agents meanwhile, reports included', value: round(bytesUp / 1e6), unit: 'MB' },
  ];
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const untilMs = performance.now() + WAIT_MS_MAX; performance.now() < untilMs; await delay(100)) {
    if (await isSo()) return;
  }
  throw new Error(`Waited ${WAIT_MS_MAX / 1_000} s in vain.`);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
