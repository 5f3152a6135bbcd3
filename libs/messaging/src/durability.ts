// R3: whether this NATS server could lose an acknowledged write. Looked at, not assumed.

import type { NatsConnection } from '@nats-io/transport-node';
import { translateNatsError } from './errors.ts';

export interface Durability {
  /** Gauge: true when a power cut may take back acknowledged JetStream writes. */
  readonly couldLoseAckedWrites: boolean;
  readonly serverVersion: string;
  /** For log line and banner; says what to do. */
  readonly message: string;
}

/**
 * @param version as the server tells it, such as `2.10.27`
 * @param isSyncAlways what the server says of its own setting; undefined: it did not say
 */
export function assessDurability(version: string, isSyncAlways: boolean | undefined): Durability {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10) || 0);
  const knowsSyncInterval = major > 2 || (major === 2 && minor >= 10);
  const couldLoseAckedWrites = !knowsSyncInterval || isSyncAlways !== true;
  return { couldLoseAckedWrites, serverVersion: version, message: describe(version, knowsSyncInterval, isSyncAlways) };
}

function describe(version: string, knowsSyncInterval: boolean, isSyncAlways: boolean | undefined): string {
  if (!knowsSyncInterval) {
    return `nats-server ${version} knows no sync_interval: a power cut may lose acknowledged events. Upgrade to 2.10 or later.`;
  }
  if (isSyncAlways === true) return `nats-server ${version} syncs every acknowledged write to disk.`;
  const state = isSyncAlways === false ? 'does not sync' : 'did not say whether it syncs';
  return `nats-server ${version} ${state} every write: a power cut may lose acknowledged events. Set jetstream { sync_interval: always }.`;
}

interface JetStreamAnswer {
  server?: { ver?: string };
  data?: { config?: { sync_always?: boolean } };
}

/**
 * Asks the server itself.
 *
 * @param systemConnection a connection of the `system` role
 * @throws MessagingError when the server does not answer within `timeoutMs`
 */
export async function readDurability(systemConnection: NatsConnection, timeoutMs = 3000): Promise<Durability> {
  const subject = '$SYS.REQ.SERVER.PING.JSZ';
  try {
    const reply = await systemConnection.request(subject, '{"config":true}', { timeout: timeoutMs });
    const answer = reply.json<JetStreamAnswer>();
    const config = answer.data?.config;
    const version = answer.server?.ver ?? systemConnection.info?.version ?? '0.0.0';
    // The field is left out when false.
    return assessDurability(version, config ? config.sync_always === true : undefined);
  } catch (cause) {
    throw translateNatsError(cause, subject);
  }
}
