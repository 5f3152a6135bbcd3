/**
 * What no schema looks for, anywhere in what a caller sent: text that Postgres cannot store (NUL, halves of surrogate
 * pairs), and names that every JavaScript object has already, so that whoever asks for them finds something else. Pure.
 */
import { type FieldError, fieldName, PROBLEM_ERRORS_MAX } from './problem.ts';

interface Spot {
  readonly value: unknown;
  readonly key: string | number | null;
  readonly parent: Spot | null;
}

const INHERITED: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** At most PROBLEM_ERRORS_MAX, in no order. Without recursion: whatever depth the parser let through. */
export function unspeakableIn(given: unknown, prefix: readonly string[]): FieldError[] {
  const errors: FieldError[] = [];
  const left: Spot[] = [{ value: given, key: null, parent: null }];
  for (let spot = left.pop(); spot !== undefined && errors.length < PROBLEM_ERRORS_MAX; spot = left.pop()) {
    const problem = problemOf(spot);
    if (problem !== null) errors.push({ field: fieldName([...prefix, ...pathOf(spot)]), message: problem });
    const { value } = spot;
    if (Array.isArray(value)) for (const [key, each] of value.entries()) left.push({ value: each, key, parent: spot });
    else if (isPlainObject(value)) {
      for (const [key, each] of Object.entries(value)) left.push({ value: each, key, parent: spot });
    }
  }
  return errors;
}

function problemOf({ value, key }: Spot): string | null {
  if (typeof key === 'string') {
    if (INHERITED.has(key)) return 'is not a known field, and nothing can be called so';
    const name = textProblem(key);
    if (name !== null) return `has a name that ${name}`;
  }
  const problem = typeof value === 'string' ? textProblem(value) : null;
  return problem;
}

function textProblem(text: string): string | null {
  if (text.includes('\0')) return 'must not contain NUL';
  return text.isWellFormed() ? null : 'must be whole Unicode text: there is half of a surrogate pair in it';
}

/** What a parser made: not a stream, nor anything else with a life of its own. */
function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function pathOf(spot: Spot): (string | number)[] {
  const path: (string | number)[] = [];
  for (let each: Spot | null = spot; each !== null; each = each.parent) if (each.key !== null) path.unshift(each.key);
  return path;
}
