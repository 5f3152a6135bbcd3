// Says in words what a schema accepts, and what came, for people who read an error at three in the morning.
import { z } from 'zod';
import { redacted } from './secret.ts';

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly description?: string;
}

const formats: Readonly<Record<string, string>> = {
  uri: 'a URL',
  uuid: 'a UUID',
  email: 'an e-mail address',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
};

const charactersShownMax = 80;

/** "an integer from 0 to 65535 (the port to listen on)". */
export function expectation(schema: z.core.$ZodType): string {
  return describe(jsonSchemaOf(schema));
}

/** The values a schema lists one by one, as text; empty when it lists none. */
export function allowedValues(schema: z.core.$ZodType): readonly string[] {
  const json = jsonSchemaOf(schema);
  return (json.enum ?? []).map(String);
}

/** What came, as it would be written in JSON, shortened, without passwords of URLs. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'nothing (an empty value)';
  const written = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  const text = withoutPasswords(written);
  return text.length > charactersShownMax ? `${text.slice(0, charactersShownMax)}… (${text.length} characters)` : text;
}

/**
 * `postgres://atoll:pw@host` → `postgres://atoll:[redacted]@host`; `nats://token@host` → `nats://[redacted]@host`.
 * Greedy up to the last `@`, for passwords that hold one.
 */
export function withoutPasswords(text: string): string {
  return text.replace(/(:\/\/[^\s:/@"]*:)[^\s"]*@/g, `$1${redacted}@`).replace(/(:\/\/)[^\s:/@"]+@/g, `$1${redacted}@`);
}

function jsonSchemaOf(schema: z.core.$ZodType): JsonSchema {
  return z.toJSONSchema(schema as z.ZodType, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as JsonSchema;
}

function describe(json: JsonSchema): string {
  const words = describeType(json);
  return json.description === undefined ? words : words === '' ? json.description : `${words} (${json.description})`;
}

function describeType(json: JsonSchema): string {
  const options = json.anyOf ?? json.oneOf;
  if (options) return options.map(describe).join(', or ');
  if (json.const !== undefined) return JSON.stringify(json.const);
  if (json.enum) return json.enum.length === 1 ? String(json.enum[0]) : `one of ${json.enum.map(String).join(', ')}`;
  switch (json.type) {
    case 'integer':
      return `an integer${bounds(json)}`;
    case 'number':
      return `a number${bounds(json)}`;
    case 'boolean':
      return 'true or false';
    case 'null':
      return 'null';
    case 'string':
      return text(json);
    case 'array':
      return `${sized('a list', json.minItems, json.maxItems, 'entries')}${json.items ? `, each ${describe(json.items)}` : ''}`;
    case 'object':
      return mapping(json);
    default:
      return json.description === undefined ? 'a value' : '';
  }
}

function bounds(json: JsonSchema): string {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = json;
  const least = minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? minimum : undefined;
  const most = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? maximum : undefined;
  if (least !== undefined && most !== undefined) return ` from ${least} to ${most}`;
  const parts = [
    exclusiveMinimum === undefined ? '' : ` greater than ${exclusiveMinimum}`,
    least === undefined ? '' : ` of at least ${least}`,
    exclusiveMaximum === undefined ? '' : ` less than ${exclusiveMaximum}`,
    most === undefined ? '' : ` of at most ${most}`,
  ];
  return parts.filter((part) => part !== '').join(' and');
}

function text(json: JsonSchema): string {
  const known = json.format === undefined ? undefined : formats[json.format];
  if (known) return known;
  const { minLength, maxLength, pattern, description } = json;
  if (minLength === 1 && maxLength === undefined && pattern === undefined) return 'text that is not empty';
  const words = sized('text', minLength, maxLength, 'characters');
  // A pattern is a poor sentence: shown only when the schema has no better words.
  return pattern !== undefined && description === undefined ? `${words} matching ${pattern}` : words;
}

function mapping(json: JsonSchema): string {
  if (json.properties) return `a section with the keys ${Object.keys(json.properties).join(', ')}`;
  const value =
    typeof json.additionalProperties === 'object' ? `, each value ${describe(json.additionalProperties)}` : '';
  return `a mapping of names to values${value}`;
}

function sized(noun: string, least: number | undefined, most: number | undefined, unit: string): string {
  if (least !== undefined && most !== undefined) return `${noun} of ${least} to ${most} ${unit}`;
  if (least !== undefined)
    return `${noun} of at least ${least} ${least === 1 ? unit.replace(/ies$/, 'y').replace(/s$/, '') : unit}`;
  if (most !== undefined) return `${noun} of at most ${most} ${unit}`;
  return noun;
}
