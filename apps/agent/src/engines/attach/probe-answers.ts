/**
 * What an attached engine's answers say of it, in words for who configured it. Pure.
 *
 * An engine that was never seen ready is waited for (`starting`), whatever keeps it away; one that was, is `gone` as soon
 * as nobody listens there any more and `silent` while it does not answer. What waiting cannot mend (a token that is
 * refused, a server of another kind, a model that is not there) is `gone` at once, with what to change.
 */
import { z } from 'zod';
import type { EngineState } from '../engine-adapter.ts';
import type { EngineReply } from './engine-http.ts';

type Unready = Extract<EngineState, { readonly state: 'starting' | 'silent' | 'gone' }>;

export interface ProbeContext {
  /** Name of the engine in the configuration. */
  readonly engine: string;
  readonly url: string;
  readonly hasToken: boolean;
  readonly wasReady: boolean;
}

export interface ModelWish {
  readonly servedModel: string;
  /** What the configuration says that the engine calls it. */
  readonly model?: string;
  readonly hasTags: boolean;
}

const MODELS_NAMED_MAX = 10;
const LOADING = new Set([503, 425]);

/** `parent`: the base of an adapter (vLLM, SGLang), which is no model of its own. */
const modelsSchema = z.object({
  data: z.array(z.object({ id: z.string().min(1), parent: z.string().nullish() })).max(10_000),
});

/** Null: it is well. */
export function judgeHealth(reply: EngineReply, context: ProbeContext): Unready | null {
  const fault = judgeReply(reply, context);
  if (fault !== null || reply.kind !== 'answer') return fault;
  if (reply.status >= 200 && reply.status < 300) return null;
  if (LOADING.has(reply.status))
    return away(context, `${context.engine} says that it is not ready yet (${reply.status})`);
  if (reply.status === 404) {
    return gone(context, 'has no such page for its health: set healthPath to one that it has, or another dialect');
  }
  return away(context, `${context.engine} says that it is not well (${reply.status})`);
}

/** The name by which the engine knows the model; a state when it does not. */
export function judgeModels(
  reply: EngineReply,
  context: ProbeContext,
  wish: ModelWish,
): Unready | { readonly state: 'listed'; readonly model: string } {
  const fault = judgeReply(reply, context);
  if (fault !== null) return fault;
  const { status, text } = reply as Extract<EngineReply, { readonly kind: 'answer' }>;
  if (LOADING.has(status)) return away(context, `${context.engine} says that it is not ready yet (${status})`);
  if (status >= 500) return away(context, `${context.engine} answers ${status} when asked for its models`);
  if (status !== 200) return gone(context, `is not an OpenAI server: it answers ${status} when asked for its models`);
  const parsed = modelsSchema.safeParse(parseJson(text));
  if (!parsed.success) return gone(context, 'is not an OpenAI server: its list of models is none');
  const listed = parsed.data.data.filter(({ parent }) => typeof parent !== 'string' || parent === '');
  return chooseModel(
    listed.map(({ id }) => id),
    context,
    wish,
  );
}

/** What any answer, or none, says before its content is looked at. */
function judgeReply(reply: EngineReply, context: ProbeContext): Unready | null {
  const { engine, url, wasReady, hasToken } = context;
  if (reply.kind === 'refused') {
    const reason = `${engine} is not there: nothing listens at ${url} (connection refused)`;
    return wasReady ? { state: 'gone', reason } : { state: 'starting', reason };
  }
  if (reply.kind === 'unanswered') return away(context, `${engine} does not answer at ${url}: ${reply.reason}`);
  if (reply.status === 401 || reply.status === 403) {
    const advice = hasToken ? 'the token in tokenFile is not the one that it wants' : 'it wants a token: set tokenFile';
    return gone(context, `refuses us (${reply.status}): ${advice}`);
  }
  if (reply.status >= 300 && reply.status < 400) {
    return gone(
      context,
      `redirects to ${reply.location || 'elsewhere'}, which is not followed: set url to where it is`,
    );
  }
  return null;
}

function chooseModel(
  listed: readonly string[],
  context: ProbeContext,
  { servedModel, model, hasTags }: ModelWish,
): Unready | { readonly state: 'listed'; readonly model: string } {
  const find = (name: string) => listed.find((id) => id === name || (hasTags && id === `${name}:latest`));
  const found = find(model ?? servedModel) ?? (model === undefined && listed.length === 1 ? listed[0] : undefined);
  if (found !== undefined) return { state: 'listed', model: found };
  const more = listed.length > MODELS_NAMED_MAX ? ` and ${listed.length - MODELS_NAMED_MAX} more` : '';
  const has = listed.length === 0 ? 'it has none' : `it has ${listed.slice(0, MODELS_NAMED_MAX).join(', ')}${more}`;
  const advice = model === undefined && listed.length > 0 ? '; set model to the one that is meant' : '';
  return gone(context, `does not list the model '${model ?? servedModel}': ${has}${advice}`);
}

function away({ wasReady }: ProbeContext, reason: string): Unready {
  return wasReady ? { state: 'silent', reason } : { state: 'starting', reason };
}

function gone({ engine, url }: ProbeContext, what: string): Unready {
  return { state: 'gone', reason: `${engine} at ${url} ${what}.` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
