import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import {
  ConfigurationDefinitionError,
  defineConfiguration,
  loadConfiguration,
  renderEffective,
  secret,
} from './index.ts';
import { variableName } from './keys.ts';
import { closest, editDistance } from './suggestion.ts';

describe('definitions that contradict themselves', () => {
  it.each([
    ['a lax object', z.object({ a: z.string() }), 'the schema must be a z.strictObject'],
    ['a lax section', z.strictObject({ a: z.object({}) }), 'a must be a z.strictObject'],
    ['no object', z.string(), 'the schema must be a z.strictObject'],
    [
      'two keys with one variable',
      z.strictObject({ aB: z.string(), a: z.strictObject({ b: z.string() }) }),
      'would both be called ATOLL_A_B',
    ],
    ['a secret beside its own file key', z.strictObject({ a: secret(), aFile: z.string() }), 'would both be called'],
    ['a secret in a list', z.strictObject({ a: z.array(z.strictObject({ b: secret() })) }), 'holds a secret inside'],
  ])('%s', (_, schema: z.ZodType, want) => {
    const define = () => defineConfiguration({ process: 'p', schema });
    expect(define).toThrow(ConfigurationDefinitionError);
    expect(define).toThrow(want);
  });

  it('a secret path that is no key', () => {
    expect(() => defineConfiguration({ process: 'p', schema: z.strictObject({}), secrets: ['a.b'] })).toThrow('a.b');
  });
});

it('supplies listed secrets like secret(), parsed to plain text', () => {
  const definition = defineConfiguration({
    process: 'p',
    schema: z.strictObject({ url: z.string() }),
    secrets: ['url'],
  });
  const configuration = loadConfiguration(definition, { argv: [], env: { ATOLL_URL: 'postgres://a:b@c' } });
  expect([configuration.url, renderEffective(configuration)]).toEqual([
    'postgres://a:b@c',
    'url: "[redacted]" # env ATOLL_URL\n',
  ]);
  expect(() =>
    loadConfiguration(definition, { file: 'f', env: {}, readFile: () => ({ text: 'url: hush', mode: 0o600 }) }),
  ).toThrow('urlFile');
});

it('renders only what it loaded', () => {
  expect(() => renderEffective({})).toThrow(ConfigurationDefinitionError);
});

it.each([
  [['http', 'listenPort'], 'ATOLL_HTTP_LISTEN_PORT'],
  [['tls', 'caURL'], 'ATOLL_TLS_CA_URL'],
  [['URLBase'], 'ATOLL_URL_BASE'],
  [['s3', 'path2Key'], 'ATOLL_S3_PATH2_KEY'],
])('variable of %j', (path, want) => {
  expect(variableName(path)).toBe(want);
});

it.each([
  ['prot', 'port', 1],
  ['', 'abc', 3],
  ['kitten', 'sitting', 3],
  ['same', 'same', 0],
])('edits from %j to %j', (left, right, want) => {
  expect(editDistance(left, right)).toBe(want);
});

it('suggests nothing when nothing is near', () => {
  expect([closest('zebra', ['host', 'port']), closest('x', ['a'])]).toEqual([undefined, undefined]);
});
