// A collection of objects as it is, kept up to date by a watch: list once, then follow from there.
//
// A stream that is cut is taken up where it was (`resourceVersion`, moved on by bookmarks too); what has expired (410) is
// listed anew. Between tries the wait grows, with jitter, and one event resets it. What was seen last stays (R7): `staleMs`
// says since when it may be old. A stream that says nothing, not even a bookmark, ends after STREAM_SECONDS and is opened
// again, so no half-open connection is believed for longer (R8).
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { KubernetesError, messageOf } from '../errors.ts';
import { errorOfStatus, type KubernetesApi, type ListOptions } from './api.ts';
import type { Kind, KubernetesObject } from './kinds.ts';

const STREAM_SECONDS = 240;
const STREAM_GRACE_MS = 15_000;
const RETRY_MS_MAX = 30_000;
/** A turn that is over sooner is followed by a wait. */
const SHORT_MS = 1_000;

export interface WatchOptions extends ListOptions {
  readonly api: Pick<KubernetesApi, 'list' | 'watchLines'>;
  readonly kind: Kind;
  /** Something is other than it was. */
  readonly onChange?: () => void;
  /** First wait after a failure; it doubles. Default 500 ms. */
  readonly retryMs?: number;
  /** 0..1, for jitter. Default Math.random. */
  readonly random?: () => number;
  readonly log: Logger;
}

interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: KubernetesObject;
}

export class ObjectWatch {
  readonly #options: WatchOptions;
  readonly #ending = new AbortController();
  #objects = new Map<string, KubernetesObject>();
  /** Null: it has to be listed. */
  #version: string | null = null;
  #failures = 0;
  #life: Promise<void> | undefined;
  #synced = Promise.withResolvers<void>();
  #isSynced = false;
  #cutAtMs: number | null = performance.now();

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Idempotent. */
  start(): void {
    this.#life ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#life;
  }

  get objects(): readonly KubernetesObject[] {
    return [...this.#objects.values()];
  }

  /** Up to which version of the collection it has seen all; null before the first list. */
  get resourceVersion(): string | null {
    return this.#version;
  }

  /** It has been listed once at least. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** How long ago the stream was cut; 0 while it flows. */
  get staleMs(): number {
    return this.#cutAtMs === null ? 0 : performance.now() - this.#cutAtMs;
  }

  /** Resolves once it has been listed, or rejects when that takes longer. @throws KubernetesError */
  async synced(withinMs: number): Promise<void> {
    const bound = new AbortController();
    const signal = AbortSignal.any([bound.signal, this.#ending.signal]);
    const late = delay(withinMs, undefined, { signal }).then(() => {
      throw new KubernetesError(0, '', `The Kubernetes API gave no list of ${this.#options.kind.plural} in time.`);
    });
    await Promise.race([this.#synced.promise, late]).finally(() => bound.abort());
    late.catch(() => undefined);
  }

  /** What the caller itself has just done is not waited for. */
  put(object: KubernetesObject): void {
    this.#objects.set(object.metadata!.name!, object);
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      const beganAtMs = performance.now();
      await this.#turn().catch((cause: unknown) => this.#failed(cause));
      this.#cutAtMs ??= performance.now();
      // Also of a server that ends every stream in peace as soon as it is opened.
      const isShort = performance.now() - beganAtMs < SHORT_MS;
      if (isShort && !signal.aborted) await delay(this.#waitMs(), undefined, { signal }).catch(() => undefined);
    }
  }

  #failed(cause: unknown): void {
    const { log, kind } = this.#options;
    if (this.#ending.signal.aborted) return;
    if (cause instanceof KubernetesError && cause.isExpired) this.#version = null;
    this.#failures += 1;
    log.warn({ kind: kind.plural, reason: messageOf(cause) }, 'a watch was cut; it is taken up again');
  }

  /** From one cut to the next. */
  async #turn(): Promise<void> {
    if (this.#version === null) await this.#list();
    const { api, kind, labelSelector, fieldSelector, random = Math.random } = this.#options;
    const timeoutSeconds = Math.round(STREAM_SECONDS * (0.75 + random() / 2));
    const query = {
      labelSelector,
      fieldSelector,
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: this.#version!,
      timeoutSeconds,
    };
    const silentMsMax = timeoutSeconds * 1000 + STREAM_GRACE_MS;
    this.#cutAtMs = null;
    for await (const line of api.watchLines(kind, query, silentMsMax, this.#ending.signal)) this.#take(line);
  }

  async #list(): Promise<void> {
    const { api, kind, labelSelector, fieldSelector, onChange } = this.#options;
    const { items, resourceVersion } = await api.list(kind, { labelSelector, fieldSelector });
    this.#objects = new Map(items.map((each) => [each.metadata!.name!, each]));
    this.#version = resourceVersion;
    this.#isSynced = true;
    this.#synced.resolve();
    onChange?.();
  }

  #take(line: string): void {
    const { type, object } = parseEvent(line);
    if (type === 'ERROR') throw errorOfStatus(object as never);
    this.#failures = 0;
    this.#version = object.metadata?.resourceVersion ?? this.#version;
    if (type === 'BOOKMARK') return;
    const name = object.metadata!.name!;
    if (type === 'DELETED') this.#objects.delete(name);
    else this.#objects.set(name, object);
    this.#options.onChange?.();
  }

  #waitMs(): number {
    const { retryMs = 500, random = Math.random } = this.#options;
    return Math.min(RETRY_MS_MAX, retryMs * 2 ** Math.min(Math.max(this.#failures - 1, 0), 10)) * (0.5 + random());
  }
}

function parseEvent(line: string): WatchEvent {
  try {
    return JSON.parse(line) as WatchEvent;
  } catch (cause) {
    throw new KubernetesError(0, '', 'A watch said something that is no JSON.', { cause });
  }
}
