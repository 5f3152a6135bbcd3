// Where the control plane and the gateway are, and the key to them. A flag wins over a variable, a variable over the
// running quickstart. A key found in the quickstart's folder is only ever sent to the addresses found beside it.
import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { AdminClient } from '#contracts';
import { UsageError } from './errors.ts';
import type { Terminal } from './terminal.ts';

export interface ConnectionOptions {
  readonly url?: string;
  readonly tokenFile?: string;
}

export interface Endpoint {
  /** Without a trailing slash. */
  readonly url: string;
  readonly token: string;
}

const contextSchema = z.object({
  url: z.url(),
  gatewayUrl: z.url(),
  tokenFile: z.string().min(1),
  /** A key that may do inference and nothing else. */
  keyFile: z.string().min(1).optional(),
});
export type Context = z.infer<typeof contextSchema>;

const CONTEXT_PATH = '.atoll/quickstart/context.json';
const TOKEN_BYTES_MAX = 64 * 1024;

export function addConnectionOptions(command: Command): Command {
  return command
    .option('--url <url>', 'the control plane, such as https://atoll.example.com (or ATOLL_URL)')
    .option('--token-file <path>', 'file with an admin key, readable by you only (or ATOLL_TOKEN)');
}

/** Throws UsageError saying what to do when there is nowhere to connect to. */
export function connect(terminal: Terminal, options: ConnectionOptions): AdminClient {
  const { url, token } = resolveEndpoint(terminal, {
    what: 'control plane',
    url: options.url ?? terminal.env.ATOLL_URL,
    urlHint: '--url (or ATOLL_URL)',
    tokenFile: options.tokenFile,
    tokenHint: '--token-file (or ATOLL_TOKEN)',
    contextUrl: (context) => context.url,
    contextTokenFile: (context) => context.tokenFile,
  });
  return new AdminClient(url, token);
}

export interface EndpointQuestion {
  readonly what: string;
  readonly url: string | undefined;
  readonly urlHint: string;
  readonly tokenFile: string | undefined;
  readonly tokenHint: string;
  contextUrl(context: Context): string;
  contextTokenFile(context: Context): string;
}

export function resolveEndpoint(terminal: Terminal, question: EndpointQuestion): Endpoint {
  const given = question.url?.trim() || undefined;
  const token =
    question.tokenFile === undefined
      ? terminal.env.ATOLL_TOKEN?.trim() || undefined
      : readToken(resolve(terminal.cwd, question.tokenFile));
  if (given !== undefined && token !== undefined) return { url: checkedUrl(given), token };

  const context = findContext(terminal);
  const found = context && question.contextUrl(context);
  const url = checkedUrl(given ?? found ?? nowhere(question));
  if (token !== undefined) return { url, token };
  if (context === undefined || found === undefined || checkedUrl(found) !== url) {
    throw new UsageError(`no key for ${url}; give one with ${question.tokenHint}`);
  }
  return { url, token: readToken(question.contextTokenFile(context)) };
}

function nowhere({ what, urlHint, tokenHint }: EndpointQuestion): never {
  throw new UsageError(
    `no ${what} to talk to.\n  Start one on this machine with ./atoll quickstart, or name one with ${urlHint} and ${tokenHint}.`,
  );
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new UsageError(`"${text}" is no URL; it must look like https://atoll.example.com`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new UsageError('a URL must hold no user name or password; give the key in a file');
  }
  return url.href.replace(/\/+$/, '');
}

/** In ATOLL_HOME when it is set; else in the working directory or above it; else in this program's own checkout. */
function findContext({ env, cwd, programRoot }: Terminal): Context | undefined {
  const folders = env.ATOLL_HOME ? [resolve(cwd, env.ATOLL_HOME)] : [...upwards(cwd), programRoot];
  for (const folder of folders) {
    const path = join(folder, CONTEXT_PATH);
    if (statSync(path, { throwIfNoEntry: false }) === undefined) continue;
    return readContext(path);
  }
  return undefined;
}

function* upwards(folder: string): Generator<string> {
  yield folder;
  const parent = dirname(folder);
  if (parent !== folder) yield* upwards(parent);
}

/** Somebody else's context in a folder above could send this user's key anywhere: it is not followed. */
function readContext(path: string): Context {
  const stat = statSync(path);
  const isOurs = process.getuid === undefined || stat.uid === process.getuid();
  if (!isOurs || (stat.mode & 0o022) !== 0) {
    throw new UsageError(`${path} belongs to, or can be changed by, another user; use --url and --token-file`);
  }
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    content = undefined;
  }
  const parsed = contextSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  throw new UsageError(`${path} is not what ./atoll quickstart writes; run ./atoll down and ./atoll quickstart again`);
}

/** The key in a file that its owner alone may read. The key itself is in no message. */
function readToken(path: string): string {
  const text = readPrivateFile(path, 'key').trim();
  if (!/^[\x21-\x7e]+$/.test(text)) throw new UsageError(`${path} does not hold a key: one line of visible characters`);
  return text;
}

/** A small file that its owner alone may read. Throws UsageError, which says what it is and never what is in it. */
export function readPrivateFile(path: string, what: string): string {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, 'r');
    const stat = fstatSync(descriptor);
    if (stat.isFile() && (stat.mode & 0o077) !== 0) {
      throw new UsageError(`${path} can be read by others on this machine; run chmod 600 ${path}`);
    }
    if (stat.size > TOKEN_BYTES_MAX) throw new UsageError(`${path} is too large to be a ${what}`);
    return readFileSync(descriptor, 'utf8');
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`the ${what} in ${path} cannot be read${code === 'ENOENT' ? ': no such file' : ` (${code})`}`);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
