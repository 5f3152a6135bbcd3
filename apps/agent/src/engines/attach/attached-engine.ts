// An engine that runs already and is somebody else's: the agent binds replicas to it, asks it how it is, and starts and
// ends nothing. Which bytes it serves only its operator knows, so its configuration is where they vouch for them.
//
// Invariants: its address is resolved and checked before the first byte goes there, and is connected to as checked, for
// probes and for requests alike (S6); a binding survives the agent (R5); what we loaded into it we unload.
import { join } from 'node:path';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import type { AdapterReference } from '#domain';
import { EngineError, messageOf } from '../../errors.ts';
import { type CheckedAddress, checkAddress, type Resolve } from '../checked-address.ts';
import {
  EngineAdapter,
  type EngineInstance,
  type EngineLoad,
  type EngineSpec,
  type EngineState,
} from '../engine-adapter.ts';
import { specHashOf } from '../instance-folder.ts';
import { type AdapterWish, applyAdapters } from './adapter-calls.ts';
import type { AttachedEngineConfiguration } from './configuration.ts';
import { EngineHttp, type EngineReply } from './engine-http.ts';
import { type InstanceNote, InstanceNotes, instanceOf } from './instance-notes.ts';
import { readLoad } from './load-metrics.ts';
import { judgeHealth, judgeModels, type ProbeContext } from './probe-answers.ts';
import { ENGINE_PROFILES, type EngineProfile } from './profiles.ts';
import { readTokenFile } from './token-file.ts';

/** Where nearly all of them are. */
const METRICS_PATH = '/metrics';

export interface AttachedEngineOptions {
  readonly stateFolder: string;
  /** Its name in the configuration. */
  readonly name: string;
  readonly configuration: AttachedEngineConfiguration;
  readonly log: Logger;
  /** Default: the system's resolver. */
  readonly resolve?: Resolve;
}

/** An instance's way to the engine, while this agent lives. */
interface Binding {
  readonly http: EngineHttp;
  readonly metrics: EngineHttp | null;
  readonly addresses: readonly CheckedAddress[];
  readonly token: string | null;
  /** Of adapters; one object for as long as the binding lives, so that who holds it sees what is loaded later. */
  readonly fieldsOfModels: Map<string, Readonly<Record<string, unknown>>>;
  /** What the engine calls the model, once it was seen ready. */
  model: string | null;
}

export class AttachedEngine extends EngineAdapter {
  readonly #options: AttachedEngineOptions;
  readonly #profile: EngineProfile;
  readonly #url: string;
  readonly #boundTo: string;
  readonly #notes: InstanceNotes;
  readonly #bindings = new Map<string, Binding>();
  #changes: Promise<void> = Promise.resolve();
  #adapterTurn: Promise<void> = Promise.resolve();
  #isMissingLoadSaid = false;

  constructor(options: AttachedEngineOptions) {
    super();
    this.#options = options;
    this.#profile = ENGINE_PROFILES[options.configuration.dialect];
    this.#url = options.configuration.url.replace(/\/+$/, '').replace(/\/v1$/, '');
    this.#boundTo = `${options.configuration.dialect} ${options.configuration.model ?? '*'} ${this.#url}`;
    this.#notes = new InstanceNotes(join(options.stateFolder, 'attached', options.name));
  }

  override async start(spec: EngineSpec, generation: number): Promise<EngineInstance> {
    const { replicaId, deploymentId, versionDigest, servedModel } = spec;
    const instanceId = uuidv7();
    const note = {
      ...{ instanceId, replicaId, deploymentId, versionDigest, generation, servedModel },
      specHash: specHashOf(spec),
      isProven: false,
      boundTo: this.#boundTo,
      adapters: [],
    };
    // What its configuration lacks is told now, and not as an engine that does not come.
    await this.#bind(instanceId);
    await this.#notes.write(note).catch(async (cause: unknown) => {
      await this.#unbind(instanceId);
      throw new EngineError(`The engine cannot be bound: ${messageOf(cause)}`, { cause });
    });
    return instanceOf(note, this.#options.name);
  }

  override async probe(instance: EngineInstance): Promise<EngineState> {
    const bound = await this.#bind(instance.instanceId).catch((cause: unknown) => messageOf(cause));
    if (typeof bound === 'string') return { state: 'gone', reason: bound };
    if (!('http' in bound)) return { state: 'starting', reason: bound.reason };
    const state = await this.#ask(instance, bound);
    // A name may stand for another address by the next time that it is asked for.
    if (state.state === 'starting') await this.#unbind(instance.instanceId);
    return state;
  }

  override async noteProven({ instanceId }: EngineInstance): Promise<void> {
    await this.#changeNote(instanceId, { isProven: true }).catch((cause: unknown) =>
      this.#options.log.warn({ engine: this.#options.name, reason: messageOf(cause) }, 'proof of an engine not noted'),
    );
  }

  override async stop(instance: EngineInstance): Promise<void> {
    const note = await this.#notes.read(instance.instanceId);
    if (note !== null && note.adapters.length > 0) {
      await this.setAdapters(instance, []).catch((cause: unknown) =>
        this.#options.log.warn({ engine: this.#options.name, reason: messageOf(cause) }, 'adapters not unloaded'),
      );
    }
    await this.#unbind(instance.instanceId);
    await this.#notes.remove(instance.instanceId);
  }

  override async list(): Promise<EngineInstance[]> {
    await this.#notes.sweep();
    const notes = await this.#notes.all();
    const foreign = notes.filter(({ boundTo }) => boundTo !== this.#boundTo);
    await Promise.all(foreign.map(({ instanceId }) => this.#notes.remove(instanceId)));
    return notes.filter((note) => !foreign.includes(note)).map((note) => instanceOf(note, this.#options.name));
  }

  override async load({ instanceId }: EngineInstance): Promise<EngineLoad | null> {
    const binding = this.#bindings.get(instanceId);
    const { dialect } = this.#options.configuration;
    if (!binding?.model || binding.metrics === null) return null;
    const reply = await binding.metrics.get(this.#metricsPath());
    if (reply.kind !== 'answer' || reply.status !== 200) {
      // One that has just ended tells nothing more; that it has, its next probe says.
      if (reply.kind === 'answer' || binding.metrics !== binding.http) this.#sayMissingLoad(reply);
      return null;
    }
    return readLoad(dialect, reply.text, binding.model);
  }

  /** One after the other: replicas of one engine share what is loaded into it. */
  override setAdapters(instance: EngineInstance, wanted: readonly AdapterWish[]): Promise<void> {
    const done = this.#adapterTurn.then(() => this.#setAdapters(instance, wanted));
    this.#adapterTurn = done.catch(() => undefined);
    return done;
  }

  override slots(): number | undefined {
    return this.#options.configuration.slots;
  }

  override needsFiles(): boolean {
    return this.#options.configuration.needsFiles;
  }

  override bindsDevices(): boolean {
    return false;
  }

  async #setAdapters(instance: EngineInstance, wanted: readonly AdapterWish[]): Promise<void> {
    const { name, configuration } = this.#options;
    const { dialect, timeouts } = configuration;
    const binding = this.#bindings.get(instance.instanceId);
    const notes = await this.#notes.all();
    const note = notes.find(({ instanceId }) => instanceId === instance.instanceId);
    if (!binding?.model || note === undefined) {
      if (wanted.length === 0) return;
      throw new EngineError(`Adapter ${wanted[0]!.name} cannot be loaded yet: ${name} is not ready.`);
    }
    const kept = notes.filter((other) => other !== note).flatMap(({ adapters }) => adapters);
    const noted = (adapters: readonly AdapterReference[]) =>
      this.#changeNote(instance.instanceId, { adapters: [...adapters] });
    const call = { http: binding.http, wanted, loaded: note.adapters, kept, base: binding.model, note: noted };
    // Unloading takes no time; an engine that hangs must not keep a replica from ending.
    const seconds = wanted.length === 0 ? timeouts.probeSeconds : timeouts.adapterSeconds;
    const fields = await applyAdapters(dialect, name, { ...call, timeoutMs: seconds * 1_000 });
    binding.fieldsOfModels.clear();
    for (const [model, each] of fields) binding.fieldsOfModels.set(model, each);
  }

  async #ask(instance: EngineInstance, binding: Binding): Promise<EngineState> {
    const { name, configuration } = this.#options;
    const { http, token } = binding;
    const context: ProbeContext = {
      engine: name,
      url: this.#url,
      hasToken: token !== null,
      wasReady: binding.model !== null,
    };
    const healthPath = configuration.healthPath ?? this.#profile.healthPath;
    const unwell = healthPath === null ? null : judgeHealth(await http.get(healthPath), context);
    if (unwell !== null) return unwell;
    const { model } = configuration;
    const wish = { servedModel: instance.servedModel, model, hasTags: this.#profile.hasTags };
    const listed = judgeModels(await http.get('/v1/models'), context, wish);
    if (listed.state !== 'listed') return listed;
    binding.model = listed.model;
    return { state: 'ready', ...this.#addressOf(binding, listed.model, instance.servedModel) };
  }

  #addressOf({ token, addresses, fieldsOfModels }: Binding, model: string, servedModel: string) {
    const { dialect } = this.#options.configuration;
    const renamed = model === servedModel ? {} : { upstreamModel: model };
    return { url: this.#url, token, dialect, connectTo: addresses, fieldsOfModels, ...renamed };
  }

  /** Resolves and checks the address unless that is done. Throws EngineError for what waiting cannot mend. */
  async #bind(instanceId: string): Promise<Binding | { readonly reason: string }> {
    const known = this.#bindings.get(instanceId);
    if (known !== undefined) return known;
    const { resolve, configuration } = this.#options;
    const token = configuration.tokenFile === undefined ? null : await readTokenFile(configuration.tokenFile);
    const found = await checkAddress(this.#url, resolve);
    if (found.kind === 'unresolved') return { reason: found.reason };
    const { addresses } = found;
    const timeoutMs = configuration.timeouts.probeSeconds * 1_000;
    const http = new EngineHttp({ url: this.#url, addresses, token, timeoutMs });
    const metrics = await this.#bindMetrics(http, token, timeoutMs);
    const binding: Binding = { http, metrics, addresses, token, fieldsOfModels: new Map(), model: null };
    this.#bindings.set(instanceId, binding);
    return binding;
  }

  async #bindMetrics(http: EngineHttp, token: string | null, timeoutMs: number): Promise<EngineHttp | null> {
    const { resolve, configuration } = this.#options;
    const { metricsUrl } = configuration;
    if (metricsUrl === undefined) return this.#profile.metricsPath === null ? null : http;
    const found = await checkAddress(metricsUrl, resolve);
    if (found.kind === 'unresolved') return null;
    return new EngineHttp({ url: metricsUrl, addresses: found.addresses, token, timeoutMs });
  }

  /** Appended to the url of the metrics, which may hold the whole path already. */
  #metricsPath(): string {
    const { metricsUrl } = this.#options.configuration;
    if (metricsUrl === undefined) return this.#profile.metricsPath ?? METRICS_PATH;
    return new URL(metricsUrl).pathname === '/' ? METRICS_PATH : '';
  }

  async #unbind(instanceId: string): Promise<void> {
    const binding = this.#bindings.get(instanceId);
    this.#bindings.delete(instanceId);
    await binding?.http.close();
    if (binding?.metrics !== binding?.http) await binding?.metrics?.close();
  }

  /** One after the other, so that none is lost. */
  #changeNote(instanceId: string, change: Partial<Pick<InstanceNote, 'isProven' | 'adapters'>>): Promise<void> {
    const done = this.#changes.then(async () => {
      const note = await this.#notes.read(instanceId);
      if (note !== null) await this.#notes.write({ ...note, ...change });
    });
    this.#changes = done.catch(() => undefined);
    return done;
  }

  /** Once: an engine without metrics serves all the same, and is judged by what is sent to it. */
  #sayMissingLoad(reply: EngineReply): void {
    if (this.#isMissingLoadSaid) return;
    this.#isMissingLoadSaid = true;
    const why = reply.kind === 'answer' ? `its metrics answer ${reply.status}` : 'its metrics do not answer';
    const { metricsAdvice } = this.#profile;
    this.#options.log.warn({ engine: this.#options.name, why, advice: metricsAdvice }, 'engine tells no load');
  }
}
