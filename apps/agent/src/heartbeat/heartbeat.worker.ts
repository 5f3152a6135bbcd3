// The heartbeat thread (R9): its own event loop and its own NATS connection, so that work cannot starve the sign of life.
// One message a second on `atoll.v1.<cluster>.hb`, at most 200 bytes, and only while connected: a heartbeat that waited
// in a buffer would tell of a moment that is over. A stuck main thread is told (`stallMs`), not hidden.
import { parentPort, workerData } from 'node:worker_threads';
import { connectNats, inboxPrefixOf, type NatsSession } from '#messaging';
import { readPulse } from './pulse.ts';

export interface HeartbeatWorkerData {
  readonly memory: SharedArrayBuffer;
  readonly servers: readonly string[];
  readonly clusterId: string;
  readonly subject: string;
  readonly boot: string;
  readonly jwt: string;
  readonly seed: string;
  readonly intervalMs: number;
  readonly bytesMax: number;
}
export type HeartbeatCommand = { readonly jwt: string } | { readonly stop: true };

const data = workerData as HeartbeatWorkerData;
const stopping = new AbortController();
let jwt = data.jwt;
let session: NatsSession | undefined;
let timer: NodeJS.Timeout | undefined;
let sequence = 0;

function beat(): void {
  if (session?.status().state !== 'connected') return;
  sequence += 1;
  const text = JSON.stringify({ boot: data.boot.slice(0, 8), sequence, ...readPulse(data.memory) });
  if (text.length <= data.bytesMax) session.connection.publish(data.subject, text);
}

async function stop(): Promise<void> {
  stopping.abort();
  clearInterval(timer);
  await session?.close(1_000);
  parentPort?.close();
}

parentPort?.on('message', (command: HeartbeatCommand) => {
  if ('stop' in command) void stop();
  else jwt = command.jwt;
});

connectNats({
  servers: data.servers,
  credentials: () => ({ jwt, seed: data.seed }),
  name: `agent-heartbeat ${data.clusterId}`,
  inboxPrefix: inboxPrefixOf(data.clusterId),
  signal: stopping.signal,
}).then(
  (opened) => {
    session = opened;
    if (stopping.signal.aborted) return void opened.close(0);
    beat();
    timer = setInterval(beat, data.intervalMs);
  },
  () => undefined, // only an abort ends the wait for the first connection
);
