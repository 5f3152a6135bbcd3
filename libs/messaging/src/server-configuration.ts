// Renders nats-server's configuration file for an operator-mode installation.

import type { NatsOperator } from './operator.ts';

export interface ServerConfigurationOptions {
  /** Address to listen on. Default 127.0.0.1. */
  host?: string;
  /** Client port; -1 lets the server choose (read it from `portsFileDirectory`). */
  port: number;
  serverName?: string;
  /** Where JetStream keeps its files. */
  storeDirectory: string;
  /** Where the resolver keeps pushed account JWTs: revocations survive a restart there. */
  jwtDirectory: string;
  operator: Pick<NatsOperator, 'operator'> & {
    systemAccount: { publicKey: string; jwt: string };
    atollAccount: { publicKey: string; jwt: string };
  };
  /** Where the server writes `nats-server_<pid>.ports`, a JSON file with the chosen addresses. */
  portsFileDirectory?: string;
  pidFile?: string;
  /** False omits `sync_interval: always`, which servers older than 2.10 refuse. Default true. */
  isSyncAlways?: boolean;
}

/** nats-server's own quoting rules are JSON's for the strings that occur here. */
const quote = (text: string) => JSON.stringify(text);

/**
 * Monitoring over HTTP stays off (it knows no authentication); the system account answers the same questions.
 * `sync_interval: always` makes an acknowledged JetStream write survive a power cut.
 */
export function renderServerConfiguration(options: ServerConfigurationOptions): string {
  const { operator, systemAccount, atollAccount } = options.operator;
  const isSyncAlways = options.isSyncAlways ?? true;
  const lines = [
    `server_name: ${quote(options.serverName ?? 'atoll-nats')}`,
    `host: ${quote(options.host ?? '127.0.0.1')}`,
    `port: ${options.port}`,
    'max_payload: 8388608', // 8 MiB: a whole routing view; blobs never travel here
    'ping_interval: "20s"',
    'ping_max: 2',
    'write_deadline: "10s"',
    ...(options.portsFileDirectory ? [`ports_file_dir: ${quote(options.portsFileDirectory)}`] : []),
    ...(options.pidFile ? [`pid_file: ${quote(options.pidFile)}`] : []),
    'jetstream {',
    `  store_dir: ${quote(options.storeDirectory)}`,
    ...(isSyncAlways ? ['  sync_interval: always'] : []),
    '}',
    `operator: ${operator.jwt}`,
    `system_account: ${systemAccount.publicKey}`,
    'resolver {',
    '  type: full',
    `  dir: ${quote(options.jwtDirectory)}`,
    '  allow_delete: false',
    '  interval: "2m"',
    '}',
    'resolver_preload: {',
    `  ${systemAccount.publicKey}: ${systemAccount.jwt}`,
    `  ${atollAccount.publicKey}: ${atollAccount.jwt}`,
    '}',
  ];
  return `${lines.join('\n')}\n`;
}
