import { describe, expect, it } from '@jest/globals';
import { type Failure, failureOf, failureSchema } from './failures.ts';
import { makeText } from './made-text.ts';
import { flagLines, readSettings } from './settings.ts';
import { renderChat, tokensOf } from './tokens.ts';

describe('flags', () => {
  it('are read by name, with defaults', () => {
    expect(
      readSettings(['--first-token-ms', '100', '--model', 'tiny', '--fail', 'break:0.5:3', '--ignore-sigterm']),
    ).toMatchObject({
      firstTokenMs: 100,
      model: 'tiny',
      ignoreSigterm: true,
      fail: [{ kind: 'break', share: 0.5, tokens: 3 }],
      port: 8_000,
    });
  });

  it.each([
    [['--port', '70000'], /^--port: /],
    [['--slots', 'many'], /^--slots: /],
    [['--fail', 'explode:1'], /^--fail: 'explode:1' is no failure: give kind:share\[:tokens\]/],
    [['--first-tokn-ms', '1'], 'Unknown flag --first-tokn-ms. Did you mean --first-token-ms? --help lists them all.'],
    [['--model'], /argument missing|expects a value|--model/i],
  ])('%j is refused in words', (flags, words) => {
    expect(() => readSettings(flags)).toThrow(words);
  });

  it('are all listed by --help', () => {
    expect(flagLines().every((line) => /^ {2}--[a-z-]+ +\S/.test(line))).toBe(true);
  });
});

describe('failures on purpose', () => {
  const failures: readonly Failure[] = [
    { kind: 'refuse', share: 0.25, tokens: 0 },
    { kind: 'hang', share: 0.25, tokens: 0 },
  ];
  const kinds = (seed: number) =>
    Array.from({ length: 400 }, (_, number) => failureOf(failures, seed, number)?.kind ?? 'none');

  it('are the same for the same seed, and others for another', () => {
    expect(kinds(7)).toEqual(kinds(7));
    expect(kinds(7)).not.toEqual(kinds(8));
  });

  it('take their shares', () => {
    const counts = { refuse: 0, hang: 0, error: 0, break: 0, garbage: 0, none: 0 };
    for (const kind of kinds(1)) counts[kind] += 1;
    expect(Math.abs(counts.refuse - 100)).toBeLessThan(40);
    expect(Math.abs(counts.hang - 100)).toBeLessThan(40);
    expect(counts.none).toBe(400 - counts.refuse - counts.hang);
  });

  it('a share of one is every request, of zero none', () => {
    const always = [failureSchema.parse('error:1')];
    const never = [failureSchema.parse('error:0')];
    expect(
      Array.from({ length: 50 }, (_, number) => failureOf(always, 1, number)?.kind).every((kind) => kind === 'error'),
    ).toBe(true);
    expect(Array.from({ length: 50 }, (_, number) => failureOf(never, 1, number)).every((each) => each === null)).toBe(
      true,
    );
  });
});

describe('made text', () => {
  const speaker = { model: 'tiny', modelVersion: '0123456789abcdef', adapter: null };
  const bounds = { seed: 1, tokensMax: 40, tokensWanted: 40 };
  const say = (change: object = {}, prompt = 'Hi', limits = bounds) =>
    makeText({ ...speaker, ...change }, prompt, limits).tokens.join('');

  it('says who it is, and is the same for the same prompt and seed', () => {
    expect(say()).toMatch(/^tiny, version 0123456789ab: \w+/);
    expect(say()).toBe(say());
    expect(say({ adapter: 'sql' })).toMatch(/^tiny with sql, version/);
  });

  it.each([
    ['another version', { modelVersion: 'fedcba9876543210' }, 'Hi', bounds],
    ['another prompt', {}, 'Ho', bounds],
    ['another seed', {}, 'Hi', { ...bounds, seed: 2 }],
  ])('%s says something else', (_name, change, prompt, limits) => {
    expect(say(change, prompt, limits)).not.toBe(say());
  });

  it('keeps to its bound, and says whether it came to its end', () => {
    expect(makeText(speaker, 'Hi', { ...bounds, tokensMax: 3 })).toMatchObject({
      isWhole: false,
      tokens: { length: 3 },
    });
    expect(makeText(speaker, 'Hi', { ...bounds, tokensMax: 1_000 }).isWhole).toBe(true);
  });
});

describe('tokens', () => {
  it.each([
    '',
    'Hello, world',
    '  two  spaces \n',
    '你好，世界',
    'a\u{1f40b}b',
    renderChat([{ role: 'user', content: 'Hi' }]),
  ])('%j is its tokens, joined', (text) => {
    expect(tokensOf(text).join('')).toBe(text);
    expect(tokensOf(text).every((token) => token.length > 0)).toBe(true);
  });
});
