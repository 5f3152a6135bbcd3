// Events that must not be lost, over JetStream. NATS still owns nothing: the agent keeps each event until the control
// plane says that Postgres has it, so a lost stream costs a resend, never an event.
// Consumers must be idempotent (inbox row): an event may come twice.

import { setTimeout as delay } from 'node:timers/promises';
import {
  AckPolicy,
  type Consumer,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  type JsMsg,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream';
import { type NatsConnection, nanos } from '@nats-io/transport-node';
import { SUBJECTS } from '#contracts';
import { type MessagingError, PayloadError, translateNatsError } from './errors.ts';
import { decodeJson, encodeJson } from './payload.ts';

export const EVENT_STREAM = 'ATOLL_EVENTS';
export const EVENT_SUBJECTS = SUBJECTS.event('*');
const DURABLE = 'control-plane';

export interface EventStreamBounds {
  /** Bytes kept; beyond them the oldest go, and come again from the agents' outboxes. Default 256 MiB. */
  bytesMax?: number;
  /** Default 7 days. */
  ageSecondsMax?: number;
  /** A message id seen within this window is stored once. Default 10 minutes. */
  dedupeSeconds?: number;
}

/** Makes the stream, or brings an existing one to these bounds. Safe to repeat and to race. */
export async function ensureEventStream(connection: NatsConnection, bounds: EventStreamBounds = {}): Promise<void> {
  const wanted = {
    subjects: [EVENT_SUBJECTS],
    max_bytes: bounds.bytesMax ?? 256 * 1024 * 1024,
    max_age: nanos((bounds.ageSecondsMax ?? 7 * 86_400) * 1000),
    duplicate_window: nanos((bounds.dedupeSeconds ?? 600) * 1000),
    max_msg_size: 1024 * 1024,
    discard: DiscardPolicy.Old,
  };
  try {
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 5000 });
    await manager.streams
      .add({ name: EVENT_STREAM, ...wanted, retention: RetentionPolicy.Limits, storage: StorageType.File })
      .catch(async (cause: unknown) => {
        if (!(cause instanceof JetStreamApiError) || cause.code !== STREAM_NAME_IN_USE) throw cause;
        await manager.streams.update(EVENT_STREAM, wanted);
      });
  } catch (cause) {
    throw translateNatsError(cause, `stream ${EVENT_STREAM}`);
  }
}

/** JetStream's code for "a stream of this name exists with other settings". */
const STREAM_NAME_IN_USE = 10058;

/**
 * Publishes an event and awaits the stream's acknowledgement.
 *
 * @param messageId the event's id: publishing again within the dedupe window stores nothing new
 * @throws MessagingError when it is not known to be stored: keep it in the outbox and try again
 */
export async function publishEvent(
  connection: NatsConnection,
  clusterId: string,
  messageId: string,
  body: unknown,
  timeoutMs = 5000,
): Promise<{ isDuplicate: boolean }> {
  const subject = SUBJECTS.event(clusterId);
  const { bytes, headers } = encodeJson(body);
  try {
    const options = { msgID: messageId, timeout: timeoutMs, ...(headers ? { headers } : {}) };
    const acknowledged = await jetstream(connection).publish(subject, bytes, options);
    return { isDuplicate: acknowledged.duplicate };
  } catch (cause) {
    throw translateNatsError(cause, subject);
  }
}

export interface ReceivedEvent {
  /** From the subject, so it is as true as the credentials of its sender. */
  readonly clusterId: string;
  /** Dedupe key for the inbox row; empty when the sender gave none. */
  readonly messageId: string;
  readonly body: unknown;
  /** 1 at the first delivery. */
  readonly deliveries: number;
}

export interface ConsumeEventsOptions {
  /** Events in hand at once. Default 16. */
  concurrencyMax?: number;
  /** A handler that takes longer counts as failed, ms. Default 20 000; must stay below the 30 s redelivery. */
  handlerTimeoutMs?: number;
  /** First wait before a failed event comes again, ms; doubles up to 60 s. Default 500. */
  retryMs?: number;
  /**
   * Deliveries after which a failing event leaves the stream: it must not hold one of the consumer's places for ever.
   * Its sender keeps it and sends it again. Default 30, which is about 25 minutes.
   */
  deliveriesMax?: number;
  bounds?: EventStreamBounds;
  /** Handler errors, undecodable events (dropped for good) and trouble with the stream. Must not throw. */
  onError?: (error: unknown) => void;
}

export interface EventConsumption {
  /** Stops taking, lets events in hand finish, resolves then. */
  stop(): Promise<void>;
}

const ACK_WAIT_MS = 30_000;
const RETRY_MS_MAX = 60_000;
const PULL_EXPIRES_MS = 2000;
const DELIVERIES_MAX = 30;

/**
 * Delivers every event at least once to one of the control planes that consume. An event is acknowledged after
 * `handle` resolved; when it rejects, the event comes again with growing waits, a bounded number of times. A lost stream or consumer is made anew.
 */
export function consumeEvents(
  connection: NatsConnection,
  handle: (event: ReceivedEvent) => Promise<void>,
  options: ConsumeEventsOptions = {},
): EventConsumption {
  const stopping = new AbortController();
  const running = runConsumption(connection, handle, options, stopping.signal);
  return {
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}

async function runConsumption(
  connection: NatsConnection,
  handle: (event: ReceivedEvent) => Promise<void>,
  options: ConsumeEventsOptions,
  signal: AbortSignal,
): Promise<void> {
  let consumer: Consumer | undefined;
  while (!signal.aborted && !connection.isClosed()) {
    try {
      consumer ??= await ensureConsumer(connection, options.bounds);
      await pullOnce(consumer, handle, options, signal);
    } catch (cause) {
      consumer = undefined;
      if (signal.aborted || connection.isClosed()) break;
      options.onError?.(toEventError(cause));
      await delay(options.retryMs ?? 500, undefined, { signal }).catch(() => undefined);
    }
  }
}

function toEventError(cause: unknown): MessagingError {
  return translateNatsError(cause, `stream ${EVENT_STREAM}`);
}

async function ensureConsumer(connection: NatsConnection, bounds?: EventStreamBounds): Promise<Consumer> {
  await ensureEventStream(connection, bounds);
  const manager: JetStreamManager = await jetstreamManager(connection, { checkAPI: false, timeout: 5000 });
  const settings = { ack_wait: nanos(ACK_WAIT_MS), max_ack_pending: 512, max_deliver: -1 };
  await manager.consumers.info(EVENT_STREAM, DURABLE).catch(async (cause: unknown) => {
    if (!(cause instanceof JetStreamApiError) || cause.code !== JetStreamApiCodes.ConsumerNotFound) throw cause;
    await manager.consumers.add(EVENT_STREAM, {
      durable_name: DURABLE,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ...settings,
    });
  });
  return manager.jetstream().consumers.get(EVENT_STREAM, DURABLE);
}

/** One pull: waits a while for up to `concurrencyMax` events and sees them through. Throws when the stream is gone. */
async function pullOnce(
  consumer: Consumer,
  handle: (event: ReceivedEvent) => Promise<void>,
  options: ConsumeEventsOptions,
  signal: AbortSignal,
): Promise<void> {
  const inHand: Promise<void>[] = [];
  const messages = await consumer.fetch({ max_messages: options.concurrencyMax ?? 16, expires: PULL_EXPIRES_MS });
  const close = () => void messages.close().catch(() => undefined);
  signal.addEventListener('abort', close, { once: true });
  try {
    for await (const message of messages) inHand.push(handleOne(message, handle, options));
  } finally {
    signal.removeEventListener('abort', close);
    await Promise.all(inHand);
  }
}

async function handleOne(
  message: JsMsg,
  handle: (event: ReceivedEvent) => Promise<void>,
  options: ConsumeEventsOptions,
): Promise<void> {
  const deliveries = message.info.deliveryCount;
  try {
    const body = await decodeJson(message);
    const clusterId = message.subject.split('.')[2] ?? '';
    const messageId = message.headers?.get('Nats-Msg-Id') ?? '';
    await withTimeout(handle({ clusterId, messageId, body, deliveries }), options.handlerTimeoutMs ?? 20_000);
    message.ack();
  } catch (cause) {
    options.onError?.(cause);
    if (cause instanceof PayloadError) return message.term('undecodable');
    if (deliveries >= (options.deliveriesMax ?? DELIVERIES_MAX)) return message.term('failed too often');
    message.nak(Math.min((options.retryMs ?? 500) * 2 ** Math.min(deliveries - 1, 16), RETRY_MS_MAX));
  }
}

async function withTimeout(work: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`An event handler took longer than ${timeoutMs} ms.`)), timeoutMs);
  });
  try {
    await Promise.race([work, bound]);
  } finally {
    clearTimeout(timer);
  }
}
