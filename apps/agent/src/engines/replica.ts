// One replica on this machine, from its first start to its last stop: a small state machine around engine instances.
//
//   Starting → Ready → (Failed → Starting)* → Stopping → gone
//
// Ready means that it has generated a token (`generation-probe.ts`); one that an earlier agent saw do so is believed.
// A start that does not become ready in time, an engine that ends or stays silent too long: Failed, with the reason, and
// tried again after `retryDelayMs` of the failures since it last served for a while. Draining lets answers finish.
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'undici';
import { retryDelayMs } from '#domain';
import { createUpstreamPool } from '#inference';
import { EngineError, messageOf } from '../errors.ts';
import { pinnedLookup } from './checked-address.ts';
import type {
  EngineAdapter,
  EngineAddress,
  EngineInstance,
  EngineLoad,
  EngineSpec,
  EngineState,
} from './engine-adapter.ts';
import { probeGeneration } from './generation-probe.ts';
import { LoadReadings } from './load-readings.ts';

const STARTING_PROBE_MS = 100;
const READY_PROBE_MS = 1_000;
/** So that a probe that is cut off is cut off after its time, whatever timers round. */
const PROBE_GRACE_MS = 10;
/** An engine that is alive and has not answered for so long is stuck, not busy. */
const SILENT_MS_MAX = 60_000;
/** Served so long without failing: earlier failures are forgiven. */
const FORGIVEN_AFTER_MS = 60_000;

export interface ReplicaOptions {
  readonly engine: EngineAdapter;
  readonly startTimeoutMs: number;
  /** As in the spec; absent: not known. */
  readonly maxConcurrent?: number;
  readonly onChange: () => void;
  readonly onReady: (replica: Replica) => void;
  readonly onFailed: (replica: Replica, reason: string) => void;
}

/** Where requests for a Ready replica go. */
export interface EngineEndpoint extends Pick<EngineAddress, 'token' | 'upstreamModel' | 'dialect' | 'fieldsOfModels'> {
  /** To the origin of the engine's url. */
  readonly pool: Pool;
  /** What stands before `/v1/…`: the path of its url, or ''. */
  readonly basePath: string;
}

export class Replica {
  readonly replicaId: string;
  readonly deploymentId: string;
  readonly versionDigest: string;
  phase: 'Starting' | 'Ready' | 'Failed' | 'Stopping' = 'Starting';
  reason = '';
  restarts = 0;
  retryAtMs: number | undefined;
  inflight = 0;
  endpoint: EngineEndpoint | undefined;
  instance: EngineInstance | undefined;
  /** Names of the adapters that its present engine has loaded. */
  adapters: ReadonlySet<string> = new Set();
  /** What it holds from its start until it is gone, failed or not. */
  devices: EngineSpec['devices'];
  /** Of the configuration; undefined: its default. */
  engine: string | undefined;
  readonly #options: ReplicaOptions;
  #readings: LoadReadings | undefined;
  #isAdopted = false;
  #failures = 0;
  #generation = 0;
  #ending = new AbortController();
  #life: Promise<void> = Promise.resolve();
  #idle: (() => void) | undefined;

  constructor(of: Pick<EngineSpec, 'replicaId' | 'deploymentId' | 'versionDigest'>, options: ReplicaOptions) {
    this.replicaId = of.replicaId;
    this.deploymentId = of.deploymentId;
    this.versionDigest = of.versionDigest;
    this.#options = options;
  }

  /** Requests that it answers at once; undefined: not known. */
  get slots(): number | undefined {
    return this.#options.engine.slots(this.engine, this.#options.maxConcurrent);
  }

  /** What its engine said of its load within the last 3 s; null: nothing. `nowMs`: monotonic. */
  load(nowMs = performance.now()): EngineLoad | null {
    return this.#readings?.at(nowMs) ?? null;
  }

  /** The most requests of this agent that it had at once in about the last two seconds. */
  get inflightOfLate(): number {
    return this.#readings?.inflightOfLate ?? this.inflight;
  }

  /** A first start, or another one after a failure. */
  start(spec: EngineSpec): void {
    if (this.phase === 'Failed') this.restarts += 1;
    this.devices = spec.devices;
    this.engine = spec.engine;
    this.#become('Starting', '');
    this.#isAdopted = false;
    this.#live(() => this.#options.engine.start(spec, this.#generation + 1));
  }

  adopt(instance: EngineInstance): void {
    this.#isAdopted = true;
    this.devices = instance.devices;
    this.engine = instance.engine;
    this.#live(() => Promise.resolve(instance));
  }

  /** For a reason that its engine does not know of: what runs is ended, and tried again like after any failure. */
  fail(reason: string): void {
    if (this.phase === 'Failed' || this.phase === 'Stopping') return;
    this.#ending.abort();
    // What could not be ended now is ended before the next start.
    this.#life = this.#life.then(() => this.#dropEngine()).catch(() => undefined);
    this.#fail(reason);
  }

  /** What is wrong with one that serves; empty: nothing. */
  remark(reason: string): void {
    if (this.phase === 'Ready' && this.reason !== reason) this.#become('Ready', reason);
  }

  /** Takes nothing new, lets what runs finish within `drainMs`, then ends the engine. */
  async stop(reason: string, drainMs: number): Promise<void> {
    this.#become('Stopping', reason);
    if (this.inflight > 0 && drainMs > 0) {
      const bound = new AbortController();
      const idle = new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
      await Promise.race([idle, delay(drainMs, undefined, { signal: bound.signal }).catch(() => undefined)]);
      bound.abort();
    }
    this.#ending.abort();
    // What is not finished ends here, and not when a slow engine has ended.
    await this.#closePool();
    await this.#life;
    await this.#dropEngine();
  }

  /** Ends the waiting for answers in flight: what they are made from is not to be trusted any more. */
  cutDrain(): void {
    this.#idle?.();
  }

  /** Leaves the engine to the next agent. */
  async leave(): Promise<void> {
    this.#become('Stopping', 'the agent stops and leaves the engine');
    this.#ending.abort();
    await this.#life;
    await this.#closePool();
  }

  requestBegan(): void {
    this.inflight += 1;
    this.#noteInflight();
  }

  requestEnded(): void {
    this.inflight -= 1;
    this.#noteInflight();
    if (this.inflight === 0) this.#idle?.();
  }

  #noteInflight(): void {
    this.#readings?.noteInflight(this.inflight);
  }

  #live(begin: () => Promise<EngineInstance>): void {
    this.#ending = new AbortController();
    const { signal } = this.#ending;
    this.#life = this.#life
      .then(() => this.#run(begin, signal))
      .catch(async (cause: unknown) => {
        if (signal.aborted) return;
        // What could not be ended now is ended before the next start.
        await this.#dropEngine().catch(() => undefined);
        if (!signal.aborted) this.#fail(messageOf(cause));
      });
  }

  async #run(begin: () => Promise<EngineInstance>, signal: AbortSignal): Promise<void> {
    await this.#dropEngine();
    const instance = await begin();
    this.instance = instance;
    this.adapters = new Set();
    this.#generation = instance.generation;
    this.#options.onChange();
    await this.#untilReady(instance, signal);
    if (signal.aborted) return;
    await this.#watchReady(instance, signal);
  }

  async #watchReady(instance: EngineInstance, signal: AbortSignal): Promise<void> {
    const { engine } = this.#options;
    const readings = new LoadReadings(() => engine.load(instance));
    this.#readings = readings;
    this.#noteInflight();
    readings.poll(performance.now());
    const readyAtMs = performance.now();
    let answeredAtMs = readyAtMs;
    while (!signal.aborted) {
      await delay(READY_PROBE_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      readings.poll(performance.now());
      const state = await engine.probe(instance);
      if (state.state === 'gone') throw new EngineError(state.reason);
      const nowMs = performance.now();
      if (state.state === 'ready') answeredAtMs = nowMs;
      if (nowMs - answeredAtMs > SILENT_MS_MAX) throw new EngineError(silentWords(state));
      if (nowMs - readyAtMs > FORGIVEN_AFTER_MS) this.#failures = 0;
    }
  }

  async #untilReady(instance: EngineInstance, signal: AbortSignal): Promise<void> {
    const { engine, startTimeoutMs } = this.#options;
    const untilMs = performance.now() + startTimeoutMs;
    for (let why = ''; ; ) {
      const state = await engine.probe(instance);
      if (signal.aborted) return;
      if (state.state === 'gone') throw new EngineError(state.reason);
      if (state.state === 'starting') this.#waits(state.reason ?? '');
      if (state.state === 'ready') {
        const waits = await this.#open(instance, state, untilMs, signal);
        if (waits === null || signal.aborted) return;
        // What an answer said tells more than that the time was up.
        if (why === '' || performance.now() <= untilMs) why = `did not pass its probe (${waits})`;
      }
      if (performance.now() > untilMs)
        throw new EngineError(lateWords(why || 'was not ready', startTimeoutMs, this.reason));
      await delay(STARTING_PROBE_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
    }
  }

  /** Ready once it has generated. Null when it is, else what it waits for; throws EngineError when it cannot. */
  async #open(
    instance: EngineInstance,
    { url, connectTo, token, upstreamModel, dialect, fieldsOfModels }: EngineAddress,
    untilMs: number,
    signal: AbortSignal,
  ): Promise<string | null> {
    const { origin, pathname } = new URL(url);
    const connect = connectTo === undefined ? {} : { connect: { lookup: pinnedLookup(connectTo) } };
    const endpoint = {
      pool: createUpstreamPool(origin, connect),
      basePath: pathname.replace(/\/$/, ''),
      token,
      upstreamModel,
      dialect,
      fieldsOfModels,
    };
    const { pool } = endpoint;
    const waits = await this.#prove(instance, endpoint, untilMs, signal).catch(async (cause: unknown) => {
      await pool.destroy();
      throw cause;
    });
    if (waits !== null || signal.aborted) {
      await pool.destroy();
      return waits;
    }
    this.endpoint = endpoint;
    this.#become('Ready', '');
    this.#options.onReady(this);
    return null;
  }

  async #prove(
    instance: EngineInstance,
    endpoint: EngineEndpoint,
    untilMs: number,
    signal: AbortSignal,
  ): Promise<string | null> {
    if (instance.isProven) return null;
    const bound = AbortSignal.timeout(Math.max(0, Math.ceil(untilMs - performance.now())) + PROBE_GRACE_MS);
    const probe = await probeGeneration(endpoint, instance.servedModel, AbortSignal.any([signal, bound]));
    if (signal.aborted) return null;
    if (probe.answer === 'failed') throw new EngineError(probe.reason);
    // One that an earlier agent left full of work is at work: it is not ended for having no room for a probe.
    if (probe.answer === 'busy' && this.#isAdopted) return null;
    if (probe.answer !== 'generated') return probe.reason;
    await this.#options.engine.noteProven(instance);
    return null;
  }

  #fail(reason: string): void {
    this.#failures += 1;
    this.retryAtMs = performance.now() + retryDelayMs(this.#failures);
    this.#become('Failed', reason);
    this.#options.onFailed(this, reason);
  }

  #waits(reason: string): void {
    if (reason !== this.reason && this.phase === 'Starting') this.#become('Starting', reason);
  }

  #become(phase: Replica['phase'], reason: string): void {
    this.phase = phase;
    this.reason = reason;
    this.#options.onChange();
  }

  async #dropEngine(): Promise<void> {
    const instance = this.instance;
    this.#readings = undefined;
    await this.#closePool();
    if (instance !== undefined) await this.#options.engine.stop(instance);
    this.instance = undefined;
  }

  async #closePool(): Promise<void> {
    const { endpoint } = this;
    this.endpoint = undefined;
    await endpoint?.pool.destroy();
  }
}

function silentWords(state: EngineState): string {
  const what = `The engine has not answered for ${SILENT_MS_MAX / 1000} s`;
  return state.state === 'silent' && state.reason !== undefined ? `${what}: ${state.reason}` : `${what}.`;
}

function lateWords(what: string, timeoutMs: number, waitsFor: string): string {
  const within = `The engine ${what} within ${timeoutMs / 1000} s`;
  return waitsFor === '' ? `${within}.` : `${within}: ${waitsFor}`;
}
