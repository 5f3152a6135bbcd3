/**
 * One gateway process on one core (taskset where there is one), NATS, upstream and load in processes of their own on
 * the others; loopback only; keys and metrics on. Latencies are compared with the same upstream reached directly, in
 * turns within one run. On a machine of two cores load and upstream share one, so the rates are what is left to them.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { v7 } from 'uuid';
import { DEFAULT_TENANT_ID, type RouteCluster } from '#domain';
import { freePort, startNats, startProcess, waitWhileRunning } from '#embedded';
import { createNatsOperator, renderServerConfiguration } from '#messaging';
import type { BenchRow } from '../main.ts';
import { createKey, deploymentOf, FakeCentre, identityFor, PEPPER } from './installation.ts';
import type { LoadResult, LoadTask } from './load-process.ts';

const here = import.meta.dirname;
const STARTED_WITHIN_MS = 20_000;
/** Of one measurement. */
const SECONDS = 5;
const WARM_SECONDS = 5;
const STREAM_TOKENS = 250;

interface Bed {
  readonly gatewayUrl: string;
  readonly gatewayPid: number;
  readonly plainUrl: string;
  readonly token: string;
  load(task: Partial<LoadTask> & Pick<LoadTask, 'kind' | 'url' | 'connections'>): Promise<LoadResult>;
  freshLoad(): void;
  stop(): Promise<void>;
}

/** Options: `--path direct|dialled` (default direct), `--quick` (a fifth of the time), `--profile <folder>` of the gateway. */
export async function benchGateway(options: readonly string[]): Promise<readonly BenchRow[]> {
  const path = optionOf(options, '--path') === 'dialled' ? 'dialled' : 'direct';
  const seconds = options.includes('--quick') ? SECONDS / 5 : SECONDS;
  const bed = await prepare(path, optionOf(options, '--profile'));
  try {
    return [
      { measure: `path ${path}; gateway on core 0`, value: hasTaskset() ? 'pinned' : 'not pinned', unit: '' },
      ...(await measureRate(bed, seconds)),
      ...(await measureLatency(bed, seconds, 200, 0.35, 1.5)),
      ...(await measureLatency(bed, seconds, 1_000, 0.2, 2)),
      ...(await measureFirstByte(bed, seconds)),
      ...(await measureStreams(bed)),
      ...(await measureStalled(bed)),
    ];
  } finally {
    await bed.stop();
  }
}

async function measureRate(bed: Bed, seconds: number): Promise<BenchRow[]> {
  const plain = await bed.load({ kind: 'closed', url: bed.plainUrl, connections: 64, seconds });
  const cpuBefore = cpuSeconds(bed.gatewayPid);
  const through = await bed.load({ kind: 'closed', url: bed.gatewayUrl, connections: 64, seconds });
  const cpuMicros = ((cpuSeconds(bed.gatewayPid) - cpuBefore) * 1e6) / Math.max(1, through.requests * 1.1);
  return [
    row('req/s, 64 connections, 1 KB, upstream alone', plain.perSecond, '/s'),
    row(
      'req/s, 64 connections, 1 KB, through the gateway',
      through.perSecond,
      '/s',
      '>= 9420',
      through.perSecond >= 9_420,
    ),
    row('gateway CPU a request', round(cpuMicros), 'us'),
    row('errors', through.errors, '', '0', through.errors === 0),
  ];
}

async function measureLatency(bed: Bed, seconds: number, rate: number, p50: number, p99: number): Promise<BenchRow[]> {
  const task = { kind: 'open', connections: 64, rate, seconds } as const;
  const plain = await bed.load({ ...task, url: bed.plainUrl });
  const through = await bed.load({ ...task, url: bed.gatewayUrl });
  const added = { p50: round(through.p50Ms - plain.p50Ms), p99: round(through.p99Ms - plain.p99Ms) };
  return [
    row(`added latency at ${rate}/s, p50`, added.p50, 'ms', `<= ${p50}`, added.p50 <= p50),
    row(`added latency at ${rate}/s, p99`, added.p99, 'ms', `<= ${p99}`, added.p99 <= p99),
    row(`errors at ${rate}/s`, through.errors, '', '0', through.errors === 0),
  ];
}

async function measureFirstByte(bed: Bed, seconds: number): Promise<BenchRow[]> {
  const task = {
    kind: 'closed',
    connections: 64,
    seconds,
    body: bodyOf({ stream: true, tokens: 20, intervalMs: 10 }),
  } as const;
  const plain = await bed.load({ ...task, url: bed.plainUrl });
  const through = await bed.load({ ...task, url: bed.gatewayUrl });
  const added = round(through.firstByteP50Ms - plain.firstByteP50Ms);
  return [row('first byte added at 64 streams, p50', added, 'ms', '<= 0.6', added <= 0.6)];
}

async function measureStreams(bed: Bed): Promise<BenchRow[]> {
  const streams = 500;
  const body = bodyOf({ stream: true, tokens: STREAM_TOKENS, intervalMs: 20 });
  const task = { kind: 'streams', connections: streams, body, tokens: STREAM_TOKENS } as const;
  const plain = await bed.load({ ...task, url: bed.plainUrl });
  const cpuBefore = cpuSeconds(bed.gatewayPid);
  const watching = watchRss(bed.gatewayPid);
  const through = await bed.load({ ...task, url: bed.gatewayUrl });
  const rss = watching.stop();
  const lost = streams * STREAM_TOKENS - through.tokensReceived;
  const cpu = round(((cpuSeconds(bed.gatewayPid) - cpuBefore) * 1e6) / Math.max(1, through.tokensReceived));
  const delay = { p50: round(through.p50Ms - plain.p50Ms), p99: round(through.p99Ms - plain.p99Ms) };
  return [
    row('500 streams x 50 tokens/s: tokens lost', lost, '', '0', lost === 0),
    row('token jitter added, p50', delay.p50, 'ms', '<= 0.4', delay.p50 <= 0.4),
    row('token jitter added, p99', delay.p99, 'ms', '<= 10', delay.p99 <= 10),
    row('CPU seconds a million tokens', cpu, 's', '<= 30', cpu <= 30),
    row('RSS at 500 streams', rss, 'MB', '<= 150', rss <= 150),
  ];
}

async function measureStalled(bed: Bed): Promise<BenchRow[]> {
  const readers = 20;
  const before = rssMegabytes(bed.gatewayPid);
  const body = bodyOf({ stream: true, tokens: 200_000 });
  await bed.load({ kind: 'stalled', url: bed.gatewayUrl, connections: readers, body, seconds: 4 });
  const grown = round((rssMegabytes(bed.gatewayPid) - before) / readers);
  bed.freshLoad();
  return [row('RSS a stalled reader, 20 readers', grown, 'MB', '<= 2', grown <= 2)];
}

async function prepare(path: 'direct' | 'dialled', profileFolder: string | undefined): Promise<Bed> {
  const directory = mkdtempSync(join(tmpdir(), 'atoll-bench-'));
  const operator = await createNatsOperator('bench');
  const nats = await startNats({
    directory,
    port: -1,
    renderConfiguration: (folders) => renderServerConfiguration({ ...folders, operator }),
  });
  const installation = { natsUrl: nats.url, operator };
  const centre = await FakeCentre.open(installation);
  const upstream = fork(join(here, 'upstream-process.js'), { execArgv: [] });
  pin(upstream.pid, 'others');
  upstream.send({ ...installation, path });
  const { plainUrl, route } = (await answerOf(upstream)) as { plainUrl: string; route: RouteCluster };
  const { token, key } = createKey({ tenantId: DEFAULT_TENANT_ID });
  centre.changeQuietly({
    keys: [key],
    clusters: [route],
    deployments: [deploymentOf('tiny', DEFAULT_TENANT_ID, [route.id])],
  });

  const gatewayUrl = `http://127.0.0.1:${await freePort()}`;
  const gateway = await startGatewayProcess(directory, gatewayUrl, installation, profileFolder);
  pin(gateway.identity.pid, 'first');
  let load = startLoad();
  const bed: Bed = {
    gatewayUrl,
    gatewayPid: gateway.identity.pid,
    plainUrl,
    token,
    load: async (task) => {
      load.send({ token, body: bodyOf({}), seconds: SECONDS, ...task });
      return (await answerOf(load)) as LoadResult;
    },
    freshLoad: () => {
      load.kill();
      load = startLoad();
    },
    stop: async () => {
      load.kill();
      await gateway.stop();
      upstream.kill();
      await centre.stop();
      await nats.process.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  // Links are made at first use, and a handshake costs the gateway's core: rates are measured once they are there.
  await bed.load({ kind: 'closed', url: gatewayUrl, connections: 64, seconds: WARM_SECONDS });
  return bed;
}

async function startGatewayProcess(
  directory: string,
  url: string,
  installation: { natsUrl: string; operator: Awaited<ReturnType<typeof createNatsOperator>> },
  profileFolder: string | undefined,
) {
  const identity = await identityFor(installation.operator, 'gateway', v7());
  const configuration = join(directory, 'gateway.yaml');
  const port = Number(new URL(url).port);
  const text = {
    http: { host: '127.0.0.1', port },
    nats: { servers: [installation.natsUrl] },
    stateDirectory: join(directory, 'gateway'),
    limits: { connectionsPerCluster: 1_024 },
  };
  writeFileSync(configuration, JSON.stringify(text));
  const gateway = startProcess({
    name: 'gateway',
    command: process.execPath,
    args: [
      ...(profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`]),
      join(here, '../../../apps/gateway/src/main.js'),
      '--config',
      configuration,
    ],
    environment: {
      ATOLL_IDENTITY_JWT: identity.jwt,
      ATOLL_IDENTITY_SEED: identity.seed,
      ATOLL_PEPPER: PEPPER,
    },
    logFile: join(directory, 'gateway.log'),
  });
  const isReady = async () => (await fetch(`${url}/readyz`).catch(() => null))?.ok === true;
  if (await waitWhileRunning(gateway, isReady, STARTED_WITHIN_MS)) return gateway;
  const tail = gateway.logTail();
  await gateway.stop();
  throw new Error(`the gateway did not become ready:\n${tail}`);
}

function startLoad(): ChildProcess {
  const load = fork(join(here, 'load-process.js'), { execArgv: [] });
  pin(load.pid, 'others');
  return load;
}

async function answerOf(child: ChildProcess): Promise<unknown> {
  const [answer] = (await once(child, 'message')) as [unknown];
  return answer;
}

/** The gateway has the first core for itself; whoever else takes part shares the others. */
function pin(pid: number | undefined, cores: 'first' | 'others'): void {
  if (pid === undefined || !hasTaskset()) return;
  const last = availableParallelism() - 1;
  execFileSync('taskset', ['-a', '-cp', cores === 'first' ? '0' : `1-${last}`, String(pid)], { stdio: 'ignore' });
}

function hasTaskset(): boolean {
  if (availableParallelism() < 2) return false;
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** User and system time of a process so far; 100 clock ticks a second on every Linux that we know. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function rssMegabytes(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return round(Number(kilobytes) / 1_024);
}

function watchRss(pid: number): { stop(): number } {
  let most = rssMegabytes(pid);
  const timer = setInterval(() => {
    most = Math.max(most, rssMegabytes(pid));
  }, 200);
  return {
    stop: () => {
      clearInterval(timer);
      return most;
    },
  };
}

function bodyOf(wish: Readonly<Record<string, unknown>>): string {
  const body = { model: 'tiny', ...wish, messages: [{ role: 'user', content: '' }] };
  body.messages[0]!.content = 'x'.repeat(1_024 - JSON.stringify(body).length);
  return JSON.stringify(body);
}

function row(measure: string, value: number, unit: string, bar?: string, isMet?: boolean): BenchRow {
  return { measure, value, unit, ...(bar === undefined ? {} : { bar, isMet: isMet === true }) };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function optionOf(options: readonly string[], name: string): string | undefined {
  const index = options.indexOf(name);
  return index === -1 ? undefined : options[index + 1];
}
