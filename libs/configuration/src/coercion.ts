// Environment variables are text; the schema says what they become. What cannot become it stays text, so that the
// schema itself refuses it and the error shows what came.
import { z } from 'zod';
import { definitionOf, unwrap } from './keys.ts';

/** The value of a variable for a leaf of this schema. Numbers are decimal; booleans `true`/`false`; the rest is JSON. */
export function coerce(text: string, schema: z.core.$ZodType): unknown {
  const inner = unwrap(schema);
  const definition = definitionOf(inner);
  switch (definition.type) {
    case 'number':
      return asNumber(text);
    case 'boolean':
      return asBoolean(text);
    case 'literal':
      return definition.values.find((value) => String(value) === text) ?? text;
    case 'array':
    case 'tuple':
    case 'record':
    case 'object':
      return asJson(text);
    case 'union':
      return firstAccepted(text, definition.options);
    default:
      return text;
  }
}

/** How a value of this schema is written in a variable, when that is not obvious; else an empty text. */
export function writingHint(schema: z.core.$ZodType): string {
  const { type } = definitionOf(unwrap(schema));
  if (type === 'array' || type === 'tuple') return `, written as JSON: '["a", "b"]'`;
  if (type === 'record' || type === 'object') return `, written as JSON: '{"name": "value"}'`;
  return '';
}

function asNumber(text: string): unknown {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : text;
}

function asBoolean(text: string): unknown {
  return text === 'true' ? true : text === 'false' ? false : text;
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function firstAccepted(text: string, options: readonly z.core.$ZodType[]): unknown {
  for (const option of options) {
    const value = coerce(text, option);
    if (z.safeParse(option, value).success) return value;
  }
  return text;
}
