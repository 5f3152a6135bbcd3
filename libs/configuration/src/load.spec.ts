import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import {
  ConfigurationError,
  type ConfigurationProblem,
  defineConfiguration,
  type LoadOptions,
  listenOn,
  loadConfiguration,
  logSchema,
  natsSchema,
  type ReadFile,
  renderEffective,
  secret,
  shutdownSchema,
} from './index.ts';

const definition = defineConfiguration({
  process: 'gateway',
  schema: z.strictObject({
    name: z.string().min(1).default('atoll'),
    http: listenOn(8080).extend({ listenBacklog: z.int().min(1).default(511), isStrict: z.boolean().default(true) }),
    log: logSchema,
    nats: natsSchema,
    shutdown: shutdownSchema,
    owner: z.strictObject({ token: secret({ charactersMin: 8 }).describe('the owner key').optional() }),
    tls: z.strictObject({ certificate: z.string().min(1) }).optional(),
    labels: z.record(z.string(), z.string()).default({}),
    ratio: z.number().gt(0).max(1).default(0.5),
    weight: z.union([z.int(), z.enum(['auto'])]).default('auto'),
  }),
});

function disk(files: Readonly<Record<string, { text: string; mode?: number }>>): ReadFile {
  return (path) => {
    const file = files[path];
    if (!file) throw Object.assign(new Error('absent'), { code: 'ENOENT' });
    return { text: file.text, mode: file.mode ?? 0o100600 };
  };
}

const secrets = {
  '/good': { text: '  correct horse  \n' },
  '/open': { text: 'correct horse', mode: 0o100644 },
  '/group': { text: 'correct horse', mode: 0o100640 },
  '/empty': { text: ' \n' },
  '/short': { text: 'tiny' },
};

function load(yaml: string | undefined, env: Record<string, string> = {}, options: Partial<LoadOptions> = {}) {
  const files = yaml === undefined ? secrets : { ...secrets, 'g.yaml': { text: yaml } };
  return loadConfiguration(definition, {
    argv: yaml === undefined ? [] : ['--config', 'g.yaml'],
    env,
    readFile: disk(files),
    ...options,
  });
}

function problemsOf(run: () => unknown): readonly ConfigurationProblem[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
  return [];
}

describe('what is accepted', () => {
  it('needs no file when everything has a default', () => {
    expect(load(undefined)).toEqual({
      name: 'atoll',
      http: { host: '127.0.0.1', port: 8080, listenBacklog: 511, isStrict: true },
      log: { level: 'info' },
      nats: { servers: ['nats://127.0.0.1:4222'] },
      shutdown: { drainSeconds: 30 },
      owner: {},
      labels: {},
      ratio: 0.5,
      weight: 'auto',
    });
  });

  it('lets the environment override the file, coerced by what the schema wants', () => {
    const configuration = load('name: file\nhttp: {port: 1}\n', {
      ATOLL_HTTP_PORT: '9000',
      ATOLL_HTTP_LISTEN_BACKLOG: '5',
      ATOLL_HTTP_IS_STRICT: 'false',
      ATOLL_NATS_SERVERS: '["tls://n:1","tls://m:2"]',
      ATOLL_LABELS: '{"zone":"a"}',
      ATOLL_WEIGHT: '3',
      ATOLL_RATIO: '.25',
      ATOLL_TLS_CERTIFICATE: '/c.pem',
    });
    expect(configuration).toMatchObject({
      name: 'file',
      http: { port: 9000, listenBacklog: 5, isStrict: false },
      nats: { servers: ['tls://n:1', 'tls://m:2'] },
      labels: { zone: 'a' },
      weight: 3,
      ratio: 0.25,
      tls: { certificate: '/c.pem' },
    });
  });

  it('keeps text as text, even when it looks like a number', () => {
    expect(load(undefined, { ATOLL_NAME: '0123' }).name).toBe('0123');
  });

  it('takes a section with nothing under it, and an empty file, as empty', () => {
    expect([load('http:\nlog:\n').http.port, load('').http.port, load('# nothing\n').log.level]).toEqual([
      8080,
      8080,
      'info',
    ]);
  });

  it.each(['--config=g.yaml', undefined])('finds the file (%s)', (argument) => {
    const options = argument ? { argv: ['--verbose', argument] } : { argv: [], file: 'g.yaml' };
    expect(load('name: x\n', {}, options).name).toBe('x');
  });

  it('ignores variables of other programs, and those of other namespaces', () => {
    expect(problemsOf(() => load(undefined, { ATOLL_URL: 'x', ATOLL_NATS_SERVER: '/n', HTTP_PORT: 'x' }))).toEqual([]);
    expect(problemsOf(() => load(undefined, { ATOLL_TEST_SEED: '1' }, { foreign: ['ATOLL_TEST_*'] }))).toEqual([]);
  });

  it('is frozen all the way down', () => {
    const configuration = load(undefined);
    expect([configuration, configuration.http, configuration.nats.servers].every(Object.isFrozen)).toBe(true);
  });
});

describe('secrets', () => {
  it.each([
    ['a file named in YAML', 'owner: {tokenFile: /good}\n', {}],
    ['a file named by a variable', undefined, { ATOLL_OWNER_TOKEN_FILE: '/good' }],
    ['a variable', undefined, { ATOLL_OWNER_TOKEN: 'correct horse' }],
    ['a variable before a file in YAML', 'owner: {tokenFile: /absent}\n', { ATOLL_OWNER_TOKEN: 'correct horse' }],
  ])('come from %s', (_, yaml, env) => {
    expect(load(yaml, env).owner.token?.reveal()).toBe('correct horse');
  });

  it('show nothing, however they are printed', () => {
    const { owner } = load(undefined, { ATOLL_OWNER_TOKEN: 'correct horse' });
    const shown = [
      `${owner.token}`,
      JSON.stringify(owner),
      inspect(owner, { showHidden: true }),
      renderEffective(load(undefined, { ATOLL_OWNER_TOKEN: 'correct horse' })),
    ];
    expect(shown.filter((text) => text.includes('horse') || !text.includes('[redacted]'))).toEqual([]);
  });
});

const owner = 'a secret: the owner key';
interface BadCase {
  readonly name: string;
  readonly yaml?: string;
  readonly env?: Record<string, string>;
  /** key, where, came, right */
  readonly want: readonly [string, string, string, string];
}

const badCases: readonly BadCase[] = [
  {
    name: 'a misspelt key',
    yaml: 'http:\n  hots: x\n',
    want: ['http.hots', 'g.yaml:2', 'a key that does not exist', 'http.host is the closest key'],
  },
  {
    name: 'a key in the wrong section',
    yaml: 'port: 1\n',
    want: ['port', 'g.yaml:1', 'a key that does not exist', 'http.port is the closest key'],
  },
  {
    name: 'a misspelt secret',
    yaml: 'owner:\n  tokn: s3cr3t-s3cr3t\n',
    want: ['owner.tokn', 'g.yaml:2', 'a key that does not exist', 'owner.tokenFile is the closest key'],
  },
  {
    name: 'a key unlike any',
    yaml: 'tls: {certificate: c, zebra: 1}\n',
    want: ['tls.zebra', 'g.yaml:1', 'a key that does not exist', 'one of certificate'],
  },
  {
    name: 'a number in quotes',
    yaml: 'http: {port: "80"}\n',
    want: ['http.port', 'g.yaml:1', '"80"', 'an integer from 0 to 65535; write it without quotes'],
  },
  {
    name: 'a number too large',
    yaml: '\nhttp:\n  port: 65536\n',
    want: ['http.port', 'g.yaml:3', '65536', 'an integer from 0 to 65535'],
  },
  {
    name: 'a fraction',
    yaml: 'shutdown: {drainSeconds: 1.5}\n',
    want: ['shutdown.drainSeconds', 'g.yaml:1', '1.5', 'an integer from 0 to 3600'],
  },
  {
    name: 'not a number',
    yaml: 'ratio: .nan\n',
    want: ['ratio', 'g.yaml:1', 'NaN', 'a number greater than 0 and of at most 1'],
  },
  {
    name: 'text that YAML reads as a number',
    yaml: 'name: 5\n',
    want: ['name', 'g.yaml:1', '5', 'text that is not empty; write it in quotes'],
  },
  {
    name: 'nothing where a value belongs',
    yaml: 'name:\n',
    want: ['name', 'g.yaml:1', 'nothing (an empty value)', 'text that is not empty'],
  },
  {
    name: 'yes for true',
    yaml: 'http: {isStrict: yes}\n',
    want: ['http.isStrict', 'g.yaml:1', '"yes"', 'true or false'],
  },
  {
    name: 'a misspelt choice',
    yaml: 'log: {level: inof}\n',
    want: [
      'log.level',
      'g.yaml:1',
      '"inof"',
      'one of trace, debug, info, warn, error, fatal, silent; the closest is info',
    ],
  },
  { name: 'a scalar for a section', yaml: 'log: 7\n', want: ['log', 'g.yaml:1', '7', 'a section with the keys level'] },
  {
    name: 'a list for a section',
    yaml: 'log: [a]\n',
    want: ['log', 'g.yaml:1', '["a"]', 'a section with the keys level'],
  },
  {
    name: 'a bad entry of a list',
    yaml: 'nats:\n  servers:\n    - nats://a:1\n    - http://u:pw@b\n',
    want: [
      'nats.servers.1',
      'g.yaml:4',
      '"http://u:[redacted]@b"',
      'text (a NATS address such as nats://127.0.0.1:4222 or tls://nats.example.com:4222)',
    ],
  },
  {
    name: 'an empty list',
    yaml: 'nats: {servers: []}\n',
    want: [
      'nats.servers',
      'g.yaml:1',
      '[]',
      'a list of 1 to 16 entries, each text (a NATS address such as nats://127.0.0.1:4222 or tls://nats.example.com:4222)',
    ],
  },
  {
    name: 'a required key of an optional section',
    yaml: 'tls: {}\n',
    want: [
      'tls.certificate',
      'not set',
      'nothing',
      'text that is not empty; set it in g.yaml, or set ATOLL_TLS_CERTIFICATE',
    ],
  },
  {
    name: 'a variable that is no number',
    env: { ATOLL_HTTP_PORT: '80a' },
    want: ['http.port', 'ATOLL_HTTP_PORT', '"80a"', 'an integer from 0 to 65535'],
  },
  {
    name: 'an empty variable',
    env: { ATOLL_HTTP_PORT: '' },
    want: ['http.port', 'ATOLL_HTTP_PORT', '""', 'an integer from 0 to 65535'],
  },
  {
    name: 'a hexadecimal variable',
    env: { ATOLL_HTTP_PORT: '0x50' },
    want: ['http.port', 'ATOLL_HTTP_PORT', '"0x50"', 'an integer from 0 to 65535'],
  },
  {
    name: 'a variable that is no boolean',
    env: { ATOLL_HTTP_IS_STRICT: '1' },
    want: ['http.isStrict', 'ATOLL_HTTP_IS_STRICT', '"1"', 'true or false'],
  },
  {
    name: 'a variable that is no JSON',
    env: { ATOLL_LABELS: 'a=b' },
    want: [
      'labels',
      'ATOLL_LABELS',
      '"a=b"',
      `a mapping of names to values, each value text, written as JSON: '{"name": "value"}'`,
    ],
  },
  {
    name: 'an unknown variable near a known one',
    env: { ATOLL_HTTP_PROT: '1' },
    want: [
      'ATOLL_HTTP_PROT',
      'environment',
      'a variable that sets no key of this process',
      'ATOLL_HTTP_PORT, which sets http.port, or no such variable',
    ],
  },
  {
    name: 'an unknown variable like none',
    env: { ATOLL_ZEBRA_CROSSING: '1' },
    want: [
      'ATOLL_ZEBRA_CROSSING',
      'environment',
      'a variable that sets no key of this process',
      'no such variable; unset it',
    ],
  },
  {
    name: 'a secret inline',
    yaml: 'owner:\n  token: correct horse\n',
    want: [
      'owner.token',
      'g.yaml:2',
      '[redacted], written in the file',
      'owner.tokenFile with the path of a file that holds it (chmod 600), or ATOLL_OWNER_TOKEN',
    ],
  },
  {
    name: 'a secret file that the world may read',
    yaml: 'owner: {tokenFile: /open}\n',
    want: [
      'owner.token',
      'g.yaml:1',
      '/open, which others on this machine may use (mode 0644)',
      'a file for its owner only: chmod 600 /open',
    ],
  },
  {
    name: 'a secret file that the group may read',
    env: { ATOLL_OWNER_TOKEN_FILE: '/group' },
    want: [
      'owner.token',
      'ATOLL_OWNER_TOKEN_FILE',
      '/group, which others on this machine may use (mode 0640)',
      'a file for its owner only: chmod 600 /group',
    ],
  },
  {
    name: 'a secret file that is absent',
    yaml: 'owner: {tokenFile: /absent}\n',
    want: [
      'owner.token',
      'g.yaml:1',
      '/absent: no such file',
      'the path of a file that holds the secret, readable by this user only',
    ],
  },
  {
    name: 'a secret file that is empty',
    yaml: 'owner: {tokenFile: /empty}\n',
    want: ['owner.token', '/empty', 'an empty secret', 'a secret that is not empty'],
  },
  {
    name: 'a secret file that is a number',
    yaml: 'owner: {tokenFile: 7}\n',
    want: ['owner.token', 'g.yaml:1', 'no path', 'the path of a file that holds the secret'],
  },
  {
    name: 'a secret that is short',
    env: { ATOLL_OWNER_TOKEN: 'tiny' },
    want: ['owner.token', 'ATOLL_OWNER_TOKEN', '[redacted]', 'a secret of at least 8 characters'],
  },
  {
    name: 'a secret twice',
    env: { ATOLL_OWNER_TOKEN: 'correct horse', ATOLL_OWNER_TOKEN_FILE: '/good' },
    want: ['owner.token', 'environment', 'both ATOLL_OWNER_TOKEN and ATOLL_OWNER_TOKEN_FILE', 'one of the two'],
  },
  {
    name: 'a key twice',
    yaml: 'name: a\nname: b\n',
    want: ['g.yaml', 'g.yaml:2', 'a key that the same section already has above', 'every key once'],
  },
  {
    name: 'a list at the top',
    yaml: '- a\n',
    want: ['g.yaml', 'g.yaml:1', 'no mapping at the top', 'keys with values, such as "log:"'],
  },
  {
    name: 'broken syntax, quoting nothing',
    yaml: 'name: a\n  b: c: "horse"\n',
    want: [
      'g.yaml',
      'g.yaml:1',
      'Nested mappings are not allowed in compact mappings',
      'one valid YAML document: look at the indentation, quotes and colons near this line',
    ],
  },
];

describe('what is refused', () => {
  it.each(badCases)('$name', ({ yaml, env, want }) => {
    const [key, where, came, right] = want;
    expect(problemsOf(() => load(yaml, env))).toEqual([{ key, where, came, right }]);
  });

  it('a required secret that is not set', () => {
    const needy = defineConfiguration({
      process: 'agent',
      schema: z.strictObject({ seed: secret().describe('the owner key') }),
    });
    expect(problemsOf(() => loadConfiguration(needy, { argv: [], env: {} }))).toEqual([
      {
        key: 'seed',
        where: 'not set',
        came: 'nothing',
        right: `${owner}; set seedFile in the file given by --config to the path of a file (chmod 600), or set ATOLL_SEED`,
      },
    ]);
  });

  it.each([
    [['--config'], 'no path'],
    [['--config', '--other'], 'no path'],
    [['--config', 'a', '--config=b'], '2 files'],
    [['--config', '/nowhere.yaml'], '/nowhere.yaml: no such file'],
  ])('arguments %j', (argv, came) => {
    expect(problemsOf(() => load(undefined, {}, { argv })).map((problem) => problem.came)).toEqual([came]);
  });

  it('everything at once, in one message that can be printed', () => {
    const run = () => load('http: {port: "80"}\nowner: {token: horse}\n', { ATOLL_NAM: 'horse' });
    expect(problemsOf(run).map(({ key }) => key)).toEqual(['http.port', 'ATOLL_NAM', 'owner.token']);
    expect(run).toThrow(
      /^The configuration of the gateway has 3 problems; it does not start\.\n\n {2}http\.port {2}\(g\.yaml:1\)\n/,
    );
    expect(run).not.toThrow(/horse/);
  });

  it('keys that would reach into prototypes', () => {
    expect(
      problemsOf(() => load('__proto__: {name: x}\nconstructor: 1\n')).some(({ key }) => key === 'constructor'),
    ).toBe(true);
    expect(({} as Record<string, unknown>).name).toBeUndefined();
  });
});

it('renders what is in force, with the source of each value', () => {
  const yaml = 'name: x\nnats: {servers: ["nats://u:pw@h:1", "nats://token@h:2"]}\nowner: {tokenFile: /good}\n';
  expect(renderEffective(load(yaml, { ATOLL_HTTP_PORT: '1' }))).toBe(`name: x # file g.yaml:1
http:
  host: 127.0.0.1 # default
  port: 1 # env ATOLL_HTTP_PORT
  listenBacklog: 511 # default
  isStrict: true # default
log:
  level: info # default
nats:
  servers: ["nats://u:[redacted]@h:1", "nats://[redacted]@h:2"] # file g.yaml:2
shutdown:
  drainSeconds: 30 # default
owner:
  token: "[redacted]" # file /good
labels: {} # default
ratio: 0.5 # default
weight: auto # default
`);
});
