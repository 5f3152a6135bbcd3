// Every knob of the simulated engine, with bounds and defaults. Each is a flag: `firstTokenMs` is `--first-token-ms`.
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { failureSchema } from './failures.ts';
import { closestFlag } from './flag-words.ts';

const count = (min: number, max: number) => z.coerce.number().int().min(min).max(max);
const time = (max: number) => z.coerce.number().min(0).max(max);

export const settingsSchema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').describe('address to listen on'),
  port: count(0, 65_535).default(8_000).describe('0 takes any free one'),
  model: z.string().min(1).max(256).default('sim').describe('what clients ask for'),
  modelVersion: z.string().min(1).max(128).default('none').describe('shown in every answer'),
  token: z.string().min(1).optional().describe('bearer token that /v1 wants; none: anybody may ask'),
  firstTokenMs: time(3_600_000).default(40).describe('from a slot to the first token, whatever the prompt'),
  prefillMsPerToken: time(60_000).default(0.2).describe('added for each token of the prompt that is not cached'),
  tokenMs: time(60_000).default(15).describe('between two tokens'),
  slots: count(1, 64).default(8).describe('generations at a time'),
  queueMax: count(0, 10_000).default(256).describe('requests that wait; more are refused'),
  contextSize: count(8, 10_000_000).default(4_096).describe('tokens that prompt and answer share'),
  cacheTokens: count(16, 1_000_000_000).default(65_536).describe('tokens that the cache has room for'),
  blockTokens: count(1, 1_024).default(16).describe('tokens of one block of the prefix cache'),
  answerTokens: count(1, 100_000).default(48).describe('longest answer that is not asked for'),
  seed: z.coerce.number().int().default(1).describe('the same seed and requests give the same text and failures'),
  startMs: time(3_600_000).default(0).describe('until it is ready'),
  fail: z.array(failureSchema).max(16).default([]).describe('kind:share[:tokens], may be repeated; see below'),
  leakBytes: count(0, 1_073_741_824).default(0).describe('memory that each request leaves behind'),
  ignoreSigterm: z.boolean().default(false).describe('goes on when it is told to end'),
});
export type Settings = z.output<typeof settingsSchema>;

/** What cannot be started so; the message names the flag. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

const flagOf = (key: string) => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const keyOf = (flag: string) => flag.replace(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase());
const KEYS = Object.keys(settingsSchema.shape) as (keyof Settings)[];

/** Throws SettingsError for a flag that is unknown or out of bounds. */
export function readSettings(flags: readonly string[]): Settings {
  const options = Object.fromEntries(
    KEYS.map((key) => [
      flagOf(key),
      { type: key === 'ignoreSigterm' ? ('boolean' as const) : ('string' as const), multiple: key === 'fail' },
    ]),
  );
  const { values } = parseFlags(flags, options);
  const given = Object.fromEntries(Object.entries(values).map(([flag, value]) => [keyOf(flag), value]));
  const parsed = settingsSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new SettingsError(`--${flagOf(String(issue?.path[0]))}: ${issue?.message ?? 'not valid'}`);
}

function parseFlags(flags: readonly string[], options: NonNullable<Parameters<typeof parseArgs>[0]>['options']) {
  try {
    return parseArgs({ args: [...flags], options });
  } catch (cause) {
    const known = KEYS.map((key) => `--${flagOf(key)}`);
    throw new SettingsError(closestFlag((cause as Error).message, known), { cause });
  }
}

/** One line a flag, for `--help`. */
export function flagLines(): string[] {
  return KEYS.map((key) => {
    const schema = settingsSchema.shape[key];
    const fallback = settingsSchema.partial().safeParse({}).data?.[key];
    const shown = fallback === undefined || Array.isArray(fallback) ? '' : ` (default ${fallback})`;
    return `  --${flagOf(key).padEnd(22)}${schema.description ?? ''}${shown}`;
  });
}
