// Server-sent events of the OpenAI dialect: writing them, and watching a stream of them go by.
// Invariant (R14): a stream that did not end with `[DONE]` is broken, and says so by an error event without `[DONE]`.
import { adaptError } from './dialects/adapt-error.ts';
import type { OpenAiErrorBody } from './errors.ts';
import { readUsage, type Usage } from './usage.ts';

export const sseContentType = 'text/event-stream; charset=utf-8';
export const sseDone = 'data: [DONE]\n\n';

/** One chunk as an event. JSON has no raw line breaks, so one `data:` line always suffices. */
export function sseEvent(payload: unknown): string {
  return `data: ${JSON.stringify(payload)}\n\n`;
}

/** The event that ends a broken stream. The connection is closed after it, and `[DONE]` never follows. */
export function sseError(body: OpenAiErrorBody): string {
  return sseEvent(body);
}

/**
 * What a scanner has seen so far:
 * `open` nothing special, `done` a `[DONE]`, `error` the upstream's own error event, `malformed` an event whose data is
 * not JSON, or one beyond the size bound.
 */
export type SseVerdict = 'open' | 'done' | 'error' | 'malformed';

/** Default bound on one event. */
export const eventBytesMaxDefault = 1024 * 1024;
const nothing = Buffer.alloc(0);

/**
 * Watches an SSE stream pass. `push` hands back the bytes to forward: whole events only, unchanged and in order, so
 * that what follows (an error event of ours) can never be glued to half an event. A half event waits for its rest,
 * which costs the client nothing, since it could not read it either. Once the verdict is `malformed` or `error`, no
 * byte more is handed out. The one event that is written anew is an error in a shape that is not OpenAI's.
 */
export class SseScanner {
  verdict: SseVerdict = 'open';
  /** The last usage object that went by. */
  usage: Usage | null = null;
  /** Events with something generated in them: about one a token, where the engine does not count. */
  contentEvents = 0;
  #pending: Buffer = nothing;
  readonly #eventBytesMax: number;
  readonly #hidesUsageEvent: boolean;

  /** `hidesUsageEvent`: an event that holds nothing but the usage is read and not handed out. */
  constructor(eventBytesMax = eventBytesMaxDefault, hidesUsageEvent = false) {
    this.#eventBytesMax = eventBytesMax;
    this.#hidesUsageEvent = hidesUsageEvent;
  }

  /** Takes the next chunk; gives back what may be forwarded now, which may be empty. */
  push(chunk: Buffer): Buffer {
    if (this.#over) return nothing;
    const whole = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const end = endOfLastEvent(whole);
    this.#pending = end === whole.length ? nothing : whole.subarray(end);
    if (this.#pending.length > this.#eventBytesMax) {
      this.verdict = 'malformed';
      this.#pending = nothing;
    }
    return end === 0 ? nothing : this.#read(end === whole.length ? whole : whole.subarray(0, end));
  }

  /** The stream is over: gives back a last event that lacked its blank line (completed), or nothing. */
  flush(): Buffer {
    if (this.#pending.length === 0 || this.#over) return nothing;
    const rest = Buffer.concat([this.#pending, Buffer.from('\n\n')]);
    this.#pending = nothing;
    return this.#read(rest);
  }

  get #over(): boolean {
    return this.verdict === 'malformed' || this.verdict === 'error';
  }

  #read(events: Buffer): Buffer {
    // latin1 is the cheapest decoding, and JSON is as valid in it as in UTF-8: the bytes above 127 are all in strings.
    const text = events.toString('latin1');
    const hasCarriageReturns = text.includes('\r');
    const kept: Buffer[] = [];
    let [keptTo, start] = [0, 0];
    while (start < text.length) {
      const end = nextBoundary(text, start, hasCarriageReturns);
      const kind = this.#readEvent(text, start, end);
      if (kind === 'malformed') {
        this.verdict = 'malformed';
        return joined(kept, events.subarray(keptTo, start));
      }
      // What an upstream sends after its own error event (some send `[DONE]`) would make the break look clean.
      if (this.verdict === 'error') return joined(kept, withNestedError(events.subarray(keptTo, end), start - keptTo));
      if (kind === 'usage-only' && this.#hidesUsageEvent) {
        kept.push(events.subarray(keptTo, start));
        keptTo = end;
      }
      start = end;
    }
    return joined(kept, keptTo === 0 ? events : events.subarray(keptTo));
  }

  #readEvent(text: string, start: number, end: number): 'read' | 'usage-only' | 'malformed' {
    const event = text.slice(start, end);
    const payload = dataOf(event) || bareErrorOf(event);
    if (payload === '') return 'read';
    if (payload === '[DONE]') {
      if (this.verdict === 'open') this.verdict = 'done';
      return 'read';
    }
    let value: unknown;
    try {
      value = JSON.parse(payload);
    } catch {
      return 'malformed';
    }
    if (typeof value !== 'object' || value === null) return 'read';
    if (isError(value)) this.verdict = 'error';
    const usage = readUsage(value);
    this.usage = usage ?? this.usage;
    const isEmpty = 'choices' in value && Array.isArray(value.choices) && value.choices.length === 0;
    if (!isEmpty) this.contentEvents += 1;
    return isEmpty && usage !== null ? 'usage-only' : 'read';
  }
}

/** OpenAI's shape, and the flat one of vLLM before 0.10 and LMDeploy, after which some of them say `[DONE]`. */
function isError(value: object): boolean {
  return ('error' in value && value.error !== null) || isFlatError(value);
}

function isFlatError(value: object): boolean {
  return 'object' in value && value.object === 'error';
}

/** Ollama writes an error in the middle of a stream as bare JSON (its middleware/openai.go), which no client reads. */
function bareErrorOf(event: string): string {
  const text = event.trim();
  return text.startsWith('{"error"') && text.endsWith('}') ? text : '';
}

/** `events` end with an error event, which clients know in OpenAI's shape only: a flat or bare one is written anew. */
function withNestedError(events: Buffer, start: number): Buffer {
  const event = events.toString('utf8', start);
  const isBare = dataOf(event) === '';
  const payload = isBare ? bareErrorOf(event) : dataOf(event);
  const value = JSON.parse(payload) as { readonly code?: unknown };
  if (!isBare && !isFlatError(value)) return events;
  const status = typeof value.code === 'number' && value.code >= 400 && value.code < 600 ? value.code : 500;
  return Buffer.concat([
    events.subarray(0, start),
    Buffer.from(sseError(adaptError(status, Buffer.from(payload)).body)),
  ]);
}

function joined(kept: readonly Buffer[], rest: Buffer): Buffer {
  return kept.length === 0 ? rest : Buffer.concat([...kept, rest]);
}

function endOfLastEvent(bytes: Buffer): number {
  const plain = bytes.lastIndexOf('\n\n');
  const carriage = bytes.lastIndexOf('\n\r\n');
  return Math.max(plain === -1 ? 0 : plain + 2, carriage === -1 ? 0 : carriage + 3);
}

function nextBoundary(text: string, start: number, hasCarriageReturns: boolean): number {
  const plain = text.indexOf('\n\n', start);
  if (!hasCarriageReturns) return plain === -1 ? text.length : plain + 2;
  const carriage = text.indexOf('\n\r\n', start);
  const plainEnd = plain === -1 ? text.length : plain + 2;
  const carriageEnd = carriage === -1 ? text.length : carriage + 3;
  return Math.min(plainEnd, carriageEnd);
}

function dataOf(event: string): string {
  if (event.startsWith('data: ') && event.indexOf('\n') >= event.length - 2) return event.slice(6).trim();
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith('data:'));
  return lines
    .map((line) => line.slice(line.startsWith('data: ') ? 6 : 5))
    .join('\n')
    .trim();
}
