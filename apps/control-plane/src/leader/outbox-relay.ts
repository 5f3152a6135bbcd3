/** Publishes what transactions left in the outbox: at least once, after the commit, in order; waits while NATS is down. */
import { setTimeout as delay } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Store } from '#domain';
import { publishJson } from '#messaging';

const BATCH_MAX = 100;
/** Below the store's bound for a transaction that idles. */
const FLUSH_TIMEOUT_MS = 3_000;

/** Ends when nothing is left, or when NATS is away (asked before each batch). Gives how many were published. */
export async function relayOutbox(
  store: Store,
  nats: { readonly connection: NatsConnection; isConnected(): boolean },
  epoch: number,
  signal: AbortSignal,
): Promise<number> {
  let total = 0;
  while (!signal.aborted && nats.isConnected()) {
    const sent = await store.transaction(
      async (rows) => {
        const messages = await rows.outbox.take(BATCH_MAX);
        for (const { subject, body } of messages) publishJson(nats.connection, subject, body);
        // Once the server answers, it has all of them; a crash before the commit only sends them again.
        if (messages.length > 0) await flushInTime(nats.connection);
        await rows.outbox.done(messages.map(({ id }) => id));
        return messages.length;
      },
      { epoch },
    );
    total += sent;
    if (sent < BATCH_MAX) break;
  }
  return total;
}

async function flushInTime(connection: NatsConnection): Promise<void> {
  const answered = new AbortController();
  const tooLate = delay(FLUSH_TIMEOUT_MS, undefined, { signal: answered.signal }).then(
    () => {
      throw new Error(`NATS did not answer within ${FLUSH_TIMEOUT_MS} ms; the outbox keeps its messages`);
    },
    () => undefined,
  );
  try {
    await Promise.race([connection.flush(), tooLate]);
  } finally {
    answered.abort();
  }
}
