// The control plane's two NATS identities: its own in ATOLL, and one in SYS to push revocations and hear disconnects.
// It holds the account seeds anyway, so it issues its own user JWTs at every start; nothing of them is stored.

import type { NatsConnection } from '@nats-io/transport-node';
import {
  type ConnectionStatus,
  connectNats,
  createIdentity,
  inboxPrefixOf,
  issueUserJwt,
  type MessagingError,
  type NatsOperator,
  type NatsRole,
  type NatsSession,
  permissionTables,
  readOperatorFiles,
} from '#messaging';
import { StartError } from '../errors.ts';

/** Injection token and type: open connections and the operator material. Closed by the shutdown sequence, not by users. */
export abstract class ControlPlaneNats {
  /** In ATOLL: all of `atoll.v1.>`, JetStream. */
  abstract readonly connection: NatsConnection;
  /** In SYS: claims push, connect and disconnect advisories of accounts. */
  abstract readonly systemConnection: NatsConnection;
  /** Seeds and JWTs of operator, SYS and ATOLL. Secret. */
  abstract readonly operator: NatsOperator;
  /** What agents are told to connect to. */
  abstract readonly agentServers: readonly string[];
  /** True while both connections are up. */
  abstract isConnected(): boolean;
  /** Calls back with each later change of state of either connection; returns how to stop listening. */
  abstract onStatus(listener: (who: 'control-plane' | 'system', status: ConnectionStatus) => void): () => void;
  abstract close(): Promise<void>;
}

export interface ConnectControlPlaneOptions {
  readonly servers: readonly string[];
  readonly agentServers: readonly string[];
  readonly operatorDirectory: string;
  readonly name: string;
  readonly signal?: AbortSignal;
  readonly onError: (error: MessagingError) => void;
}

type Listener = (who: 'control-plane' | 'system', status: ConnectionStatus) => void;

/**
 * Waits until NATS takes both connections.
 *
 * @throws StartError when the operator files are missing; MessagingError `closed` when `signal` aborts the wait
 */
export async function connectControlPlane(options: ConnectControlPlaneOptions): Promise<ControlPlaneNats> {
  const operator = await readOperatorFiles(options.operatorDirectory);
  if (operator === undefined) {
    throw new StartError(
      `There are no NATS operator files in ${options.operatorDirectory}: make them with bootstrap.js --directory DIR.`,
    );
  }
  const listeners = new Set<Listener>();
  const tell: Listener = (who, status) => {
    for (const listener of listeners) listener(who, status);
  };
  const own = await openSession(options, 'control-plane', operator.atollAccount.seed, tell);
  const system = await openSession(options, 'system', operator.systemAccount.seed, tell).catch(async (cause) => {
    await own.close(0);
    throw cause;
  });
  return {
    connection: own.connection,
    systemConnection: system.connection,
    operator,
    agentServers: options.agentServers,
    isConnected: () => own.status().state === 'connected' && system.status().state === 'connected',
    onStatus: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => {
      await Promise.all([own.close(), system.close()]);
    },
  };
}

async function openSession(
  options: ConnectControlPlaneOptions,
  role: NatsRole & ('control-plane' | 'system'),
  accountSeed: string,
  tell: Listener,
): Promise<NatsSession> {
  const { publicKey, seed } = createIdentity();
  const permissions = permissionTables[role]();
  const jwt = await issueUserJwt({ accountSeed, userPublicKey: publicKey, name: options.name, role, permissions });
  return connectNats({
    servers: options.servers,
    credentials: () => ({ jwt, seed }),
    name: `${options.name}-${role}`,
    inboxPrefix: inboxPrefixOf(role),
    onStatus: (status) => tell(role, status),
    onError: options.onError,
    reconnectJitterMs: 100,
    reconnectWaitMs: 250,
    ...(options.signal ? { signal: options.signal } : {}),
  });
}
