// The Kubernetes API as the agent uses it: objects of a few kinds, in one namespace, by plain HTTP.
//
// Bounds: each try of a call ends after `timeoutMs`, and a call makes at most TRIES_MAX of them. 429, 500, 503, 504 and a
// connection that breaks are tried again after a growing, jittered wait, or after what `Retry-After` says; all that is
// sent may come twice (server-side apply, deletion by uid). What is left then is thrown as KubernetesError, and the caller
// looks at the whole again later.
import { setTimeout as delay } from 'node:timers/promises';
import { type Dispatcher, request } from 'undici';
import { KubernetesError, messageOf } from '../errors.ts';
import type { KubernetesConnection } from './connection.ts';
import { KINDS, type Kind, type KubernetesObject, pathOf } from './kinds.ts';
import { isOwned, ownershipLabels, selectorOf } from './names.ts';

export const FIELD_MANAGER = 'atoll-agent';
const TRIES_MAX = 5;
const PAGE_OBJECTS = 500;
const RETRY_AFTER_MS_MAX = 30_000;
const BODY_BYTES_MAX = 64 * 1_048_576;
/** What the API server offers is asked again after so long: a CRD may come or go (R8). */
const DISCOVERY_MS = 60_000;

export interface KubernetesApiOptions {
  readonly connection: KubernetesConnection;
  readonly namespace: string;
  /** Of our objects: the agent's public key. */
  readonly agent: string;
  /** Of one try. Default 15 s. */
  readonly timeoutMs?: number;
  /** First wait between tries; it doubles. Default 200 ms. */
  readonly retryMs?: number;
  /** 0..1, for jitter. Default Math.random. */
  readonly random?: () => number;
}

export interface ListOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface ObjectList {
  readonly items: readonly KubernetesObject[];
  readonly resourceVersion: string;
}

export interface LogOptions {
  readonly container?: string;
  readonly tailLines?: number;
  readonly limitBytes?: number;
  /** Of the container before the last restart. */
  readonly previous?: boolean;
}

interface Call {
  readonly method: 'GET' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly text: string;
}

export class KubernetesApi {
  readonly #options: KubernetesApiOptions;
  readonly #ending = new AbortController();
  #serverNowMs = Date.now();
  #offered: { readonly atMs: number; readonly groups: Promise<ReadonlySet<string>> } | undefined;

  constructor(options: KubernetesApiOptions) {
    this.#options = options;
  }

  get namespace(): string {
    return this.#options.namespace;
  }

  get agent(): string {
    return this.#options.agent;
  }

  /** What the API server's clock said at its last answer; ours before the first one. To the second. */
  get serverNowMs(): number {
    return this.#serverNowMs;
  }

  /** Calls under way end, waits between tries too. */
  close(): void {
    this.#ending.abort();
  }

  async get(kind: Kind, name: string): Promise<KubernetesObject | null> {
    const answer = await this.#call({ method: 'GET', path: pathOf(kind, this.namespace, name) });
    return answer.status === 404 ? null : (parsed(answer) as KubernetesObject);
  }

  /** All pages, as of one moment: a list that expires half way is begun again. */
  async list(kind: Kind, options: ListOptions = {}): Promise<ObjectList> {
    for (let pass = 1; ; pass += 1) {
      try {
        return await this.#listPages(kind, options);
      } catch (cause) {
        if (!(cause instanceof KubernetesError && cause.isExpired) || pass >= TRIES_MAX) throw cause;
      }
    }
  }

  /**
   * Server-side apply, whole: what an earlier apply of ours had set and this one does not is removed. A field that another
   * manager owns is taken over in an object of ours, and nowhere else.
   * @throws KubernetesError with `conflicts` in an object that is not ours
   */
  async apply(kind: Kind, object: KubernetesObject): Promise<KubernetesObject> {
    const name = object.metadata!.name!;
    try {
      return await this.#apply(kind, name, object, false);
    } catch (cause) {
      if (!(cause instanceof KubernetesError) || cause.conflicts.length === 0) throw cause;
      const live = await this.get(kind, name);
      if (live !== null && !isOwned(live, this.agent)) throw cause;
      return this.#apply(kind, name, object, true);
    }
  }

  /** Sets annotations and leaves all else. False: there is no such object. */
  annotate(kind: Kind, name: string, annotations: Readonly<Record<string, string>>): Promise<boolean> {
    return this.merge(kind, name, { metadata: { annotations } });
  }

  /** Sets what `patch` has and leaves all else. False: there is no such object. */
  async merge(kind: Kind, name: string, patch: object): Promise<boolean> {
    const answer = await this.#call({
      method: 'PATCH',
      path: pathOf(kind, this.namespace, name),
      query: { fieldManager: FIELD_MANAGER },
      contentType: 'application/merge-patch+json',
      body: patch,
    });
    if (answer.status !== 404) parsed(answer);
    return answer.status !== 404;
  }

  /**
   * Asks for the removal of this very object, with all that it owns; done when `get` finds it no more. Nothing happens
   * when it is gone, or when another one has its name by now. Pods get the grace that is written in them.
   */
  async remove(kind: Kind, object: KubernetesObject): Promise<void> {
    const { name, uid } = object.metadata ?? {};
    if (!isOwned(object, this.agent)) throw new KubernetesError(0, '', `${kind.kind} ${name} is not this agent's.`);
    const answer = await this.#call({
      method: 'DELETE',
      path: pathOf(kind, this.namespace, name!),
      body: {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy: 'Foreground',
        preconditions: { uid },
      },
    });
    if (answer.status !== 404 && answer.status !== 409) parsed(answer);
  }

  async podLog(pod: string, { container, tailLines, limitBytes, previous }: LogOptions = {}): Promise<string> {
    const path = pathOf(KINDS.podLog, this.namespace, pod);
    const answer = await this.#call({ method: 'GET', path, query: { container, tailLines, limitBytes, previous } });
    if (answer.status >= 400) throw errorOf(answer);
    return answer.text;
  }

  /** Whether the server has this kind, or has had it a minute ago. */
  async offers(kind: Kind): Promise<boolean> {
    if (!kind.apiVersion.includes('/')) return true;
    const now = performance.now();
    if (this.#offered === undefined || now - this.#offered.atMs > DISCOVERY_MS) {
      const groups = this.#discover();
      this.#offered = { atMs: now, groups };
      groups.catch(() => {
        this.#offered = undefined;
      });
    }
    return (await this.#offered.groups).has(kind.apiVersion);
  }

  /** The lines of a watch. The stream ends with an error when nothing comes for `silentMsMax`. @throws KubernetesError */
  async *watchLines(
    kind: Kind,
    query: Call['query'],
    silentMsMax: number,
    signal: AbortSignal,
  ): AsyncGenerator<string> {
    const ended = AbortSignal.any([signal, this.#ending.signal]);
    const path = pathOf(kind, this.namespace);
    const response = await this.#send({ method: 'GET', path, query, signal: ended }, silentMsMax);
    if (response.statusCode !== 200) throw errorOf(await readAnswer(response));
    let rest = '';
    response.body.setEncoding('utf8');
    for await (const chunk of response.body) {
      const lines = (rest + (chunk as string)).split('\n');
      rest = lines.pop()!;
      if (rest.length > BODY_BYTES_MAX) throw new KubernetesError(0, '', 'An event of a watch is too long.');
      yield* lines.filter((line) => line.trim() !== '');
    }
  }

  async #listPages(kind: Kind, options: ListOptions): Promise<ObjectList> {
    const items: KubernetesObject[] = [];
    for (let next: string | undefined; ; ) {
      const query = { ...options, limit: PAGE_OBJECTS, continue: next };
      const answer = await this.#call({ method: 'GET', path: pathOf(kind, this.namespace), query });
      const page = parsed(answer) as {
        items?: KubernetesObject[];
        metadata: { resourceVersion: string; continue?: string };
      };
      // Objects in a list do not say what they are.
      for (const each of page.items ?? []) items.push({ apiVersion: kind.apiVersion, kind: kind.kind, ...each });
      next = page.metadata.continue || undefined;
      if (next === undefined) return { items, resourceVersion: page.metadata.resourceVersion };
    }
  }

  async #apply(kind: Kind, name: string, object: KubernetesObject, force: boolean): Promise<KubernetesObject> {
    const answer = await this.#call({
      method: 'PATCH',
      path: pathOf(kind, this.namespace, name),
      query: { fieldManager: FIELD_MANAGER, force },
      contentType: 'application/apply-patch+yaml',
      // JSON is YAML.
      body: object,
    });
    return parsed(answer) as KubernetesObject;
  }

  async #discover(): Promise<ReadonlySet<string>> {
    const { groups = [] } = parsed(await this.#call({ method: 'GET', path: '/apis' })) as {
      groups?: { versions?: { groupVersion: string }[] }[];
    };
    return new Set(groups.flatMap(({ versions = [] }) => versions.map(({ groupVersion }) => groupVersion)));
  }

  /** Tries again what may pass. 404 and conflicts are for the caller. */
  async #call(call: Call): Promise<Answer> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#try(call).catch((cause: unknown) => cause as KubernetesError);
      const isFailed = answer instanceof KubernetesError;
      if (!isFailed && !mayPass(answer)) return answer;
      if (attempt >= TRIES_MAX || this.#ending.signal.aborted) throw isFailed ? answer : errorOf(answer);
      const waitMs = this.#waitMs(attempt, isFailed ? undefined : answer.retryAfter);
      await delay(waitMs, undefined, { signal: this.#ending.signal }).catch(() => undefined);
    }
  }

  #waitMs(attempt: number, retryAfter: string | undefined): number {
    const { retryMs = 200, random = Math.random } = this.#options;
    const asked = Number(retryAfter);
    const jitter = 0.5 + random();
    if (retryAfter !== undefined && asked > 0) return Math.min(RETRY_AFTER_MS_MAX, asked * 1000 * (1 + random() * 0.1));
    return retryMs * 2 ** (attempt - 1) * jitter;
  }

  async #try(call: Call): Promise<Answer> {
    const { timeoutMs = 15_000 } = this.#options;
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#ending.signal]);
    const response = await this.#send({ ...call, signal }, timeoutMs);
    const saidAtMs = Date.parse(String(response.headers.date));
    if (Number.isFinite(saidAtMs)) this.#serverNowMs = saidAtMs;
    return readAnswer(response).catch(unreachable);
  }

  async #send(call: Call, bodyTimeout: number): Promise<Dispatcher.ResponseData> {
    const { connection, timeoutMs = 15_000 } = this.#options;
    const { headers, dispatcher } = await connection.credentials();
    const url = new URL((await connection.server()) + call.path);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    return request(url, {
      method: call.method,
      headers: {
        accept: 'application/json',
        'user-agent': FIELD_MANAGER,
        ...(call.body === undefined ? {} : { 'content-type': call.contentType ?? 'application/json' }),
        ...headers,
      },
      body: call.body === undefined ? undefined : JSON.stringify(call.body),
      dispatcher,
      signal: call.signal,
      headersTimeout: timeoutMs,
      bodyTimeout,
    }).catch(unreachable);
  }
}

/** Objects of ours of this kind, whatever they are for. */
export function ownedSelector(api: KubernetesApi, ...keys: readonly string[]): string {
  return selectorOf(ownershipLabels(api.agent), ...keys);
}

async function readAnswer({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<Answer> {
  const retryAfter = headers['retry-after'];
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body) {
    pieces.push(piece as Buffer);
    bytes += (piece as Buffer).length;
    if (bytes > BODY_BYTES_MAX)
      throw new KubernetesError(statusCode, '', 'An answer of the Kubernetes API is too long.');
  }
  const text = Buffer.concat(pieces).toString('utf8');
  return { status: statusCode, retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined, text };
}

/** A conflict over a field is for the caller; one over a resource version is made again on what is there by now. */
function mayPass(answer: Answer): boolean {
  if ([429, 500, 502, 503, 504].includes(answer.status)) return true;
  return answer.status === 409 && /the object has been modified/.test(errorOf(answer).message);
}

function parsed(answer: Answer): unknown {
  if (answer.status >= 400) throw errorOf(answer);
  try {
    return JSON.parse(answer.text);
  } catch (cause) {
    throw new KubernetesError(answer.status, '', 'The Kubernetes API answered something that is no JSON.', { cause });
  }
}

interface StatusBody {
  readonly reason?: string;
  readonly message?: string;
  readonly code?: number;
  readonly details?: { readonly causes?: readonly { reason?: string; message?: string; field?: string }[] };
}

function errorOf({ status, text }: Answer): KubernetesError {
  try {
    return errorOfStatus(JSON.parse(text) as StatusBody, status);
  } catch {
    return new KubernetesError(status, '', `The Kubernetes API answered ${status}: ${text.slice(0, 200)}`);
  }
}

/** Of a `Status` object: an answer, or the last event of a watch. */
export function errorOfStatus(
  { reason = '', message, code, details }: StatusBody,
  status = code ?? 0,
): KubernetesError {
  const causes = (details?.causes ?? []).filter((cause) => cause.reason === 'FieldManagerConflict');
  const conflicts = causes.map((cause) => `${cause.message ?? 'conflict'} (${cause.field ?? ''})`);
  const words = message ?? `The Kubernetes API answered ${status}.`;
  return new KubernetesError(status, reason, words, { conflicts });
}

function unreachable(cause: unknown): never {
  if (cause instanceof KubernetesError) throw cause;
  const said = messageOf(cause);
  throw new KubernetesError(0, '', `The Kubernetes API cannot be reached: ${said}`, { cause });
}
