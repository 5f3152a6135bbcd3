import { describe, expect, it } from '@jest/globals';
import { PrefixCache } from './prefix-cache.ts';

const tokens = (from: number, count: number) => Array.from({ length: count }, (_, index) => `t${from + index}`);

describe('the prefix cache', () => {
  it('knows whole blocks of what came before, and never the last token', () => {
    const cache = new PrefixCache(4, 100);
    const prompt = tokens(0, 10);
    expect([cache.take(prompt), cache.take(prompt), cache.take(tokens(0, 8))]).toEqual([0, 8, 7]);
    expect([cache.queriedTokens, cache.hitTokens]).toEqual([28, 15]);
  });

  it('shares what two prompts begin with, and nothing after the first difference', () => {
    const cache = new PrefixCache(4, 100);
    cache.take([...tokens(0, 8), ...tokens(50, 4)]);
    expect(cache.take([...tokens(0, 4), 'other', ...tokens(5, 3), ...tokens(50, 4)])).toBe(4);
  });

  it('a block is known by all before it, not by itself', () => {
    const cache = new PrefixCache(4, 100);
    cache.take(tokens(0, 8));
    expect(cache.take(tokens(4, 8))).toBe(0);
  });

  it('forgets the longest unused blocks beyond its bound', () => {
    const cache = new PrefixCache(4, 2);
    cache.take(tokens(0, 9));
    cache.take(tokens(100, 9));
    expect([cache.blocks, cache.take(tokens(100, 9)), cache.take(tokens(0, 9))]).toEqual([2, 8, 0]);
  });
});
