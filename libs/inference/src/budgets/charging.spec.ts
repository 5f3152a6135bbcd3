import { describe, expect, it } from '@jest/globals';
import { tokensReserved } from './charging.ts';

describe('what is reserved for a request before an engine is asked', () => {
  it.each<[string, object, number | null, number]>([
    ['its prompt and the longest answer', {}, 50, 60],
    ['an answer of a usual length, where it names none', {}, null, 1_034],
    ['each of its choices', { n: 3 }, 50, 160],
    ['each choice that an engine draws', { n: 1, best_of: 4 }, 50, 210],
    ['each of its prompts', { prompt: ['a', 'b', 'c'] }, 50, 160],
    ['each choice of each prompt', { prompt: [[1], [2, 3]], n: 2 }, 50, 210],
    ['one answer to a list of tokens', { prompt: [1, 2, 3] }, 50, 60],
    ['one answer, where the count is nonsense', { n: 'many', prompt: [] }, 50, 60],
    ['no more than 128 choices', { n: 1e9 }, 1, 138],
    ['no more than ten million tokens', { prompt: Array.from({ length: 1_000 }, () => 'a') }, 1_000_000, 10_000_000],
  ])('%s', (_name, body, maxTokens, want) => {
    expect(tokensReserved(10, maxTokens, body)).toBe(want);
  });
});
