// What of a request says where it is best served: the session that it belongs to and how its prompt begins.
import type { IncomingHttpHeaders } from 'node:http';
import { promptBlocks, promptPieces } from '#routing';

export interface Prompt {
  /** Null: it belongs to none. */
  readonly sessionId: string | null;
  readonly blocks: readonly number[];
  /** Estimated. */
  readonly promptTokens: number;
  /** The answer comes as a stream. */
  readonly isStream: boolean;
  /** What the client calls the model; '' when it does not say. */
  readonly model: string;
}

const SESSION_LENGTH_MAX = 512;
const BYTES_A_TOKEN = 4;

/** `x-atoll-session`, else the body's `prompt_cache_key`, else its `user`. */
export function readPrompt(headers: IncomingHttpHeaders, body: Readonly<Record<string, unknown>>): Prompt {
  const candidates = [headers['x-atoll-session'], body.prompt_cache_key, body.user];
  const isSession = (each: unknown) => typeof each === 'string' && each !== '' && each.length <= SESSION_LENGTH_MAX;
  return {
    sessionId: (candidates.find(isSession) as string | undefined) ?? null,
    ...promptBlocks(promptPieces(body)),
    isStream: body.stream === true,
    model: typeof body.model === 'string' ? body.model : '',
  };
}

/** Of a body that nobody has parsed: one `JSON.parse`, and what is no object says nothing but its size. */
export function readPromptOf(headers: IncomingHttpHeaders, body: Buffer): Prompt {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value === 'object' && value !== null) return readPrompt(headers, value as Record<string, unknown>);
  } catch {
    // The engine refuses it in its own words.
  }
  return unreadPrompt(body);
}

/** Where only one replica can answer, and it has no adapters, nothing hangs on what the prompt says. */
export function unreadPrompt(body: Buffer): Prompt {
  const promptTokens = Math.ceil(body.length / BYTES_A_TOKEN);
  return { sessionId: null, blocks: [], promptTokens, isStream: false, model: '' };
}
