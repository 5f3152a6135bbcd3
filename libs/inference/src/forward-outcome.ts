// How one try at forwarding a request ended. The caller reads only `kind` to decide what comes next.
import type { ServerResponse } from 'node:http';
import { type OpenAiError, openAiError, writeOpenAiError } from './errors.ts';
import { forwardableResponseHeaders } from './headers.ts';
import type { Usage } from './usage.ts';

/**
 * `connect` no connection, `reset` it broke or ended early, `timeout` head or body did not come in time, `status` a
 * retryable status, `malformed` broken data in a stream, `unfinished` a stream without `[DONE]`, `reported` the
 * upstream's own error event, `aborted` by the caller's signal.
 */
export type ForwardCause =
  | 'connect'
  | 'reset'
  | 'timeout'
  | 'status'
  | 'malformed'
  | 'unfinished'
  | 'reported'
  | 'aborted';

/** The whole answer of an upstream that refused; kept so that the last try's can be relayed. */
export interface UpstreamAnswer {
  readonly status: number;
  /** Flat list of names and values, as received. */
  readonly headers: readonly string[];
  /** Null when it was larger than 64 KiB or broke off. */
  readonly body: Buffer | null;
}

export interface ForwardCompleted {
  readonly kind: 'completed';
  readonly status: number;
  readonly bytesSent: number;
  readonly isEventStream: boolean;
  /** From the stream's usage chunk, or of the answer where `readsUsage` asked for it; null: it did not say. */
  readonly usage: Usage | null;
  /** Events of a stream with something generated in them; 0 for answers that are not streams. */
  readonly contentEvents: number;
}
/** Nothing was sent to the client: safe to fail over. */
export interface ForwardRefused {
  readonly kind: 'refused';
  readonly cause: ForwardCause;
  readonly error?: Error;
  readonly upstream?: UpstreamAnswer;
}
/** Something was sent. An event stream got an error event and no `[DONE]`; any other answer had its socket destroyed. */
export interface ForwardBroken {
  readonly kind: 'broken';
  readonly cause: ForwardCause;
  readonly status: number;
  readonly bytesSent: number;
  readonly usage: Usage | null;
  readonly contentEvents: number;
  readonly error?: Error;
}
/** The client left or stopped reading; the upstream request was aborted. */
export interface ForwardClientGone {
  readonly kind: 'client-gone';
  readonly bytesSent: number;
  readonly usage: Usage | null;
  readonly contentEvents: number;
}
export type ForwardOutcome = ForwardCompleted | ForwardRefused | ForwardBroken | ForwardClientGone;

/** The error to show a client when no try is left. A refusal by status is better relayed (`writeRefusal`). */
export function refusalError(refused: ForwardRefused): OpenAiError {
  if (refused.cause === 'timeout') return openAiError('timeout');
  if (refused.cause === 'connect') {
    return openAiError('no_ready_replica', { message: 'The replica could not be reached.' });
  }
  return openAiError('upstream_error', { message: `The replica failed before its first byte (${refused.cause}).` });
}

/** Answers the client with the upstream's own refusal if it is whole, else with an error of ours. */
export function writeRefusal(res: ServerResponse, refused: ForwardRefused, extraHeaders: readonly string[] = []): void {
  const { upstream } = refused;
  if (upstream === undefined || upstream.body === null || res.headersSent) {
    writeOpenAiError(res, refusalError(refused), extraHeaders);
    return;
  }
  const headers = forwardableResponseHeaders(upstream.headers, extraHeaders, false);
  res.writeHead(upstream.status, headers);
  res.end(upstream.body);
}
