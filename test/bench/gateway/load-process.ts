/** The load of the bench, a process of its own: one task after the other, each told by the parent, each answered. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Dispatcher, Pool } from 'undici';

export interface LoadTask {
  readonly kind: 'closed' | 'open' | 'streams' | 'stalled';
  readonly url: string;
  readonly token: string;
  readonly body: string;
  readonly connections: number;
  /** Of the whole measurement, after one tenth of warm-up. */
  readonly seconds: number;
  /** Requests a second; open loop only. */
  readonly rate?: number;
  /** Tokens of one stream; streams only. */
  readonly tokens?: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly perSecond: number;
  /** Latency of whole answers; for streams the gap between tokens beyond what was asked for. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly firstByteP50Ms: number;
  readonly firstByteP99Ms: number;
  readonly tokensReceived: number;
}

interface Sample {
  readonly ok: boolean;
  readonly elapsedMs: number;
  readonly firstByteMs: number;
  readonly tokens: number;
}

/** Sends one request; `onToken` hears the wall time of each event. */
function send(pool: Pool, task: LoadTask, onToken?: (atMs: number) => void): Promise<Sample> {
  const beganAtMs = performance.now();
  let firstByteMs = 0;
  let status = 0;
  let tokens = 0;
  return new Promise((resolve) => {
    const end = (ok: boolean) => resolve({ ok, elapsedMs: performance.now() - beganAtMs, firstByteMs, tokens });
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart: () => undefined,
      onResponseStart: (_controller, code) => {
        status = code;
      },
      onResponseData: (_controller, chunk) => {
        const nowMs = performance.now();
        if (firstByteMs === 0) firstByteMs = nowMs - beganAtMs;
        if (onToken === undefined) return;
        for (let at = chunk.indexOf('data: {'); at !== -1; at = chunk.indexOf('data: {', at + 7)) {
          tokens += 1;
          onToken(nowMs);
        }
      },
      onResponseEnd: () => end(status === 200),
      onResponseError: () => end(false),
    };
    const headers = ['authorization', `Bearer ${task.token}`, 'content-type', 'application/json'];
    pool.dispatch({ method: 'POST', path: '/v1/chat/completions', headers, body: task.body }, handler);
  });
}

async function run(task: LoadTask): Promise<LoadResult> {
  const pool = new Pool(task.url, { connections: task.connections, pipelining: 1 });
  const samples: Sample[] = [];
  const gapsMs: number[] = [];
  const beganAtMs = performance.now();
  const warmUntilMs = beganAtMs + task.seconds * 100;
  const endAtMs = warmUntilMs + task.seconds * 1_000;
  const take = (sample: Sample) => {
    const nowMs = performance.now();
    if (nowMs >= warmUntilMs && nowMs <= endAtMs) samples.push(sample);
  };
  if (task.kind === 'closed') {
    const client = async () => {
      while (performance.now() < endAtMs) take(await send(pool, task));
    };
    await Promise.all(Array.from({ length: task.connections }, client));
  } else if (task.kind === 'open') await openLoop(pool, task, endAtMs, take);
  else {
    const intervalMs = (JSON.parse(task.body) as { intervalMs?: number }).intervalMs ?? 0;
    const stream = async () => {
      let lastAtMs = 0;
      const sample = await send(pool, task, (atMs) => {
        if (lastAtMs !== 0) gapsMs.push(Math.abs(atMs - lastAtMs - intervalMs));
        lastAtMs = atMs;
      });
      samples.push(sample);
    };
    const streams = [];
    for (let opened = 0; opened < task.connections; opened += 1) {
      streams.push(stream());
      if (opened % 10 === 9) await delay(10); // spread, as arrivals are
    }
    await Promise.all(streams);
  }
  await pool.destroy();
  const measuredMs = Math.min(performance.now(), endAtMs) - warmUntilMs;
  return summary(samples, gapsMs.length > 0 ? gapsMs : samples.map((one) => one.elapsedMs), measuredMs);
}

async function openLoop(pool: Pool, task: LoadTask, endAtMs: number, take: (sample: Sample) => void): Promise<void> {
  const { rate = 100 } = task;
  const pending: Promise<void>[] = [];
  const beganAtMs = performance.now();
  for (let sent = 0; performance.now() < endAtMs; sent += 1) {
    const dueAtMs = beganAtMs + (sent * 1_000) / rate;
    // setTimeout is a millisecond coarse; the rest of the wait turns the loop.
    if (dueAtMs - performance.now() > 2) await delay(dueAtMs - performance.now() - 1);
    while (performance.now() < dueAtMs) await new Promise((resolve) => setImmediate(resolve));
    pending.push(send(pool, task).then(take));
  }
  await Promise.all(pending);
}

function summary(samples: readonly Sample[], valuesMs: number[], measuredMs: number): LoadResult {
  const good = samples.filter((sample) => sample.ok);
  const firstBytes = good.map((sample) => sample.firstByteMs);
  return {
    requests: samples.length,
    errors: samples.length - good.length,
    perSecond: Math.round((good.length * 1_000) / measuredMs),
    p50Ms: quantile(valuesMs, 0.5),
    p99Ms: quantile(valuesMs, 0.99),
    firstByteP50Ms: quantile(firstBytes, 0.5),
    firstByteP99Ms: quantile(firstBytes, 0.99),
    tokensReceived: good.reduce((sum, sample) => sum + sample.tokens, 0),
  };
}

function quantile(values: number[], share: number): number {
  const sorted = values.sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Clients that ask for a long stream and never read it; resolves at once, and they stay until the process ends. */
async function stall(task: LoadTask): Promise<LoadResult> {
  const { connect } = await import('node:net');
  const { hostname, port } = new URL(task.url);
  for (let opened = 0; opened < task.connections; opened += 1) {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => undefined);
    socket.pause();
    const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${task.token}\r\n`;
    socket.write(`${head}Content-Length: ${Buffer.byteLength(task.body)}\r\n\r\n${task.body}`);
  }
  await delay(task.seconds * 1_000);
  return summary([], [], 1);
}

process.on('message', (task: LoadTask) => {
  void (task.kind === 'stalled' ? stall(task) : run(task)).then((result) => process.send?.(result));
});
process.on('disconnect', () => process.exit(0));
