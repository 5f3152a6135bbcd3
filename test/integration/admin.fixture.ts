/** A whole control plane on real servers, and a caller for its HTTP side. Specs only. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfiguration } from '#configuration';
import { splitToken } from '#domain';
import { createIdentity, type NatsKey, proveIdentity, readOperatorFiles } from '#messaging';
import { migrate } from '#store';
import { createLogger } from '#telemetry';
import { createTestDatabase, startNatsServer, type TestDatabase, type TestNatsServer } from '#testing';
import { type ControlPlane, startControlPlane } from '../../apps/control-plane/src/application.ts';
import { controlPlaneConfiguration } from '../../apps/control-plane/src/configuration.ts';
import { bootstrapInstallation } from '../../apps/control-plane/src/installation/bootstrap.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed when it is JSON, else the text; null when empty. */
  // biome-ignore lint/suspicious/noExplicitAny: answers are compared, not trusted
  readonly body: any;
}

export interface Call {
  readonly key?: string | null;
  readonly body?: unknown;
  readonly raw?: Uint8Array | string;
  readonly headers?: Record<string, string>;
}

/** The secret part of a key or token. It may itself hold `_`, so splitting at that is not enough. */
export function secretOf(text: string): string {
  const secret = (splitToken('atoll', text) ?? splitToken('atolljoin', text))?.secret;
  return secret ?? text;
}

export interface Installation {
  readonly directory: string;
  readonly server: TestNatsServer;
  readonly database: TestDatabase;
  readonly controlPlane: ControlPlane;
  readonly ownerKey: string;
  /** Lines that the control plane logged. */
  readonly log: string[];
  /** Calls with the owner's key unless another, or none, is given. */
  call(method: string, path: string, call?: Call): Promise<Answer>;
  /** Starts another control plane on the same installation. */
  startAnother(environment?: Record<string, string>): Promise<ControlPlane>;
  stop(): Promise<void>;
}

export async function startInstallation(environment: Record<string, string> = {}): Promise<Installation> {
  const directory = await mkdtemp(join(tmpdir(), 'atoll-admin-'));
  await bootstrapInstallation(directory);
  const operator = (await readOperatorFiles(directory))!;
  const [database, server] = await Promise.all([createTestDatabase({ migrate }), startNatsServer({ operator })]);
  const log: string[] = [];
  const start = (extra: Record<string, string> = {}) =>
    startControlPlane(configurationFor({ directory, database, server }, { ...environment, ...extra }), {
      logger: createLogger({
        process: 'control-plane',
        level: 'info',
        destination: { write: (line) => void log.push(line) },
      }),
    });
  const controlPlane = await start();
  const ownerKey = (await readFile(join(directory, 'owner.key'), 'utf8')).trim();
  const others: ControlPlane[] = [];
  return {
    directory,
    server,
    database,
    controlPlane,
    ownerKey,
    log,
    call: (method, path, call = {}) => callApi(controlPlane.url, method, path, { key: ownerKey, ...call }),
    startAnother: async (extra) => {
      const other = await start(extra);
      others.push(other);
      return other;
    },
    stop: async () => {
      for (const each of [...others, controlPlane]) await each.close();
      await server.stop();
      await database.drop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function configurationFor(
  parts: { directory: string; database: TestDatabase; server: TestNatsServer },
  extra: Record<string, string>,
) {
  const { directory, database, server } = parts;
  return loadConfiguration(controlPlaneConfiguration, {
    argv: [],
    env: {
      ATOLL_HTTP_PORT: '0',
      ATOLL_DATABASE_URL: database.url,
      ATOLL_NATS_SERVERS: JSON.stringify([server.url]),
      ATOLL_NATS_OPERATOR_DIRECTORY: directory,
      ATOLL_BLOBS_DIRECTORY: join(directory, 'blobs'),
      ATOLL_SECRETS_PEPPER_FILE: join(directory, 'pepper'),
      ATOLL_SECRETS_BLOB_SIGNING_KEY_FILE: join(directory, 'blob-signing-key.pem'),
      ATOLL_OWNER_KEY_FILE: join(directory, 'owner.key'),
      ...extra,
    },
  });
}

export async function callApi(url: string, method: string, path: string, call: Call = {}): Promise<Answer> {
  const headers: Record<string, string> = { ...call.headers };
  if (call.key) headers.authorization ??= `Bearer ${call.key}`;
  if (call.body !== undefined) headers['content-type'] ??= 'application/json';
  const body = call.raw ?? (call.body === undefined ? undefined : JSON.stringify(call.body));
  const response = await fetch(`${url}${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: body as RequestInit['body'] }),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? null : isJson ? JSON.parse(text) : text,
  };
}

/** What an agent sends to join or to renew, signed by `identity`. */
export async function proven(
  url: string,
  identity: NatsKey,
  body: Record<string, unknown>,
): Promise<Record<string, unknown>> {
  const { body: challenge } = await callApi(url, 'GET', '/api/v1/agent/challenge');
  const signature = proveIdentity(identity.seed, challenge.nonce, body);
  return { ...body, publicKey: identity.publicKey, nonce: challenge.nonce, signature };
}

/** Joins a cluster and returns its identity and the reply. */
export async function joinCluster(installation: Installation, name: string, options: Record<string, unknown> = {}) {
  const wanted = { clusterName: name, kind: 'edge', preApproved: true, ...options };
  const { body: made } = await installation.call('POST', '/api/v1/join-tokens', { body: wanted });
  const identity = createIdentity();
  const { url } = installation.controlPlane;
  const body = await proven(url, identity, { token: made.token, agentVersion: '0.1.0' });
  const { body: reply } = await callApi(url, 'POST', '/api/v1/agent/join', { body });
  return { identity, token: made.token as string, reply };
}

/** A well-formed GGUF file of this size: a header that names no tensors, then random bytes. */
export function gguf(sizeBytes: number): Buffer {
  const header = Buffer.alloc(24);
  header.write('GGUF');
  header.writeUInt32LE(3, 4);
  return Buffer.concat([header, randomBytes(sizeBytes - header.length)]);
}

/** Publishes a version of one GGUF file and returns it. */
export async function publishVersion(installation: Installation, model: string, content: Buffer) {
  const at = `/api/v1/models/${model}/versions`;
  const files = [{ path: 'model.gguf', sizeBytes: content.length }];
  const { body: version } = await installation.call('POST', at, { body: { files } });
  await upload(installation, model, version.number, 'model.gguf', content);
  return (await installation.call('POST', `${at}/${version.number}/publish`)).body;
}

export function upload(
  installation: Installation,
  model: string,
  number: number,
  path: string,
  raw: Uint8Array,
  offset = 0,
) {
  const query = `path=${encodeURIComponent(path)}&offset=${offset}`;
  const headers = { 'content-type': 'application/octet-stream' };
  return installation.call('PUT', `/api/v1/models/${model}/versions/${number}/content?${query}`, { raw, headers });
}
