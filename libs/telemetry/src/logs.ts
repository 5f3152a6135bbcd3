/** Structured logs: JSON lines, with ids to follow a request by, and without what must never be in a log (S8). */
import type { LoggerService } from '@nestjs/common';
import { type Bindings, type ChildLoggerOptions, type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import { REDACTED, withoutSecrets } from './redaction.ts';

export type Logger = PinoLogger;
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** Keys whose values pino never writes: a second layer, which also reaches into errors and other class instances. */
const SECRET_KEYS = [
  'authorization',
  'password',
  'token',
  'secret',
  'seed',
  'jwt',
  'key',
  'messages',
  'prompt',
  'input',
  'body',
  'connectionString',
];

export interface LoggerOptions {
  readonly process: string;
  /** Default `info`. */
  readonly level?: LogLevel;
  /** Default: standard output. */
  readonly destination?: DestinationStream;
  /** In every line, e.g. `{ clusterId }`. */
  readonly bindings?: Readonly<Record<string, unknown>>;
}

export function createLogger(options: LoggerOptions): Logger {
  const paths = SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: withoutSecrets({ process: options.process, pid: process.pid, ...options.bindings }),
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: withoutSecrets },
      redact: { paths, censor: REDACTED },
    },
    options.destination ?? pino.destination({ fd: 1, sync: true }),
  );
  // pino formats bindings at the root only; children inherit from this object, so this reaches every generation.
  const { child } = logger;
  logger.child = function <Levels extends string = never>(
    this: unknown,
    bindings: Bindings,
    childOptions?: ChildLoggerOptions<Levels>,
  ): PinoLogger<Levels> {
    return Reflect.apply(child, this, [withoutSecrets(bindings), childOptions]);
  };
  return logger;
}

/** Nest's own messages through the same logger. */
export class NestLoggerAdapter implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    // Nest is talkative at start: what it says is worth a debug line, not an operator's attention.
    this.logger.debug({ context: contextOf(rest) }, String(message));
  }

  error(message: unknown, ...rest: unknown[]): void {
    if (message instanceof Error) this.logger.error({ err: message, context: contextOf(rest) }, message.message);
    else this.logger.error({ context: contextOf(rest), detail: rest.slice(0, -1) }, String(message));
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.logger.warn({ context: contextOf(rest) }, String(message));
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.logger.debug({ context: contextOf(rest) }, String(message));
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.logger.trace({ context: contextOf(rest) }, String(message));
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.logger.fatal({ context: contextOf(rest) }, String(message));
  }
}

function contextOf(rest: readonly unknown[]): string | undefined {
  const last = rest.at(-1);
  return typeof last === 'string' ? last : undefined;
}
