// Bodies, queries and path parameters by their zod schema; what does not fit is refused naming every field.

import { type ArgumentMetadata, Injectable, StandardSchemaValidationPipe } from '@nestjs/common';
import { z } from 'zod';
import { RequestError } from '../errors.ts';
import { inPlainWords } from './plain-words.ts';
import { type FieldError, fieldName } from './problem.ts';
import { unspeakableIn } from './unspeakable.ts';

interface Issue {
  readonly code?: string;
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
  /** zod's: which keys a strict object does not know. */
  readonly keys?: readonly string[];
  /** zod's: what is wrong with a key of a record. */
  readonly issues?: readonly { readonly message: string }[];
  /** zod's: what keeps a value from each of the forms of a union. */
  readonly errors?: readonly (readonly Issue[])[];
  readonly maximum?: unknown;
  readonly minimum?: unknown;
}

type Path = readonly PropertyKey[];

@Injectable()
export class ValidationPipe extends StandardSchemaValidationPipe {
  override async transform<T = unknown>(value: T, metadata: ArgumentMetadata): Promise<T> {
    const { schema, type } = metadata;
    if (!schema || !this.toValidate(metadata)) return value;
    const prefix = metadata.data === undefined ? [] : [metadata.data];
    const input: unknown = value === undefined && type === 'body' ? {} : value;
    const unspeakable = unspeakableIn(input, prefix);
    if (type === 'query') unspeakable.push(...oddParameters(input));
    if (unspeakable.length > 0) throw invalidFields(unspeakable);
    if (!(schema instanceof z.ZodType)) throw new TypeError('only schemas of zod are checked here');
    const result = await schema.safeParseAsync(input, { error: inPlainWords });
    if (result.success) return result.data as T;
    throw invalidFields(tellingOf(result.error.issues.flatMap((issue) => toErrors(issue as Issue, prefix))));
  }
}

/** 422 with the fields at fault. */
export function invalidFields(errors: readonly FieldError[]): RequestError {
  const [first] = errors;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  const detail = first === undefined ? 'Not valid.' : `${first.field}: ${first.message}${more}`;
  return new RequestError(422, 'invalid', detail, {}, errors);
}

/** Parameters that are there and say nothing, or say two things. */
function oddParameters(query: unknown): FieldError[] {
  return Object.entries(query ?? {}).flatMap(([name, value]): FieldError[] => {
    const field = fieldName([name]);
    if (Array.isArray(value)) return [{ field, message: 'is given more than once' }];
    return value === '' ? [{ field, message: 'is empty; give it a value or leave it out' }] : [];
  });
}

interface Fault extends FieldError {
  readonly isOfNumbers: boolean;
}

/** Without a bound of numbers themselves where the field has one of its own. */
function tellingOf(faults: readonly Fault[]): FieldError[] {
  return faults
    .filter((fault) => !fault.isOfNumbers || !faults.some((each) => each.field === fault.field && !each.isOfNumbers))
    .map(({ field, message }) => ({ field, message }));
}

function toErrors(issue: Issue, prefix: Path): Fault[] {
  const path = [...prefix, ...(issue.path ?? []).map((step) => (typeof step === 'object' ? step.key : step))];
  const meant = issue.code === 'invalid_union' ? meantForm(issue.errors ?? []) : null;
  if (meant !== null) return meant.flatMap((each) => toErrors(each, path));
  if (issue.keys !== undefined && issue.keys.length > 0) {
    return issue.keys.map((key) => fault([...path, key], 'is not a known field'));
  }
  return [fault(path, issue.issues?.[0]?.message ?? issue.message, isBoundOfNumbers(issue))];
}

/** What is wrong with the form of a union that a value was meant to have: one of its kind, with the fewest faults. */
function meantForm(forms: readonly (readonly Issue[])[]): readonly Issue[] | null {
  const ofItsKind = forms.filter((issues) => !issues.some(isOtherKind));
  return ofItsKind.toSorted((left, right) => left.length - right.length)[0] ?? null;
}

function isOtherKind({ path, code }: Issue): boolean {
  return (path ?? []).length === 0 && (code === 'invalid_type' || code === 'invalid_value');
}

function isBoundOfNumbers({ maximum, minimum }: Issue): boolean {
  return maximum === Number.MAX_SAFE_INTEGER || minimum === Number.MIN_SAFE_INTEGER;
}

function fault(path: Path, message: string, isOfNumbers = false): Fault {
  return { field: fieldName(path), message, isOfNumbers };
}
