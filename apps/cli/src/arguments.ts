// What an argument must look like, said by commander with the argument's name. The contracts' schemas decide.
import { InvalidArgumentError } from 'commander';
import type { z } from 'zod';
import { labelsSchema, nameSchema } from '#contracts';
import type { Labels } from '#domain';

/** A parser for commander that accepts what the schema accepts. */
export function accepted<Output>(schema: z.ZodType<Output>): (text: string) => Output {
  return (text) => {
    const parsed = schema.safeParse(text);
    if (parsed.success) return parsed.data;
    // What is wrong with a key of a record is said one level below.
    const issues = parsed.error.issues.flatMap((issue) => (issue.code === 'invalid_key' ? issue.issues : [issue]));
    throw new InvalidArgumentError(issues.map(({ message }) => message).join('; '));
  };
}

export const parseName = accepted(nameSchema);

/** Adds to the list that earlier occurrences made. */
export function collect<Item>(parse: (text: string) => Item): (text: string, earlier?: Item[]) => Item[] {
  return (text, earlier = []) => [...earlier, parse(text)];
}

/** A whole number from `min` to `max`, in decimal digits. */
export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number ${range}.`);
  };
}

/** One of `choices`, for options that may be given several times. */
export function oneOf<Choice extends string>(choices: readonly Choice[]): (text: string) => Choice {
  return (text) => {
    const choice = choices.find((each) => each === text);
    if (choice !== undefined) return choice;
    throw new InvalidArgumentError(`Allowed choices are ${choices.join(', ')}.`);
  };
}

/** `key=value`, added to earlier ones. */
export function parseLabel(text: string, earlier: Labels = {}): Labels {
  const cut = text.indexOf('=');
  if (cut < 1) throw new InvalidArgumentError('It must be written key=value, such as site=harbour.');
  const labels = { ...earlier, [text.slice(0, cut)]: text.slice(cut + 1) };
  return accepted(labelsSchema as unknown as z.ZodType<Labels>)(labels as never);
}

const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** Bytes: `800`, `512Mi`, `24G`. */
export function parseBytes(text: string): number {
  const match = /^(\d{1,15}(?:\.\d{1,3})?)([kMGT]|[KMGT]i)?$/.exec(text);
  const bytes = match ? Math.round(Number(match[1]) * BYTE_UNITS[match[2] ?? '']!) : 0;
  if (bytes >= 1 && Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError('It must be a number of bytes such as 800M, 24G or 512Mi.');
}

const DURATION_UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** A parser of durations such as `90s`, `15m`, `12h`, `30d`, within bounds; gives seconds. */
export function durationSeconds(min: number, max: number): (text: string) => number {
  return (text) => {
    const match = /^(\d{1,9})([smhd])$/.exec(text);
    const seconds = match ? Number(match[1]) * DURATION_UNITS[match[2]!]! : Number.NaN;
    if (seconds >= min && seconds <= max) return seconds;
    throw new InvalidArgumentError(
      `It must be a duration such as 90s, 15m, 12h or 30d, from ${min} to ${max} seconds.`,
    );
  };
}

/** A parser of shares such as `5%` or `12.5%`, within bounds; gives the number before the sign. */
export function parsePercent(min: number, max: number): (text: string) => number {
  return (text) => {
    const match = /^(\d{1,3}(?:\.\d{1,3})?)%$/.exec(text);
    const percent = match ? Number(match[1]) : Number.NaN;
    if (percent >= min && percent <= max) return percent;
    throw new InvalidArgumentError(`It must be a percentage from ${min}% to ${max}%, such as 5%.`);
  };
}

/** A parser of multiples such as `3x` or `1.5x`, within bounds. */
export function parseTimes(min: number, max: number): (text: string) => number {
  return (text) => {
    const match = /^(\d{1,6}(?:\.\d{1,3})?)x$/.exec(text);
    const times = match ? Number(match[1]) : Number.NaN;
    if (times >= min && times <= max) return times;
    throw new InvalidArgumentError(`It must be a multiple from ${min}x to ${max}x, such as 3x.`);
  };
}
