import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** Everything around a command: streams, environment, clock. Specs bring their own. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute path of the working directory. */
  readonly cwd: string;
  /** Absolute path of the checkout that this program was built from. */
  readonly programRoot: string;
  /** Results. */
  out(text: string): void;
  /** Progress, notes and errors. */
  err(text: string): void;
  /** All of standard input, as text. */
  readInput(): string;
  /** True when `err` goes to a person's screen, where a line may be rewritten. */
  readonly hasLiveLine: boolean;
  /** True when `out` goes to a screen that shows colours. */
  readonly hasColours: boolean;
  /** Width of `out`; 80 when it is no screen. */
  readonly columns: number;
  now(): Date;
  /** Aborted when the user presses Ctrl-C. */
  readonly signal: AbortSignal;
}

const COLUMNS_DEFAULT = 80;
const EXIT_INTERRUPTED = 130;

/** The process' own. A second Ctrl-C ends it at once. */
export function ownTerminal(): Terminal {
  const interruption = new AbortController();
  process.on('SIGINT', () => {
    if (interruption.signal.aborted) process.exit(EXIT_INTERRUPTED);
    interruption.abort();
  });
  // `atoll … | head` closes the pipe early: nobody reads on, so nothing is left to do.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  }
  const { env, stdout, stderr } = process;
  const isDumb = env.TERM === 'dumb';
  return {
    env,
    cwd: process.cwd(),
    programRoot: resolve(import.meta.dirname, import.meta.url.endsWith('.ts') ? '../../..' : '../../../../..'),
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    readInput: () => readFileSync(0, 'utf8'),
    hasLiveLine: stderr.isTTY === true && !isDumb,
    hasColours: stdout.isTTY === true && !isDumb && !env.NO_COLOR,
    columns: stdout.isTTY && stdout.columns ? stdout.columns : COLUMNS_DEFAULT,
    now: () => new Date(),
    signal: interruption.signal,
  };
}
