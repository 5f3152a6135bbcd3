/**
 * How LoRA adapters are loaded beside a running base, and what selects one in a request: for each dialect that can, one
 * function in the table. The others say so.
 *
 * Sources: docs.vllm.ai features/lora ("Dynamically serving LoRA Adapters"); docs.sglang.io advanced_features/lora;
 * ggml-org/llama.cpp tools/server/README.md (`/lora-adapters`, and `lora` of a request).
 */
import { basename, dirname } from 'node:path';
import { z } from 'zod';
import type { AdapterReference } from '#domain';
import { adaptError, type DialectName, type FieldsOfModels } from '#inference';
import { EngineError } from '../../errors.ts';
import type { EngineHttp, EngineReply } from './engine-http.ts';

export type AdapterWish = AdapterReference & { readonly path: string };

export interface AdapterCall {
  readonly http: EngineHttp;
  readonly wanted: readonly AdapterWish[];
  /** What earlier calls loaded for this replica. */
  readonly loaded: readonly AdapterReference[];
  /** What is loaded for other replicas of the same engine, and so stays. */
  readonly kept: readonly AdapterReference[];
  /** What the engine calls the base. */
  readonly base: string;
  readonly timeoutMs: number;
  /**
   * Told what is loaded for this replica as it changes: before one is unloaded, and once one is loaded, so that what is
   * believed to be there is, wherever this ends. What is there and not noted is found when it is loaded again.
   */
  readonly note: (loaded: readonly AdapterReference[]) => Promise<void>;
}

/** Name of each wanted adapter → the fields of its requests. Throws EngineError when the engine cannot. */
type AdapterStrategy = (call: AdapterCall) => Promise<FieldsOfModels>;

const STRATEGIES: Readonly<Partial<Record<DialectName, AdapterStrategy>>> = {
  vllm: loadedByName('/v1/load_lora_adapter', '/v1/unload_lora_adapter', (name) => ({ model: name })),
  sglang: loadedByName('/load_lora_adapter', '/unload_lora_adapter', (name, base) => ({
    model: base,
    lora_path: name,
  })),
  llamacpp: chosenByScale,
};

/** Makes what is wanted, and nothing else that we loaded, what is loaded. */
export async function applyAdapters(dialect: DialectName, engine: string, call: AdapterCall): Promise<FieldsOfModels> {
  const strategy = STRATEGIES[dialect];
  if (strategy !== undefined) return strategy(call);
  if (call.wanted.length === 0) return new Map();
  throw new EngineError(
    `Adapter ${call.wanted[0]!.name} cannot be loaded: ${engine} speaks ${dialect}, which loads none at run time.`,
  );
}

/** One call a name. What has another version by now is unloaded first. */
function loadedByName(
  loadPath: string,
  unloadPath: string,
  fieldsOf: (name: string, base: string) => Readonly<Record<string, unknown>>,
): AdapterStrategy {
  return async ({ http, wanted, loaded, kept, base, timeoutMs, note }) => {
    const isSame = (left: AdapterReference, right: AdapterReference) =>
      left.name === right.name && left.versionDigest === right.versionDigest;
    const isAmong = (one: AdapterReference, list: readonly AdapterReference[]) =>
      list.some((each) => isSame(each, one));
    const unload = (name: string) => http.post(unloadPath, { lora_name: name }, timeoutMs);
    const load = async (wish: AdapterWish) => {
      const ask = () => http.post(loadPath, { lora_name: wish.name, lora_path: wish.path }, timeoutMs);
      let reply = await ask();
      // One that we loaded and could not note: which version it has is not known.
      if (/already (been )?loaded/i.test(wordsOf(reply))) {
        await unload(wish.name);
        reply = await ask();
      }
      if (!isDone(reply)) throw refusedAdapter(wish, reply);
    };
    let held = loaded;
    for (const each of loaded.filter((one) => !isAmong(one, wanted))) {
      held = held.filter((one) => one !== each);
      await note(held);
      if (!isAmong(each, kept)) await unload(each.name);
    }
    for (const wish of wanted.filter((one) => !isAmong(one, loaded))) {
      if (!isAmong(wish, kept)) await load(wish);
      held = [...held, referenceOf(wish)];
      await note(held);
    }
    return new Map(wanted.map(({ name }) => [name, fieldsOf(name, base)]));
  };
}

const scalesSchema = z.array(z.object({ id: z.int(), path: z.string() })).max(1_000);

/**
 * llama.cpp loads adapters when it starts and weighs them at run time: all of them to zero, so that the base is the base,
 * and each request for an adapter weighs its own to one.
 */
async function chosenByScale({ http, wanted, timeoutMs, note }: AdapterCall): Promise<FieldsOfModels> {
  const reply = await http.get('/lora-adapters');
  const parsed = scalesSchema.safeParse(reply.kind === 'answer' ? parseJson(reply.text) : undefined);
  if (!parsed.success) {
    if (wanted.length === 0) return new Map();
    throw refusedAdapter(wanted[0]!, reply);
  }
  const ids = wanted.map((wish) => {
    const found = parsed.data.find(({ path }) => isWithin(path, wish.path));
    if (found !== undefined) return [wish.name, { lora: [{ id: found.id, scale: 1 }] }] as const;
    const advice = `start it with --lora ${wish.path}`;
    throw new EngineError(
      `Adapter ${wish.name} cannot be loaded: llama.cpp loads adapters only when it starts; ${advice}.`,
    );
  });
  const scales = parsed.data.map(({ id }) => ({ id, scale: 0 }));
  const set = scales.length === 0 ? null : await http.post('/lora-adapters', scales, timeoutMs);
  if (set !== null && !isDone(set) && wanted.length > 0) throw refusedAdapter(wanted[0]!, set);
  await note(wanted.map(referenceOf));
  return new Map(ids);
}

/**
 * An adapter is a file, or the only one of its kind in a version's folder, which may be mounted elsewhere for the engine.
 * The file's name alone proves nothing: adapters of all versions are called alike.
 */
function isWithin(file: string, wished: string): boolean {
  const [folder, wishedFolder] = [basename(dirname(file)), basename(dirname(wished))];
  return (
    file === wished ||
    folder === basename(wished) ||
    (folder === wishedFolder && folder !== '' && basename(file) === basename(wished))
  );
}

function referenceOf({ name, versionDigest }: AdapterReference): AdapterReference {
  return { name, versionDigest };
}

/** SGLang answers 200 with `success: false` too. */
function isDone(reply: EngineReply): boolean {
  if (reply.kind !== 'answer' || reply.status !== 200) return false;
  const parsed = parseJson(reply.text) as { readonly success?: unknown } | undefined;
  return parsed?.success !== false;
}

function refusedAdapter({ name }: AdapterWish, reply: EngineReply): EngineError {
  return new EngineError(`Adapter ${name} cannot be loaded: ${wordsOf(reply)}`);
}

function wordsOf(reply: EngineReply): string {
  if (reply.kind === 'refused') return 'the engine is not there (connection refused).';
  if (reply.kind === 'unanswered') return `the engine did not answer: ${reply.reason}.`;
  const { error_message: said, detail } = (parseJson(reply.text) ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof said === 'string' && said !== '') return said;
  // FastAPI's words for a path that it does not have.
  if (reply.status === 405 || (reply.status === 404 && detail === 'Not Found')) {
    return `the engine has no way to load one (${reply.status}): it must be started so that it allows it.`;
  }
  return adaptError(reply.status, Buffer.from(reply.text)).body.error.message;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}
