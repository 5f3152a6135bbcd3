// The caller's side of the wire: publish a value, ask for one, listen to a subject without Nest.

import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { MessagingError, RequestRefusedError, translateNatsError } from './errors.ts';
import { decodeJson, encodeJson, type PayloadBounds } from './payload.ts';

/**
 * Publishes a value as JSON, zstd above 1 KiB. Core NATS: while disconnected the message is kept by the client only
 * until its buffer is flushed at reconnect; whatever must not be lost is an event.
 *
 * @throws PayloadError when the value is too large; MessagingError when the connection is closed
 */
export function publishJson(connection: NatsConnection, subject: string, value: unknown): void {
  const { bytes, headers } = encodeJson(value);
  try {
    connection.publish(subject, bytes, headers ? { headers } : {});
  } catch (cause) {
    throw translateNatsError(cause, subject);
  }
}

function readRefusal(answer: unknown): RequestRefusedError | undefined {
  if (answer === null || typeof answer !== 'object' || !('error' in answer)) return undefined;
  const { error } = answer;
  if (error === null || typeof error !== 'object') return undefined;
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code !== 'string') return undefined;
  return new RequestRefusedError(code, typeof message === 'string' ? message : code);
}

/**
 * Asks and awaits one answer; the answer is parsed JSON, to be validated by the caller's schema.
 *
 * @throws RequestRefusedError when the answer is `{error: {code, message}}`
 * @throws MessagingError `no-responder` at once, `timeout` after `timeoutMs`, `forbidden`, `closed`, …
 */
export async function requestJson(
  connection: NatsConnection,
  subject: string,
  value: unknown,
  options: { timeoutMs: number },
): Promise<unknown> {
  const { bytes, headers } = encodeJson(value);
  let reply: Msg;
  try {
    reply = await connection.request(subject, bytes, { timeout: options.timeoutMs, ...(headers ? { headers } : {}) });
  } catch (cause) {
    throw translateNatsError(cause, subject);
  }
  const answer = await decodeJson(reply);
  const refusal = readRefusal(answer);
  if (refusal) throw refusal;
  return answer;
}

/** What came in on a plain subscription. */
export interface ReceivedJson {
  readonly subject: string;
  readonly value: unknown;
  /** Answers a request; no effect when nobody asked. */
  respond(value: unknown): void;
}

/**
 * Listens to a subject (wildcards allowed) for processes without Nest: agents, gateways, the heartbeat worker.
 * Messages are handled one after the other, in order; at `pendingMax` waiting messages (default 256) the newest is
 * dropped, which the level-triggered protocol survives. A handler's error and a bad payload go to `onError`.
 *
 * @returns stops listening and resolves once the message in hand is done
 */
export function subscribeJson(
  connection: NatsConnection,
  subject: string,
  handle: (received: ReceivedJson) => void | Promise<void>,
  options: PayloadBounds & { onError: (error: Error) => void; pendingMax?: number },
): () => Promise<void> {
  let waiting = 0;
  let chain: Promise<void> = Promise.resolve();
  const takeOne = async (message: Msg): Promise<void> => {
    try {
      const value = await decodeJson(message, options);
      await handle({ subject: message.subject, value, respond: (answer) => respondJson(message, answer) });
    } catch (cause) {
      options.onError(cause instanceof Error ? cause : new Error(String(cause)));
    } finally {
      waiting -= 1;
    }
  };
  const subscription = connection.subscribe(subject, {
    callback: (error, message) => {
      if (error) return options.onError(translateNatsError(error, subject));
      if (waiting >= (options.pendingMax ?? 256)) {
        return options.onError(
          new MessagingError('overloaded', `Too many messages wait on ${subject}; one was dropped.`),
        );
      }
      waiting += 1;
      chain = chain.then(() => takeOne(message));
    },
  });
  return async () => {
    if (!subscription.isClosed()) subscription.unsubscribe();
    await chain;
  };
}

/** Answers a request with JSON; quietly nothing when the message asked for no answer. */
export function respondJson(message: Msg, value: unknown): void {
  if (!message.reply) return;
  const { bytes, headers } = encodeJson(value);
  message.respond(bytes, headers ? { headers } : {});
}
