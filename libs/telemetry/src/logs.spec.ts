import { describe, expect, it } from '@jest/globals';
import { createLogger, type LoggerOptions, NestLoggerAdapter } from './index.ts';

function capture(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const logger = createLogger({ process: 'gateway', destination, ...options });
  return { logger, lines, entries: () => lines.map((line) => JSON.parse(line)) };
}

it('writes one JSON line with process, time, level and bindings, also of children', () => {
  const { logger, entries } = capture({ bindings: { clusterId: 'c1' } });
  logger.child({ requestId: 'r1' }).info('hello');
  expect(entries()).toEqual([
    expect.objectContaining({
      process: 'gateway',
      level: 'info',
      clusterId: 'c1',
      requestId: 'r1',
      msg: 'hello',
      time: expect.stringMatching(/^\d{4}-.*Z$/),
    }),
  ]);
});

it('writes nothing below its level', () => {
  const { logger, lines } = capture({ level: 'warn' });
  logger.info('quiet');
  expect(lines).toEqual([]);
});

describe('never writes (S8)', () => {
  const hush = 'hush-hush';
  it.each([
    ['a header', { req: { headers: { authorization: hush } } }],
    ['a token', { token: hush }],
    ['a prompt', { body: { prompt: hush } }],
    ['messages', { request: { messages: [{ role: 'user', content: hush }] } }],
    ['input', { input: [hush] }],
    ['a seed', { identity: { seed: hush } }],
    ['a JWT', { jwt: hush }],
    ['a password', { database: { password: hush } }],
    ['a header in capitals', { headers: { Authorization: hush } }],
    ['a token by a longer name', { joinToken: hush }],
    ['a user JWT', { userJwt: hush }],
    ['an API key', { apiKey: hush }],
    ['a token four levels down', { a: { b: { c: { token: hush } } } }],
  ])('%s', (_, fields) => {
    const { logger, lines } = capture();
    logger.info(fields, 'x');
    logger.child(fields).info('x');
    logger.child({}).child(fields, {}).info('x');
    const bound = capture({ bindings: fields });
    bound.logger.info('x');
    expect([...lines, ...bound.lines].filter((line) => line.includes(hush))).toEqual([]);
  });
});

it('still writes what is no secret, and errors whole', () => {
  const { logger, entries } = capture();
  const loop: Record<string, unknown> = {};
  loop.self = loop;
  logger.info({ promptTokens: 3, publicKey: 'U1', list: [{ id: 1 }], err: new Error('why'), loop }, 'x');
  expect(entries()[0]).toMatchObject({
    promptTokens: 3,
    publicKey: 'U1',
    list: [{ id: 1 }],
    err: { message: 'why', stack: expect.any(String) },
  });
});

it("carries Nest's messages with their context", () => {
  const { logger, entries } = capture({ level: 'trace' });
  const nest = new NestLoggerAdapter(logger);
  nest.log('started', 'NestFactory');
  nest.warn('careful', 'Router');
  nest.error(new Error('broken'), 'stack', 'Exceptions');
  nest.verbose('chatter');
  expect(entries().map(({ level, msg, context }) => [level, msg, context])).toEqual([
    ['debug', 'started', 'NestFactory'],
    ['warn', 'careful', 'Router'],
    ['error', 'broken', 'Exceptions'],
    ['trace', 'chatter', undefined],
  ]);
});
