// Where neighbours of the same site group fetch files from this cluster: `GET|HEAD /atoll/blobs/<digest>`, with ranges.
//
// Invariants (DESIGN §7.5): only files of versions that are held, that is hashed in this boot, and that the token names are
// sent, and from the version's own folder, which is what verification looks after; never a partial. Without a token every
// method and path is 401 (S1). The receiver hashes what it gets all the same.
// Bounds: 64 connections, more are closed at once; heads of 16 KiB within 10 s; a socket on which nothing moves for 30 s
// is closed. Whoever is cut off resumes by a range, here or elsewhere, so nothing is drained at the end.
import { once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Logger } from 'pino';
import { digestSchema } from '#contracts';
import type { VersionFile } from '#domain';
import { hasCode, messageOf } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';
import { blobEndpointOf } from './blob-endpoint.ts';
import { byteRangeOf } from './byte-range.ts';
import { bearerOf, judgeNeighbourToken, readVerifyingKey } from './neighbour-tokens.ts';

export const BLOBS_PATH = '/atoll/blobs/';
const CONNECTIONS_MAX = 64;
const HEADER_BYTES_MAX = 16_384;
const HEAD_MS_MAX = 10_000;
const IDLE_MS_MAX = 30_000;
const CHUNK_BYTES = 262_144;
const RETRY_AFTER_SECONDS = 5;

/** A file of a held version. */
export interface HeldFile {
  readonly versionDigest: string;
  readonly path: string;
  readonly sizeBytes: number;
}

export interface NeighbourServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** `host:port` for neighbours to dial. Default: where it listens, when that is one address. */
  readonly advertise?: string | undefined;
  readonly clusterId: string;
  /** SPKI, PEM; undefined until the control plane has told it once. */
  readonly verifyingKey: () => string | undefined;
  /** A token came that our key does not prove: the key may have been changed. Must not throw. */
  readonly onForged: () => void;
  /** The file with this content in one of these versions, if that version is held now. */
  readonly find: (versionDigests: ReadonlySet<string>, digest: string) => HeldFile | undefined;
  /** A file that should be held is not there, or has another size. */
  readonly onDamaged: (versionDigest: string) => void;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
  /** Default 30 s. */
  readonly idleMsMax?: number;
}

interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly headers?: Readonly<Record<string, string>>;
}
type Access = { readonly versionDigests: ReadonlySet<string> } | Refusal;

export class NeighbourServer {
  readonly #options: NeighbourServerOptions;
  readonly #server: Server;

  constructor(options: NeighbourServerOptions) {
    this.#options = options;
    const bounds = { maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: HEAD_MS_MAX, requestTimeout: HEAD_MS_MAX };
    this.#server = createServer(bounds, (request, response) => {
      this.#answer(request, response).catch((cause: unknown) => {
        options.log.warn({ reason: messageOf(cause) }, 'a neighbour could not be answered');
        if (response.headersSent) response.destroy();
        else refuse(response, { status: 500, reason: 'The file cannot be read here; fetch it elsewhere.' });
      });
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.setTimeout(options.idleMsMax ?? IDLE_MS_MAX, (socket) => socket.destroy());
    this.#server.on('clientError', (_cause, socket) => socket.destroy());
    this.#server.on('upgrade', (_request, socket) => {
      socket.on('error', () => undefined).end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n');
    });
  }

  /** Undefined while it does not listen. */
  get port(): number | undefined {
    return (this.#server.address() as AddressInfo | null)?.port;
  }

  /** What the report tells neighbours; undefined while it does not listen, or nobody could be told where. */
  get endpoint(): string | undefined {
    const { host, advertise } = this.#options;
    return blobEndpointOf(host, advertise, this.port);
  }

  /** Resolves once it listens. */
  async start(): Promise<void> {
    const { host, log } = this.#options;
    this.#server.listen(this.#options.port, host);
    await once(this.#server, 'listening');
    log.info({ host, port: this.port }, 'neighbours may fetch here');
    if (this.endpoint === undefined) log.warn('no neighbour is told where to fetch: set neighbours.advertise');
  }

  /** Closes every connection. Idempotent. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const access = await this.#judge(request);
    if ('status' in access) return this.#refuse(response, access);
    const digest = blobOf(request.url);
    if (digest === undefined)
      return this.#refuse(response, { status: 404, reason: 'Files are at /atoll/blobs/<SHA-256>.' });
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return this.#refuse(response, { status: 405, reason: 'Use GET or HEAD.', headers: { allow: 'GET, HEAD' } });
    }
    const file = this.#options.find(access.versionDigests, digest);
    const handle = file === undefined ? undefined : await this.#open(file);
    if (file === undefined || handle === undefined) {
      const reason = 'No version that this token names and that is held here has that file.';
      return this.#refuse(response, { status: 404, reason });
    }
    try {
      await this.#send(request, response, handle, digest, file.sizeBytes);
    } finally {
      await handle.close();
    }
  }

  async #judge({ headers }: IncomingMessage): Promise<Access> {
    const { verifyingKey, clusterId, onForged } = this.#options;
    const token = bearerOf(headers.authorization);
    const unknown = {
      status: 401,
      reason: 'Send the token of a sync plan.',
      headers: { 'www-authenticate': 'Bearer' },
    };
    if (token === undefined) return unknown;
    const pem = verifyingKey();
    const key = pem === undefined ? null : readVerifyingKey(pem);
    if (key === null) {
      const reason = 'This cluster does not know yet by which key tokens are proven.';
      return { status: 503, reason, headers: { 'retry-after': String(RETRY_AFTER_SECONDS) } };
    }
    const verdict = await judgeNeighbourToken(token, key, clusterId, new Date());
    if (verdict.verdict === 'granted') return verdict;
    if (verdict.verdict === 'refused') {
      return { status: 403, reason: `This token does not count here: ${verdict.reason}. Ask for a new sync plan.` };
    }
    if (verdict.isForged) onForged();
    return unknown;
  }

  /** Undefined when it is not there as it should be, which somebody should look into. */
  async #open({ path, sizeBytes, versionDigest }: HeldFile): Promise<FileHandle | undefined> {
    const handle = await open(path).catch((cause: unknown) => {
      if (hasCode(cause, 'ENOENT', 'ENOTDIR')) return undefined;
      throw cause;
    });
    const found = await handle?.stat();
    if (found?.isFile() && found.size === sizeBytes) return handle;
    await handle?.close();
    this.#options.onDamaged(versionDigest);
    return undefined;
  }

  async #send(
    request: IncomingMessage,
    response: ServerResponse,
    handle: FileHandle,
    digest: string,
    sizeBytes: number,
  ): Promise<void> {
    const etag = `"${digest}"`;
    const range = byteRangeOf(request.headers.range, one(request.headers['if-range']), etag, sizeBytes);
    if (range.kind === 'unsatisfiable') {
      const headers = { 'content-range': `bytes */${sizeBytes}` };
      return this.#refuse(response, { status: 416, reason: `The file has ${sizeBytes} bytes.`, headers });
    }
    const { first, last } = range.kind === 'part' ? range : { first: 0, last: sizeBytes - 1 };
    response.writeHead(range.kind === 'part' ? 206 : 200, {
      'content-type': 'application/octet-stream',
      'content-length': last - first + 1,
      'accept-ranges': 'bytes',
      etag,
      ...(range.kind === 'part' ? { 'content-range': `bytes ${first}-${last}/${sizeBytes}` } : {}),
    });
    if (request.method === 'HEAD' || sizeBytes === 0) return void response.end();
    const stream = handle.createReadStream({ start: first, end: last, highWaterMark: CHUNK_BYTES, autoClose: false });
    try {
      await pipeline(stream, response);
    } catch (cause) {
      // They went away, or were cut off by the bound on idle sockets: they come again.
      if (!hasCode(cause, 'ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE')) throw cause;
    } finally {
      this.#options.metrics.neighbourServed(stream.bytesRead);
    }
  }

  #refuse(response: ServerResponse, refusal: Refusal): void {
    this.#options.metrics.neighbourRefused(refusal.status);
    refuse(response, refusal);
  }
}

/**
 * The file with this content in the first of these versions that has it.
 *
 * @param filesOf the files of a version that is held and trusted; undefined of any other
 */
export function findHeldFile(
  versionDigests: ReadonlySet<string>,
  digest: string,
  filesOf: (versionDigest: string) => readonly VersionFile[] | undefined,
  folderOf: (versionDigest: string) => string,
): HeldFile | undefined {
  for (const versionDigest of versionDigests) {
    const file = filesOf(versionDigest)?.find((each) => each.digest === digest);
    if (file !== undefined) {
      return { versionDigest, path: join(folderOf(versionDigest), file.path), sizeBytes: file.sizeBytes };
    }
  }
  return undefined;
}

/** A body that nobody reads must not be taken for the next request, so the connection ends. */
function refuse(response: ServerResponse, { status, reason, headers }: Refusal): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers, connection: 'close' });
  response.end(response.req.method === 'HEAD' ? undefined : `${reason}\n`);
}

function blobOf(url: string | undefined): string | undefined {
  if (url?.startsWith(BLOBS_PATH) !== true) return undefined;
  return digestSchema.safeParse(url.slice(BLOBS_PATH.length)).data;
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
