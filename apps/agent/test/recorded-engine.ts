// An HTTP server that plays back exchanges with real engines (test/fixtures/engines): a recorded answer for each recorded
// request, and 599 for a request that was never recorded, so that what is sent is held to what was.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

export interface Exchange {
  readonly name: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly body?: Readonly<Record<string, unknown>>;
  };
  readonly response: { readonly status: number; readonly contentType: string | null; readonly body: string };
}

const FOLDER = join(import.meta.dirname, '../../../test/fixtures/engines');

export function exchangesOf(engine: string): readonly Exchange[] {
  return JSON.parse(readFileSync(join(FOLDER, `${engine}.json`), 'utf8')) as Exchange[];
}

/** Throws when there is none: a fixture that was renamed. */
export function exchangeOf(engine: string, name: string): Exchange {
  const found = exchangesOf(engine).find((exchange) => exchange.name === name);
  if (found === undefined) throw new Error(`No exchange '${name}' was recorded with ${engine}.`);
  return found;
}

export interface RecordedEngine {
  readonly url: string;
  /** Names of what was played, in order; `?` and the request where nothing was recorded. */
  readonly played: readonly string[];
  /** Answers that come instead, by path. */
  readonly instead: Map<
    string,
    { readonly status: number; readonly body?: string; readonly headers?: Record<string, string> }
  >;
  /** Authorisations that came. */
  readonly authorizations: readonly (string | undefined)[];
  close(): Promise<void>;
}

/** Of several exchanges with one request the first is played. */
export async function playEngine(exchanges: readonly Exchange[]): Promise<RecordedEngine> {
  const played: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const instead: RecordedEngine['instead'] = new Map();
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const text = await readText(request);
    const body = text === '' ? undefined : (JSON.parse(text) as unknown);
    authorizations.push(request.headers.authorization);
    const other = instead.get(request.url ?? '');
    if (other !== undefined) return void response.writeHead(other.status, other.headers).end(other.body ?? '');
    const found = exchanges.find(
      ({ request: { method, path, body: wanted } }) =>
        method === request.method && path === request.url && isDeepStrictEqual(wanted, body),
    );
    played.push(found?.name ?? `? ${request.method} ${request.url} ${text}`);
    if (found === undefined) return void response.writeHead(599).end('never recorded');
    const { status, contentType, body: recorded } = found.response;
    response.writeHead(status, contentType === null ? {} : { 'content-type': contentType }).end(recorded);
  };
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    played,
    instead,
    authorizations,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
