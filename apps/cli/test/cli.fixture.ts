// What the specs of the command line stand on: a terminal that remembers, and an admin API on a real socket that says
// what a spec tells it to say.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, jest } from '@jest/globals';
import { runCommandLine } from '../src/command-line.ts';
import type { Terminal } from '../src/terminal.ts';

export const NOW = new Date('2030-01-01T12:00:00.000Z');
export const TOKEN = 'atoll_test_very-secret-token';

export interface Told {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

export interface Seen {
  /** `GET /clusters`, without `/api/v1`, with the query. */
  readonly call: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}

type Answer = { status?: number; body?: unknown } | ((request: IncomingMessage, response: ServerResponse) => unknown);

export function terminalFor(overrides: Partial<Terminal> = {}): {
  terminal: Terminal;
  told: () => Omit<Told, 'exitCode'>;
} {
  let out = '';
  let err = '';
  const terminal: Terminal = {
    env: {},
    cwd: '/nonexistent',
    programRoot: '/nonexistent',
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    readInput: () => '',
    hasLiveLine: false,
    hasColours: false,
    columns: 80,
    now: () => NOW,
    signal: new AbortController().signal,
    ...overrides,
  };
  return { terminal, told: () => ({ out, err }) };
}

/** Runs the command line as a user without any context would, unless `overrides` say otherwise. */
export async function run(argv: readonly string[], overrides: Partial<Terminal> = {}): Promise<Told> {
  const { terminal, told } = terminalFor(overrides);
  const exitCode = await runCommandLine(argv, terminal);
  return { exitCode, ...told() };
}

export class AdminServer {
  readonly seen: Seen[] = [];
  private readonly answers = new Map<string, Answer>();

  private readonly server: Server = createServer((request, response) => void this.answer(request, response));

  async start(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** `call` is `GET /clusters/a`, without `/api/v1` and query. */
  on(call: string, answer: Answer): void {
    this.answers.set(call, answer);
  }

  forget(): void {
    this.seen.length = 0;
    this.answers.clear();
  }

  run(argv: readonly string[], overrides: Partial<Terminal> = {}): Promise<Told> {
    return run(argv, { env: { ATOLL_URL: this.url, ATOLL_TOKEN: TOKEN }, ...overrides });
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.replace(/^\/api\/v1/, '');
    const answer = this.answers.get(`${request.method} ${path.split('?')[0]}`);
    if (typeof answer === 'function') {
      this.seen.push({ call: `${request.method} ${path}`, headers: request.headers, body: undefined });
      await answer(request, response);
      return;
    }
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const text = Buffer.concat(pieces).toString();
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    this.seen.push({ call: `${request.method} ${path}`, headers: request.headers, body });
    const { status = 200, body: answered } = answer ?? problem(404, 'not-found', 'There is no such thing here.');
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(answered === undefined ? undefined : JSON.stringify(answered));
  }
}

/** Command lines run in this process, and on a busy machine each takes its time. */
const COMMANDS_MS_MAX = 30_000;

/**
 * An admin API for a spec file, or for the `describe` that it is called in: begun before its tests, told to forget before
 * each, stopped after them. `atoll` runs a line of words without spaces in them, on a terminal like `terminal`.
 */
export function adminServer(terminal: Partial<Terminal> = {}) {
  jest.setTimeout(COMMANDS_MS_MAX);
  const server = new AdminServer();
  beforeAll(() => server.start());
  beforeEach(() => server.forget());
  afterAll(() => server.stop());
  return {
    server,
    atoll: (command: string, overrides: Partial<Terminal> = {}) =>
      server.run(command.split(' '), { ...terminal, ...overrides }),
    /** Of the first call that begins so. */
    bodyOf: (call: string) => server.seen.find((each) => each.call.startsWith(call))?.body,
  };
}

export function problem(status: number, code: string, detail: string, errors?: { field: string; message: string }[]) {
  const body = { type: `urn:atoll:problem:${code}`, title: code, status, detail, instance: 'request-1', errors };
  return { status, body };
}

export function page(...items: unknown[]) {
  return { body: { items, next: null } };
}

/** A folder of its own for a spec file; `remove` it in the end. */
export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'atoll-cli-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
