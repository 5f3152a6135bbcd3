/**
 * A request's bytes as an engine wants them. Where nothing is to be changed the very Buffer comes back, unparsed if that
 * can be known before: the original bytes are forwarded wherever they can be (docs on the data path say why).
 */
import type { InferenceSurface } from '../routing-fields.ts';
import { type Dialect, dialectOf } from './dialects.ts';
import { type RequestBody, withStreamUsage } from './request-rules.ts';

/** Fields that a request for a model gets: `model` itself where the engine calls it otherwise, and what selects an adapter. */
export type FieldsOfModels = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

export interface AdaptOptions {
  /** What the engine calls the model; absent: as the client does. */
  readonly upstreamModel?: string;
  /** Of adapters, by the name that clients use. A model that is here is not renamed to `upstreamModel`. */
  readonly fieldsOfModels?: FieldsOfModels;
  /** Asks streams for their usage, so that they can be accounted for. Default false. */
  readonly includeUsage?: boolean;
}

/**
 * Adapts a request that has been checked (`readRoutingFields`). What is no JSON object is handed back as it is: the engine
 * refuses it in its own words. Whole numbers beyond 2^53 keep every digit.
 */
export function adaptRequest(
  dialect: string | undefined,
  surface: InferenceSurface,
  body: Buffer,
  options: AdaptOptions = {},
): Buffer {
  const row = dialectOf(dialect);
  if (!mayChange(row, surface, options)) return body;
  const parsed = parseBody(body);
  if (parsed === null) return body;
  const adapted = adaptBody(row, surface, parsed, options);
  return adapted === parsed ? body : Buffer.from(JSON.stringify(adapted));
}

function mayChange(row: Dialect, surface: InferenceSurface, options: AdaptOptions): boolean {
  const { upstreamModel, fieldsOfModels, includeUsage } = options;
  return (
    rulesOf(row, surface).length > 0 || upstreamModel !== undefined || !!fieldsOfModels?.size || includeUsage === true
  );
}

function adaptBody(row: Dialect, surface: InferenceSurface, body: RequestBody, options: AdaptOptions): RequestBody {
  const asked =
    options.includeUsage === true && row.streamUsage === 'on-request' ? withStreamUsage(body, surface) : body;
  return withModel(
    rulesOf(row, surface).reduce((before, rule) => rule(before, surface), asked),
    options,
  );
}

function rulesOf(row: Dialect, surface: InferenceSurface): Dialect['chatRules'] {
  return surface === 'chat' ? row.chatRules : row.completionRules;
}

function withModel(body: RequestBody, { upstreamModel, fieldsOfModels }: AdaptOptions): RequestBody {
  const fields = typeof body.model === 'string' ? fieldsOfModels?.get(body.model) : undefined;
  if (fields !== undefined) return { ...body, ...fields };
  return upstreamModel === undefined || body.model === upstreamModel ? body : { ...body, model: upstreamModel };
}

/** What JSON.parse tells of a primitive's text, which TypeScript's library does not know yet. */
type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown };
const mayHoldLargeNumber = /\d{16}/;

const keepingDigits: Reviver = (_key, value, { source }) =>
  typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value) && source !== undefined
    ? rawJSON(source)
    : value;

function parseBody(body: Buffer): RequestBody | null {
  const text = body.toString('utf8');
  try {
    const value: unknown = mayHoldLargeNumber.test(text) ? JSON.parse(text, keepingDigits as never) : JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as RequestBody) : null;
  } catch {
    return null;
  }
}
