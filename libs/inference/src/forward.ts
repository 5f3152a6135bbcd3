// The forwarding core: one try at passing one request to one upstream and its answer back, byte for byte.
//
// Invariants
// - Until the first body byte is ready, nothing is written to the client, so every failure up to then is `refused` and
//   the caller may try another upstream (R13, R15). After it, there is no retry, ever.
// - A broken answer never looks like a clean finish (R14): a stream gets an error event and no `[DONE]`; anything else
//   has its socket destroyed. A stream that ends without `[DONE]` is broken.
// - A client that leaves, or does not read for `clientIdleMs`, aborts the upstream at once (R14).
// - Back-pressure is the socket's: a slow reader pauses the upstream, so a stalled one costs one socket buffer.
// Leaves to its caller: which upstream, how many tries, budgets, metrics.
import type { ServerResponse } from 'node:http';
import type { Dispatcher } from 'undici';
import { openAiError } from './errors.ts';
import type { ForwardCause, ForwardOutcome, UpstreamAnswer } from './forward-outcome.ts';
import { forwardableResponseHeaders, headerValue, toTextHeaders } from './headers.ts';
import { SseScanner, sseError } from './sse.ts';
import { readUsage, type Usage } from './usage.ts';

export interface ForwardTimeouts {
  /** From the call to the upstream's head: waiting for a connection included. */
  readonly headersMs: number;
  /** Between two pieces of the body while the client reads. */
  readonly bodyIdleMs: number;
  /** How long a client may not read while data waits for it; default 300 000. */
  readonly clientIdleMs?: number;
}

export interface ForwardRequest {
  /** A pool made by `createUpstreamPool`, or anything that dispatches with pipelining 1. */
  readonly dispatcher: Pick<Dispatcher, 'dispatch'>;
  readonly method: Dispatcher.HttpMethod;
  readonly path: string;
  /** Flat list of names and values, fit for the upstream (`forwardableRequestHeaders`). */
  readonly headers: readonly string[];
  /** The original bytes; null for none. */
  readonly body: Buffer | null;
  readonly res: ServerResponse;
  readonly timeouts: ForwardTimeouts;
  /** Flat list, added to the answer; wins over upstream headers of the same name. */
  readonly extraResponseHeaders?: readonly string[];
  /** Upstream statuses that count as a refusal; default 429, 502, 503, 504. */
  readonly retryableStatuses?: ReadonlySet<number>;
  /** Ends the try: before the first byte as `refused`, after it as `broken`. */
  readonly signal?: AbortSignal;
  /** Reads the usage of an answer that is no stream too. Default false: it costs holding on to the answer. */
  readonly readsUsage?: boolean;
  /** The client did not ask for the usage event that we asked the engine for: it is read, and not passed on. */
  readonly hidesUsageEvent?: boolean;
  /** Called once, when the first byte goes to the client. */
  readonly onFirstByte?: (status: number) => void;
  /** Asked when an answer begins: the client gets nothing of it before this resolves. Null: it may at once. */
  readonly untilSendable?: () => Promise<void> | null;
}

export const retryableStatusesDefault: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const refusalBytesMax = 64 * 1024;
const clientIdleMsDefault = 300_000;
/** A longer answer's usage is not read. */
const usageBytesMax = 4 * 1024 * 1024;

/** Forwards once. Never rejects: every end is an outcome. */
export function forwardRequest(request: ForwardRequest): Promise<ForwardOutcome> {
  return new Promise((resolve) => {
    new Forwarding(request, resolve).start();
  });
}

class ForwardAbort extends Error {
  constructor(readonly reason: 'client-gone' | ForwardCause) {
    super(`forwarding ended: ${reason}`);
    this.name = 'ForwardAbort';
  }
}

class Forwarding implements Dispatcher.DispatchHandler {
  readonly #request: ForwardRequest;
  readonly #resolve: (outcome: ForwardOutcome) => void;
  #controller: Dispatcher.DispatchController | null = null;
  #settled = false;
  #timer: NodeJS.Timeout | undefined;
  #status = 0;
  #headers: string[] = [];
  #scanner: SseScanner | null = null;
  #refusal: { chunks: Buffer[]; bytes: number } | null = null;
  /** The answer so far, while its usage is to be read. */
  #answer: { chunks: Buffer[]; bytes: number } | null = null;
  #headSent = false;
  #completing = false;
  #bytesSent = 0;

  constructor(request: ForwardRequest, resolve: (outcome: ForwardOutcome) => void) {
    this.#request = request;
    this.#resolve = resolve;
  }

  start(): void {
    const { dispatcher, method, path, headers, body, res, timeouts, signal } = this.#request;
    if (res.destroyed || res.closed || signal?.aborted) {
      if (signal?.aborted) this.#fail('aborted');
      else this.#clientGone();
      return;
    }
    res.on('close', this.#onClientClose);
    signal?.addEventListener('abort', this.#onSignal, { once: true });
    this.#timer = setTimeout(() => this.#fail('timeout'), timeouts.headersMs);
    try {
      dispatcher.dispatch(
        // undici's own head timeout starts only once a connection is there; ours also bounds the wait for one.
        {
          method,
          path,
          headers: headers as string[],
          body,
          headersTimeout: 0,
          bodyTimeout: timeouts.bodyIdleMs,
        },
        this,
      );
    } catch (error) {
      this.#fail('connect', error as Error);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#settled) controller.abort(new ForwardAbort('aborted'));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (this.#settled || status < 200) return;
    clearTimeout(this.#timer);
    this.#status = status;
    this.#headers = toTextHeaders(controller.rawHeaders);
    if ((this.#request.retryableStatuses ?? retryableStatusesDefault).has(status)) {
      this.#refusal = { chunks: [], bytes: 0 };
      this.#timer = setTimeout(() => this.#fail('timeout'), this.#request.timeouts.headersMs);
    } else if (isEventStream(this.#headers)) {
      this.#scanner = new SseScanner(undefined, this.#request.hidesUsageEvent);
    } else if (this.#request.readsUsage) {
      this.#answer = { chunks: [], bytes: 0 };
    }
    if (this.#refusal === null) this.#awaitSendable(controller);
  }

  #awaitSendable(controller: Dispatcher.DispatchController): void {
    const sendable = this.#request.untilSendable?.() ?? null;
    if (sendable === null) return;
    controller.pause();
    void sendable.then(() => {
      if (!this.#settled) controller.resume();
    });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled) return;
    if (this.#refusal !== null) {
      this.#collectRefusal(this.#refusal, chunk);
      return;
    }
    const scanner = this.#scanner;
    if (this.#answer !== null) this.#keepForUsage(this.#answer, chunk);
    const forwardable = scanner === null ? chunk : scanner.push(chunk);
    if (forwardable.length > 0) this.#send(forwardable, controller);
    if (scanner?.verdict === 'malformed') this.#fail('malformed');
    else if (scanner?.verdict === 'error') this.#fail('reported');
  }

  onResponseEnd(): void {
    if (this.#settled) return;
    const scanner = this.#scanner;
    const rest = scanner?.flush();
    if (rest !== undefined && rest.length > 0) this.#send(rest, null);
    if (this.#refusal !== null) this.#fail('status');
    else if (scanner !== null && scanner.verdict !== 'done') this.#fail(unfinishedCause(scanner));
    else this.#complete();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#settled) return;
    // A stream that said `[DONE]` is whole, whatever happened to its connection afterwards.
    if (this.#scanner?.verdict === 'done') this.#complete();
    else this.#fail(causeOf(error, this.#controller !== null), error);
  }

  readonly #onClientClose = (): void => {
    if (!this.#settled) this.#clientGone();
  };

  readonly #onSignal = (): void => this.#fail('aborted');

  #send(bytes: Buffer, controller: Dispatcher.DispatchController | null): void {
    const { res } = this.#request;
    if (!this.#headSent) this.#sendHead();
    this.#bytesSent += bytes.length;
    if (res.write(bytes) || controller === null || controller.paused) return;
    controller.pause();
    this.#boundClientIdle();
    res.once('drain', () => {
      if (this.#settled) return;
      clearTimeout(this.#timer);
      controller.resume();
    });
  }

  #boundClientIdle(): void {
    const { res, timeouts } = this.#request;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      // Its `close` event ends the forwarding as `client-gone`, or finds it ended already.
      res.destroy();
    }, timeouts.clientIdleMs ?? clientIdleMsDefault);
  }

  #sendHead(): void {
    const { res, extraResponseHeaders, onFirstByte } = this.#request;
    this.#headSent = true;
    res.writeHead(
      this.#status,
      forwardableResponseHeaders(this.#headers, extraResponseHeaders ?? [], this.#scanner !== null),
    );
    onFirstByte?.(this.#status);
  }

  #collectRefusal(refusal: { chunks: Buffer[]; bytes: number }, chunk: Buffer): void {
    refusal.bytes += chunk.length;
    if (refusal.bytes > refusalBytesMax) this.#fail('status');
    else refusal.chunks.push(chunk);
  }

  #complete(): void {
    if (this.#completing) return;
    const { res } = this.#request;
    if (!this.#headSent) this.#sendHead();
    this.#completing = true;
    this.#boundClientIdle();
    // Complete is what the socket took whole: a client that leaves before that is still `client-gone`.
    res.end(() => {
      if (this.#settled) return;
      this.#release();
      this.#settle({
        kind: 'completed',
        status: this.#status,
        bytesSent: this.#bytesSent,
        isEventStream: this.#scanner !== null,
        ...this.#counted(),
      });
    });
  }

  #clientGone(): void {
    this.#stop('client-gone', { kind: 'client-gone', bytesSent: this.#bytesSent, ...this.#counted() });
  }

  #counted(): { usage: Usage | null; contentEvents: number } {
    const scanner = this.#scanner;
    if (scanner !== null) return { usage: scanner.usage, contentEvents: scanner.contentEvents };
    return { usage: this.#answer === null ? null : usageOfAnswer(this.#answer.chunks), contentEvents: 0 };
  }

  #keepForUsage(answer: { chunks: Buffer[]; bytes: number }, chunk: Buffer): void {
    answer.bytes += chunk.length;
    if (answer.bytes > usageBytesMax) this.#answer = null;
    else answer.chunks.push(chunk);
  }

  #fail(cause: ForwardCause, error?: Error): void {
    if (this.#settled || this.#completing) return;
    if (this.#headSent) {
      this.#breakAnswer(cause);
      this.#stop(cause, {
        kind: 'broken',
        cause,
        status: this.#status,
        bytesSent: this.#bytesSent,
        ...this.#counted(),
        error,
      });
    } else if (this.#refusal === null) {
      this.#stop(cause, { kind: 'refused', cause, error });
    } else {
      this.#stop(cause, {
        kind: 'refused',
        cause: 'status',
        error,
        upstream: this.#upstreamAnswer(this.#refusal, cause),
      });
    }
  }

  #breakAnswer(cause: ForwardCause): void {
    const { res, timeouts } = this.#request;
    res.off('close', this.#onClientClose);
    if (this.#scanner === null) {
      res.destroy();
      return;
    }
    // The connection goes too, so that nothing behind it can take the answer for whole; a client that does not read
    // the last event loses it after its idle bound.
    const bound = setTimeout(() => res.destroy(), timeouts.clientIdleMs ?? clientIdleMsDefault);
    res.once('close', () => clearTimeout(bound));
    const closeConnection = (): void => res.socket?.destroySoon();
    if (cause === 'reported') {
      res.end(closeConnection);
      return;
    }
    const kind = cause === 'timeout' ? 'timeout' : 'upstream_error';
    const message = `The stream broke before it was complete (${cause}); what came so far is not a whole answer.`;
    res.end(sseError(openAiError(kind, { message }).body), closeConnection);
  }

  #upstreamAnswer(refusal: { chunks: Buffer[]; bytes: number }, cause: ForwardCause): UpstreamAnswer {
    const isWhole = cause === 'status' && refusal.bytes <= refusalBytesMax;
    return { status: this.#status, headers: this.#headers, body: isWhole ? Buffer.concat(refusal.chunks) : null };
  }

  #stop(reason: 'client-gone' | ForwardCause, outcome: ForwardOutcome): void {
    if (this.#settled) return;
    this.#release();
    this.#settle(outcome);
    // A request that still waits for a connection has no controller yet; `onRequestStart` aborts it then.
    this.#controller?.abort(new ForwardAbort(reason));
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#request.res.off('close', this.#onClientClose);
    this.#request.signal?.removeEventListener('abort', this.#onSignal);
  }

  #settle(outcome: ForwardOutcome): void {
    this.#settled = true;
    this.#resolve(outcome);
  }
}

/** Null for what is not JSON, or not whole. */
function usageOfAnswer(chunks: readonly Buffer[]): Usage | null {
  try {
    return readUsage(JSON.parse(Buffer.concat(chunks).toString('utf8')));
  } catch {
    return null;
  }
}

function isEventStream(headers: readonly string[]): boolean {
  return headerValue(headers, 'content-type')?.toLowerCase().startsWith('text/event-stream') ?? false;
}

function unfinishedCause(scanner: SseScanner): ForwardCause {
  if (scanner.verdict === 'malformed') return 'malformed';
  return scanner.verdict === 'error' ? 'reported' : 'unfinished';
}

function causeOf(error: Error & { code?: string }, wasSent: boolean): ForwardCause {
  if (error.code === 'UND_ERR_BODY_TIMEOUT' || error.code === 'UND_ERR_HEADERS_TIMEOUT') return 'timeout';
  return wasSent ? 'reset' : 'connect';
}
