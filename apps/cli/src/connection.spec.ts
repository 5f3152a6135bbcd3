import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { temporaryFolder, terminalFor } from '../test/cli.fixture.ts';
import { type EndpointQuestion, resolveEndpoint } from './connection.ts';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder.path, ...parts);
const question: EndpointQuestion = {
  what: 'control plane',
  url: undefined,
  urlHint: '--url',
  tokenFile: undefined,
  tokenHint: '--token-file',
  contextUrl: (context) => context.url,
  contextTokenFile: (context) => context.tokenFile,
};

beforeAll(() => {
  mkdirSync(at('home/.atoll/quickstart'), { recursive: true });
  mkdirSync(at('home/deep/er'), { recursive: true });
  mkdirSync(at('broken/.atoll/quickstart'), { recursive: true });
  mkdirSync(at('open/.atoll/quickstart'), { recursive: true });
  writeFileSync(at('owner-key'), ' owner-token \n', { mode: 0o600 });
  writeFileSync(at('given-key'), 'given-token\n', { mode: 0o600 });
  writeFileSync(at('loose-key'), 'loose-token\n');
  chmodSync(at('loose-key'), 0o644);
  writeFileSync(at('empty-key'), '\n', { mode: 0o600 });
  const context = { url: 'http://127.0.0.1:1000', gatewayUrl: 'http://127.0.0.1:2000', tokenFile: at('owner-key') };
  writeFileSync(at('home/.atoll/quickstart/context.json'), JSON.stringify(context), { mode: 0o600 });
  writeFileSync(at('broken/.atoll/quickstart/context.json'), '{', { mode: 0o600 });
  writeFileSync(at('open/.atoll/quickstart/context.json'), JSON.stringify(context));
  chmodSync(at('open/.atoll/quickstart/context.json'), 0o666);
});
afterAll(() => folder.remove());

interface Case {
  readonly name: string;
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  readonly programRoot?: string;
  readonly url?: string;
  readonly tokenFile?: string;
  readonly want: object | RegExp;
}

const quickstart = { url: 'http://127.0.0.1:1000', token: 'owner-token' };
const cases: readonly Case[] = [
  { name: 'nothing at all', want: /no control plane to talk to.\n.*\.\/atoll quickstart/ },
  { name: 'the context of the working directory', cwd: 'home', want: quickstart },
  { name: 'the context of a folder above', cwd: 'home/deep/er', want: quickstart },
  { name: 'the context of the program’s checkout', programRoot: 'home', want: quickstart },
  { name: 'ATOLL_HOME', env: { ATOLL_HOME: 'HOME' }, want: quickstart },
  { name: 'ATOLL_HOME alone counts', env: { ATOLL_HOME: 'deep' }, cwd: 'home', want: /no control plane/ },
  {
    name: 'flags',
    url: 'https://a.example/',
    tokenFile: 'given-key',
    want: { url: 'https://a.example', token: 'given-token' },
  },
  {
    name: 'a token file wins over ATOLL_TOKEN',
    url: 'https://a.example',
    tokenFile: 'given-key',
    env: { ATOLL_TOKEN: 'other' },
    want: { url: 'https://a.example', token: 'given-token' },
  },
  {
    name: 'a token alone goes to the quickstart',
    cwd: 'home',
    env: { ATOLL_TOKEN: 'mine' },
    want: { url: 'http://127.0.0.1:1000', token: 'mine' },
  },
  { name: 'the quickstart’s own address, named', cwd: 'home', url: 'http://127.0.0.1:1000/', want: quickstart },
  {
    name: 'the quickstart’s key goes nowhere else',
    cwd: 'home',
    url: 'https://a.example',
    want: /no key for https:\/\/a.example/,
  },
  { name: 'no URL', url: 'a.example', tokenFile: 'given-key', want: /"a.example" is no URL/ },
  { name: 'another scheme', url: 'file:///etc', tokenFile: 'given-key', want: /is no URL/ },
  {
    name: 'a password in the URL',
    url: 'https://u:pw@a.example',
    tokenFile: 'given-key',
    want: /no user name or password/,
  },
  { name: 'a key that others can read', url: 'https://a.example', tokenFile: 'loose-key', want: /chmod 600/ },
  { name: 'an empty key', url: 'https://a.example', tokenFile: 'empty-key', want: /does not hold a key/ },
  { name: 'no such key', url: 'https://a.example', tokenFile: 'nope', want: /no such file/ },
  { name: 'a context that is none', cwd: 'broken', want: /is not what .* writes/ },
  { name: 'a context that others can change', cwd: 'open', want: /can be changed by, another user/ },
];

describe('resolveEndpoint', () => {
  it.each(cases)('$name', ({ env = {}, cwd = '.', programRoot, url, tokenFile, want }) => {
    const { terminal } = terminalFor({
      env: { ...env, ...(env.ATOLL_HOME === 'HOME' ? { ATOLL_HOME: at('home') } : {}) },
      cwd: at(cwd),
      ...(programRoot === undefined ? {} : { programRoot: at(programRoot) }),
    });
    const resolve = () => resolveEndpoint(terminal, { ...question, url, tokenFile: tokenFile && at(tokenFile) });
    if (want instanceof RegExp) expect(resolve).toThrow(want);
    else expect(resolve()).toEqual(want);
  });
});
