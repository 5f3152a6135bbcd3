// Bodies, queries and path parameters by their zod schema; what does not fit is refused naming every field.

import { type ArgumentMetadata, Injectable, StandardSchemaValidationPipe } from '@nestjs/common';
import { RequestError } from '../errors.ts';

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
  /** zod's: which keys a strict object does not know. */
  readonly keys?: readonly string[];
  /** zod's: what is wrong with a key of a record. */
  readonly issues?: readonly { readonly message: string }[];
}

@Injectable()
export class ValidationPipe extends StandardSchemaValidationPipe {
  override async transform<T = unknown>(value: T, metadata: ArgumentMetadata): Promise<T> {
    const { schema } = metadata;
    if (!schema || !this.toValidate(metadata)) return value;
    const input: unknown = value ?? (metadata.type === 'body' ? {} : value);
    this.stripProtoKeys(input);
    const result = await this.validate<T>(input, schema);
    if (!result.issues) return result.value;
    const prefix = metadata.data === undefined ? [] : [metadata.data];
    throw invalidFields(result.issues.flatMap((issue) => toErrors(issue as Issue, prefix)));
  }
}

/** 422 with the fields at fault. */
export function invalidFields(errors: readonly { field: string; message: string }[]): RequestError {
  const [first] = errors;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  const detail = first === undefined ? 'Not valid.' : `${first.field}: ${first.message}${more}`;
  return new RequestError(422, 'invalid', detail, {}, errors);
}

function toErrors(issue: Issue, prefix: readonly string[]): { field: string; message: string }[] {
  const path = [...prefix, ...(issue.path ?? []).map((step) => (typeof step === 'object' ? step.key : step))];
  if (issue.keys !== undefined && issue.keys.length > 0) {
    return issue.keys.map((key) => ({ field: fieldName([...path, key]), message: 'is not a known field' }));
  }
  return [{ field: fieldName(path), message: issue.issues?.[0]?.message ?? issue.message }];
}

/** JSON path without the leading `$`: `files[3].path`; `body` for the whole. */
function fieldName(path: readonly PropertyKey[]): string {
  const name = path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? String(step) : `${text}.${String(step)}`;
  }, '');
  return name === '' ? 'body' : name.slice(0, 256);
}
