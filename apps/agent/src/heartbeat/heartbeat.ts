// Starts the heartbeat thread and brings it back should it end.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import { HEARTBEAT_BYTES_MAX, SUBJECTS } from '#contracts';
import { HEARTBEAT_INTERVAL_MS } from '#domain';
import type { Membership } from '../joining/credentials.ts';
import type { HeartbeatCommand, HeartbeatWorkerData } from './heartbeat.worker.ts';

const RESTART_AFTER_MS = 1_000;
const STOP_TIMEOUT_MS = 2_000;

export interface HeartbeatOptions {
  readonly memory: SharedArrayBuffer;
  readonly bootId: string;
  readonly seed: string;
  readonly membership: () => Membership;
  readonly log: Logger;
  /** Default: the compiled worker beside this file. */
  readonly workerUrl?: URL;
}

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #worker: Worker | undefined;
  #restart: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  start(): void {
    const { membership, memory, bootId, seed, log } = this.#options;
    const { clusterId, natsServers, jwt } = membership();
    const workerData: HeartbeatWorkerData = {
      memory,
      servers: natsServers,
      clusterId,
      subject: SUBJECTS.heartbeat(clusterId),
      boot: bootId,
      jwt,
      seed,
      intervalMs: HEARTBEAT_INTERVAL_MS,
      bytesMax: HEARTBEAT_BYTES_MAX,
    };
    const end = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const url = this.#options.workerUrl ?? new URL(`./heartbeat.worker.${end}`, import.meta.url);
    const worker = new Worker(url, { workerData, name: 'heartbeat', execArgv: [] });
    worker.on('error', (cause) => log.error({ reason: cause.message }, 'the heartbeat thread failed'));
    worker.on('exit', () => {
      if (this.#isStopped || this.#worker !== worker) return;
      this.#restart = setTimeout(() => this.start(), RESTART_AFTER_MS);
    });
    worker.unref();
    this.#worker = worker;
  }

  renewed(jwt: string): void {
    this.#worker?.postMessage({ jwt } satisfies HeartbeatCommand);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#restart);
    const worker = this.#worker;
    if (worker === undefined || worker.threadId < 0) return;
    worker.postMessage({ stop: true } satisfies HeartbeatCommand);
    const bound = setTimeout(() => void worker.terminate(), STOP_TIMEOUT_MS);
    await once(worker, 'exit');
    clearTimeout(bound);
  }
}
