/**
 * How the admin API is asked: an answer is parsed by the route's own schema, a problem is thrown as `ProblemError`. Keeps
 * no state and never repeats a mutation.
 */
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { ANSWER_WAITS, type AnswerWaits, beginLongAnswer, SilentError } from './long-answer.ts';
import { type Problem, pageOf, problemSchema } from './problems.ts';

/** The API said no, or could not be reached (`problem` is then null). `message` is fit to be shown. */
export class ProblemError extends Error {
  constructor(
    message: string,
    readonly problem: Problem | null,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'ProblemError';
  }
}

const TIMEOUT_MS = 30_000;
const PAGES_MAX = 1_000;

export class AdminCaller {
  /** `url` without `/api/v1`; `token` is an admin key; `waits` are those of answers that are long. */
  constructor(
    private readonly url: string,
    private readonly token: string,
    private readonly waits: AnswerWaits = ANSWER_WAITS,
  ) {}

  /** Follows the pages of a list to its end. */
  protected async all<Item extends z.ZodType>(
    path: string,
    item: Item,
    filter: URLSearchParams = new URLSearchParams(),
  ): Promise<z.output<Item>[]> {
    const items: z.output<Item>[] = [];
    let after: string | null = null;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const query = new URLSearchParams(filter);
      query.set('limit', '200');
      if (after !== null) query.set('after', after);
      const answer: { items: z.output<Item>[]; next: string | null } = await this.call(
        'GET',
        `${path}?${query}`,
        pageOf(item),
      );
      items.push(...answer.items);
      if (answer.next === null) return items;
      after = answer.next;
    }
    throw new ProblemError(`${path} has more than ${PAGES_MAX * 200} entries; ask for a part of it.`, null);
  }

  protected call<Schema extends z.ZodType>(
    method: string,
    path: string,
    schema: Schema,
    body?: unknown,
    ifRevision?: number,
  ) {
    return this.send(method, path, schema, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(ifRevision === undefined ? {} : { 'if-match': `"${ifRevision}"` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  protected async send<Schema extends z.ZodType>(
    method: string,
    path: string,
    schema: Schema,
    init: RequestInit,
  ): Promise<z.output<Schema>> {
    const response = await this.request(method, path, init);
    const text = await response.text().catch((cause: unknown) => {
      throw this.unreachable(cause);
    });
    if (!response.ok) throw problemOf(response, text);
    const parsed = schema.safeParse(parseJson(text));
    if (parsed.success) return parsed.data;
    throw new ProblemError(
      `${method} ${path}: the answer is not of the shape this client knows. Do the versions match?`,
      null,
      {
        cause: parsed.error,
      },
    );
  }

  /**
   * A body of any length and duration, in pieces. One that is followed may be silent between two of them for as long as it
   * likes; any other is broken off after so long without one (`AnswerWaits`).
   */
  protected async stream(
    path: string,
    { signal, isFollowed = false }: { signal?: AbortSignal | undefined; isFollowed?: boolean },
  ): Promise<AsyncIterable<Uint8Array>> {
    const { waits } = this;
    const question = { url: this.urlOf(path), headers: this.authorization(), isFollowed, signal, waits };
    const answer = await beginLongAnswer(question).catch((cause: unknown) => {
      throw this.unreachable(cause);
    });
    const { statusCode: status = 0 } = answer;
    if (status >= 200 && status < 300) return this.pieces(answer);
    const pieces: Uint8Array[] = [];
    for await (const piece of this.pieces(answer)) pieces.push(piece);
    throw problemOf({ status, url: question.url }, Buffer.concat(pieces).toString());
  }

  /** A text that grows, in pieces that cut no character. */
  protected async *text(
    path: string,
    how: { signal?: AbortSignal | undefined; isFollowed?: boolean },
  ): AsyncGenerator<string> {
    const decoder = new TextDecoder();
    for await (const bytes of await this.stream(path, how)) yield decoder.decode(bytes, { stream: true });
    yield decoder.decode();
  }

  private async *pieces(answer: IncomingMessage): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of answer as AsyncIterable<Uint8Array>) yield piece;
    } catch (cause) {
      const what = cause instanceof SilentError ? `said nothing for ${cause.seconds} s` : 'broke off';
      throw new ProblemError(`The control plane at ${this.url} ${what} in the middle of its answer.`, null, { cause });
    }
  }

  private async request(method: string, path: string, init: RequestInit): Promise<Response> {
    const headers = { ...(init.headers as Record<string, string> | undefined), ...this.authorization() };
    try {
      return await fetch(this.urlOf(path), { ...init, method, headers, redirect: 'error' });
    } catch (cause) {
      throw this.unreachable(cause);
    }
  }

  private urlOf(path: string): string {
    return `${this.url.replace(/\/$/, '')}/api/v1${path}`;
  }

  private authorization(): { authorization: string } {
    return { authorization: `Bearer ${this.token}` };
  }

  private unreachable(cause: unknown): ProblemError {
    return new ProblemError(`The control plane at ${this.url} does not answer. Is it running?`, null, { cause });
  }
}

function problemOf(response: Pick<Response, 'status' | 'url'>, text: string): ProblemError {
  const parsed = problemSchema.safeParse(parseJson(text));
  if (!parsed.success) return new ProblemError(`HTTP ${response.status} from ${response.url}, not from Atoll`, null);
  return new ProblemError(wordsOf(parsed.data), parsed.data);
}

/** Title, detail, and the fields at fault, each once: the detail of a problem with fields begins with the first of them. */
function wordsOf({ title, detail, errors = [] }: Problem): string {
  const faults = errors.map(({ field, message }) => `${field}: ${message}`);
  const isSaid = faults[0] !== undefined && detail.startsWith(faults[0]);
  if (isSaid && faults.length === 1) return `${title}: ${detail}`;
  const lines = faults.map((fault) => `\n  ${fault}`).join('');
  return isSaid ? `${title}:${lines}` : `${title}: ${detail}${lines}`;
}

/** Undefined for an empty body, and for what is not JSON: something between us and the control plane answered. */
function parseJson(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A query of what is given; what is undefined is left out. */
export function queryOf(wanted: Readonly<Record<string, string | number | boolean | undefined>>): URLSearchParams {
  const entries = Object.entries(wanted).filter(([, value]) => value !== undefined);
  return new URLSearchParams(entries.map(([key, value]): [string, string] => [key, String(value)]));
}
