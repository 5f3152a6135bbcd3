// Nest transport strategy over NATS: handlers are declared with @EventPattern / @MessagePattern, the wire stays plain
// JSON that a non-Nest client speaks. Imports no Nest code at run time: a strategy is only a shape.
//
// A handler never crashes the process: what it throws is answered as {error: {code, message}} when somebody asked, and
// reported through `onHandlerError` otherwise.

import type { Msg, MsgHdrs, NatsConnection, Subscription } from '@nats-io/transport-node';
import type { CustomTransportStrategy, MessageHandler } from '@nestjs/microservices';
import { isObservable, lastValueFrom } from 'rxjs';
import { PayloadError, translateNatsError } from './errors.ts';
import { respondJson } from './exchange.ts';
import { Intake } from './intake.ts';
import { decodeJson, type PayloadBounds } from './payload.ts';

/** What a handler gets through `@Ctx()`. */
export class MessageContext {
  readonly subject: string;
  /** What stood in the place of the pattern's first `*`, that is the cluster id in `atoll.v1.*.hb`. */
  readonly clusterToken: string | undefined;
  readonly isRequest: boolean;
  readonly #headers: MsgHdrs | undefined;

  constructor(subject: string, pattern: string, isRequest: boolean, headers?: MsgHdrs) {
    this.subject = subject;
    this.clusterToken = subject.split('.')[pattern.split('.').indexOf('*')];
    this.isRequest = isRequest;
    this.#headers = headers;
  }

  header(name: string): string | undefined {
    return this.#headers?.get(name) || undefined;
  }
}

export type DropReason = PayloadError['reason'] | 'overloaded';

/** Second argument of the decorators: `@EventPattern('atoll.v1.*.hb', { queue: 'control-plane' })`. */
export interface HandlerExtras {
  /** Queue group: one member handles each message. Undefined: every process hears it. */
  queue?: string;
  /** Messages in hand at once. Default 16. */
  concurrencyMax?: number;
  /** Messages that may wait. Default 1024. At the bound: events drop the oldest, requests are refused `overloaded`. */
  pendingMax?: number;
}

export interface NatsTransportStrategyOptions {
  /** An open connection; its owner closes it, after the strategy. */
  connection: NatsConnection | (() => Promise<NatsConnection>);
  /** Payload bounds for all handlers. */
  bounds?: PayloadBounds;
  /** Counts what was dropped. Must not throw. */
  onDropped?: (dropped: { subject: string; pattern: string; reason: DropReason }) => void;
  /** Reports what a handler threw and refused subscriptions. Must not throw. */
  onHandlerError?: (error: unknown, subject: string) => void;
  /** How long `close` waits for messages in hand, ms. Default 5000. */
  drainTimeoutMs?: number;
}

interface Listener {
  readonly pattern: string;
  readonly isEvent: boolean;
  readonly handler: MessageHandler;
}

const CONCURRENCY_MAX = 16;
const PENDING_MAX = 1024;

/** Makes the value that a handler returns for an expected "no"; it reaches the caller as RequestRefusedError. */
export function refuse(code: string, message: string): { error: { code: string; message: string } } {
  return { error: { code, message } };
}

/** Nest's filters hand on plain objects; only an explicit code is passed, anything else stays inside as `internal`. */
function toRefusal(cause: unknown) {
  const { code, message } = (cause ?? {}) as { code?: unknown; message?: unknown };
  const isExplicit = !(cause instanceof Error) && typeof code === 'string' && typeof message === 'string';
  return isExplicit ? refuse(code, message) : refuse('internal', 'The request failed inside; it is logged there.');
}

/**
 * One queue group a pattern: NATS joins groups of the same name over all matching subjects, and would hand
 * `atoll.v1.routes.fetch` to the group's subscription on `atoll.v1.*.fetch` at random.
 */
function queueOf(queue: string, pattern: string): string {
  return `${queue}.${pattern.replaceAll('*', 'any').replaceAll('>', 'all')}`;
}

export class NatsTransportStrategy implements CustomTransportStrategy {
  /** Tells Nest that failures of event handlers are reported here, not lost. */
  readonly propagatesEventHandlerErrors = true;
  readonly #handlers = new Map<string, MessageHandler>();
  readonly #intakes: Intake<Msg>[] = [];
  readonly #subscriptions: Subscription[] = [];
  readonly #options: NatsTransportStrategyOptions;

  constructor(options: NatsTransportStrategyOptions) {
    this.#options = options;
  }

  /** Called by Nest for each decorated method. Several event handlers of one pattern are chained by Nest's `next`. */
  addHandler(pattern: unknown, handler: MessageHandler, isEventHandler = false, extras: HandlerExtras = {}): void {
    const subject = String(pattern);
    handler.isEventHandler = isEventHandler;
    handler.extras = extras;
    const head = this.#handlers.get(subject);
    if (!head) {
      this.#handlers.set(subject, handler);
      return;
    }
    if (!isEventHandler || !head.isEventHandler) throw new Error(`Two handlers for requests on ${subject}.`);
    let tail = head;
    while (tail.next) tail = tail.next as MessageHandler;
    tail.next = handler;
  }

  getHandlers(): Map<string, MessageHandler> {
    return this.#handlers;
  }

  /** Nest's hook for status listeners; connection states come from `connectNats` instead. */
  on(): void {}

  unwrap<T>(): T {
    return this.#subscriptions as T;
  }

  /** Subscribes every handler, and calls back once the server has them all (or with the error). */
  async listen(callback: (error?: unknown) => void): Promise<void> {
    try {
      const { connection } = this.#options;
      const open = typeof connection === 'function' ? await connection() : connection;
      for (const [pattern, handler] of this.#handlers) this.#subscribe(open, pattern, handler);
      await open.flush();
      callback();
    } catch (cause) {
      callback(translateNatsError(cause));
    }
  }

  /** Stops intake, then waits for messages in hand, bounded. Leaves the connection open. */
  async close(): Promise<void> {
    for (const subscription of this.#subscriptions.splice(0)) {
      if (!subscription.isClosed()) subscription.unsubscribe();
    }
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.drainTimeoutMs ?? 5000);
    });
    await Promise.race([Promise.all(this.#intakes.splice(0).map((intake) => intake.whenIdle())), bound]);
    clearTimeout(timer);
  }

  #subscribe(connection: NatsConnection, pattern: string, handler: MessageHandler): void {
    const extras: HandlerExtras = handler.extras ?? {};
    const listener = { pattern, handler, isEvent: handler.isEventHandler === true };
    const intake = new Intake<Msg>({
      concurrencyMax: extras.concurrencyMax ?? CONCURRENCY_MAX,
      pendingMax: extras.pendingMax ?? PENDING_MAX,
      atBound: listener.isEvent ? 'drop-oldest' : 'refuse-newest',
      run: (message) => this.#handle(listener, message),
      onShed: (message) => this.#drop(listener, message, 'overloaded', 'Too many requests wait; try again.'),
    });
    this.#intakes.push(intake);
    const subscription = connection.subscribe(pattern, {
      ...(extras.queue === undefined ? {} : { queue: queueOf(extras.queue, pattern) }),
      callback: (error, message) => {
        if (error) this.#options.onHandlerError?.(translateNatsError(error, pattern), pattern);
        else if (!this.#isForAnother(listener.pattern, message.subject)) intake.push(message);
      },
    });
    this.#subscriptions.push(subscription);
  }

  /**
   * A literal pattern wins over a wildcard: `atoll.v1.routes.fetch` matches `atoll.v1.*.fetch` too, and NATS delivers
   * it to both; two answers to one request would race.
   */
  #isForAnother(pattern: string, subject: string): boolean {
    return subject !== pattern && this.#handlers.has(subject);
  }

  async #handle(listener: Listener, message: Msg): Promise<void> {
    let value: unknown;
    try {
      value = await decodeJson(message, this.#options.bounds);
    } catch (cause) {
      if (cause instanceof PayloadError) return this.#drop(listener, message, cause.reason, cause.message);
      return this.#fail(message, cause);
    }
    try {
      const context = new MessageContext(message.subject, listener.pattern, Boolean(message.reply), message.headers);
      const result: unknown = await listener.handler(value, context);
      const answer = isObservable(result) ? await lastValueFrom(result, { defaultValue: undefined }) : result;
      if (!listener.isEvent) respondJson(message, answer ?? null);
    } catch (cause) {
      this.#fail(message, cause);
    }
  }

  #drop(listener: Listener, message: Msg, reason: DropReason, text: string): void {
    this.#options.onDropped?.({ subject: message.subject, pattern: listener.pattern, reason });
    this.#answerRefusal(message, refuse(reason, text));
  }

  #fail(message: Msg, cause: unknown): void {
    this.#options.onHandlerError?.(cause, message.subject);
    this.#answerRefusal(message, toRefusal(cause));
  }

  /** The connection may be closing; then nobody can be told, and that is no reason to fail. */
  #answerRefusal(message: Msg, refusal: unknown): void {
    try {
      respondJson(message, refusal);
    } catch (cause) {
      this.#options.onHandlerError?.(translateNatsError(cause, message.subject), message.subject);
    }
  }
}
