/**
 * What is wrong with a value, in a sentence for people: what it must be, and what it is. For issues of zod whose schema
 * says nothing itself; the field is named by whoever lists them. Pure.
 */
import type { z } from 'zod';

type RawIssue = Parameters<z.core.$ZodErrorMap>[0];

export function inPlainWords(issue: RawIssue): string {
  const words = wordsOf(issue);
  return issue.input === undefined && issue.code !== 'unrecognized_keys' ? `is missing; it ${words}` : words;
}

function wordsOf(issue: RawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${KINDS[issue.expected] ?? issue.expected}${butIs(issue.input)}`;
    case 'invalid_value': {
      const values = issue.values.map((value) => (typeof value === 'string' ? value : String(value)));
      return `must be ${values.length === 1 ? '' : 'one of '}${values.join(', ')}${butIs(issue.input)}`;
    }
    case 'too_big':
      return bound(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum);
    case 'too_small':
      return bound(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum);
    case 'invalid_format':
      return `must be ${FORMATS[issue.format] ?? `a valid ${issue.format}`}${butIs(issue.input)}`;
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_union':
      return `must have one of its forms${butIs(issue.input)}`;
    case 'unrecognized_keys':
      return 'is not a known field';
    default:
      return 'must be something else';
  }
}

/** zod's name of a type → what a value is then. */
const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
  null: 'null',
};

const FORMATS: Readonly<Record<string, string>> = {
  date: 'a date such as 2026-01-31',
  datetime: 'a time such as 2026-01-31T12:00:00Z',
  regex: 'of another form',
  url: 'a URL',
};

function bound(origin: string, comparison: string, limit: number | bigint): string {
  const parts = PARTS[origin];
  if (parts === undefined) return `must be ${comparison} ${limit}`;
  if (comparison === 'at least' && limit === 1) return 'must not be empty';
  return `must have ${comparison} ${limit} ${limit === 1 ? parts.one : parts.many}`;
}

const ENTRIES = { one: 'entry', many: 'entries' };
/** What a value is counted in; of others the value itself is bounded. */
const PARTS: Readonly<Record<string, { one: string; many: string }>> = {
  string: { one: 'character', many: 'characters' },
  array: ENTRIES,
  set: ENTRIES,
  map: ENTRIES,
};

const SHOWN_CHARACTERS_MAX = 64;

function butIs(value: unknown): string {
  if (value === undefined || Number.isNaN(value)) return '';
  if (Array.isArray(value)) return ', not a list';
  if (typeof value === 'object' && value !== null) return ', not an object';
  if (typeof value === 'string' && value.length > SHOWN_CHARACTERS_MAX) return ', not a longer text';
  return `, not ${JSON.stringify(value) ?? typeof value}`;
}
