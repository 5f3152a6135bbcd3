// What one engine process is asked beyond whether it is ready: its load, and the adapters beside its base, in its dialect.
// Which adapters it has is noted in its folder, for it may outlive the agent.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { AdapterReference } from '#domain';
import type { DialectName, FieldsOfModels } from '#inference';
import { type AdapterWish, applyAdapters } from '../attach/adapter-calls.ts';
import { EngineHttp } from '../attach/engine-http.ts';
import { readLoad } from '../attach/load-metrics.ts';
import { ENGINE_PROFILES } from '../attach/profiles.ts';
import type { CheckedAddress } from '../checked-address.ts';
import type { EngineLoad } from '../engine-adapter.ts';

const ASK_TIMEOUT_MS = 3_000;
const ADAPTER_TIMEOUT_MS = 120_000;

const adaptersSchema = z.array(z.object({ name: z.string(), versionDigest: z.string() })).max(64);

export interface EngineDialogueOptions {
  /** Name of the engine in the configuration. */
  readonly engine: string;
  readonly dialect: DialectName;
  readonly url: string;
  readonly connectTo: CheckedAddress;
  readonly token: string | null;
  /** What the engine calls the base. */
  readonly model: string;
  /** Of the instance. */
  readonly folder: string;
}

export class EngineDialogue {
  readonly #options: EngineDialogueOptions;
  readonly #http: EngineHttp;
  readonly #fields = new Map<string, Readonly<Record<string, unknown>>>();

  constructor(options: EngineDialogueOptions) {
    this.#options = options;
    const { url, connectTo: address, token } = options;
    this.#http = new EngineHttp({ url, addresses: [address], token, timeoutMs: ASK_TIMEOUT_MS });
  }

  /** What requests for its adapters carry: the same object, however they change. */
  get fieldsOfModels(): FieldsOfModels {
    return this.#fields;
  }

  /** Null: it does not say. */
  async load(): Promise<EngineLoad | null> {
    const { dialect, model } = this.#options;
    const { metricsPath } = ENGINE_PROFILES[dialect];
    if (metricsPath === null) return null;
    const reply = await this.#http.get(metricsPath);
    return reply.kind === 'answer' && reply.status === 200 ? readLoad(dialect, reply.text, model) : null;
  }

  /** @throws EngineError */
  async setAdapters(wanted: readonly AdapterWish[]): Promise<void> {
    const { engine, dialect, model, folder } = this.#options;
    const file = join(folder, 'adapters.json');
    const loaded = await readAdapters(file);
    const note = (adapters: readonly AdapterReference[]) => writeFile(file, JSON.stringify(adapters), { mode: 0o600 });
    const call = { http: this.#http, wanted, loaded, kept: [], base: model, timeoutMs: ADAPTER_TIMEOUT_MS, note };
    const fields = await applyAdapters(dialect, engine, call);
    this.#fields.clear();
    for (const [name, each] of fields) this.#fields.set(name, each);
  }

  async close(): Promise<void> {
    await this.#http.close();
  }
}

async function readAdapters(file: string): Promise<z.output<typeof adaptersSchema>> {
  try {
    return adaptersSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return [];
  }
}
