import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { PrefixIndex } from './prefix-index.ts';
import { PROMPT_BLOCK_TOKENS, promptBlocks, promptPieces } from './prompt-blocks.ts';
import { Sessions } from './sessions.ts';

describe('what is cached where', () => {
  it.each<[string, number[], number]>([
    ['all of it', [1, 2, 3], 3],
    ['its beginning', [1, 2, 9], 2],
    ['nothing, though it ends the same', [9, 2, 3], 0],
    ['no more than there is', [1], 1],
    ['nothing of nothing', [], 0],
  ])('the longest match from the beginning: %s', (_name, blocks, want) => {
    const index = new PrefixIndex();
    index.served('a', [1, 2, 3]);
    expect([index.cachedBlocks('a', blocks), index.cachedBlocks('b', blocks)]).toEqual([want, 0]);
  });

  it('drops the ends of what is longest unused first', () => {
    const index = new PrefixIndex(5);
    index.served('a', [1, 2, 3]);
    index.served('a', [7, 8]);
    index.served('a', [1, 2]);
    index.served('a', [9]);
    expect([[1, 2, 3], [7, 8], [9]].map((blocks) => index.cachedBlocks('a', blocks))).toEqual([2, 2, 1]);
    index.served('a', [10]);
    expect([[1, 2, 3], [7, 8], [9], [10]].map((blocks) => index.cachedBlocks('a', blocks))).toEqual([2, 1, 1, 1]);
  });

  it('holds the bound, and what was served last is there up to it, whatever came before', () => {
    const prompt = fc.array(fc.nat(30), { maxLength: 12 }).map(chained);
    fc.assert(
      fc.property(fc.array(prompt, { minLength: 1, maxLength: 30 }), (prompts) => {
        const index = new PrefixIndex(8);
        for (const blocks of prompts) index.served('a', blocks);
        const last = prompts.at(-1)!;
        expect(index.cachedBlocks('a', last)).toBe(Math.min(8, last.length));
        const all = new Set(prompts.flat());
        const known = [...all].filter((block) => index.cachedBlocks('a', [block]) === 1);
        expect(known.length).toBeLessThanOrEqual(8);
        // What is known of a prompt is known with all that precedes it.
        for (const blocks of prompts) {
          const depth = index.cachedBlocks('a', blocks);
          expect(blocks.slice(depth).every((block) => !known.includes(block))).toBe(true);
        }
      }),
    );
  });

  it('an engine that started anew has nothing, and a replica that is gone is forgotten', () => {
    const index = new PrefixIndex();
    for (const id of ['a', 'b', 'c']) index.served(id, [1, 2]);
    index.forget('a');
    index.retain(new Set(['a', 'b']));
    expect(['a', 'b', 'c'].map((id) => index.cachedBlocks(id, [1, 2]))).toEqual([0, 2, 0]);
  });
});

/** Numbers that stand for all before them, as block hashes do. */
function chained(values: readonly number[]): number[] {
  let path = '';
  return values.map((value) => {
    path += `${value},`;
    return promptBlocks([path, 'x'.repeat(1_024)]).blocks[0]!;
  });
}

describe('sessions', () => {
  it('are found at their newest replica until they are old', () => {
    const sessions = new Sessions({ keptForMs: 1_000 });
    sessions.used('s', 'a', 0);
    sessions.used('s', 'b', 500);
    expect([500, 1_500, 1_501].map((nowMs) => sessions.replicaOf('s', nowMs))).toEqual(['b', 'b', null]);
    expect(sessions.replicaOf('t', 500)).toBeNull();
  });

  it('are so many at most; the longest unused goes', () => {
    const sessions = new Sessions({ sessionsMax: 2 });
    for (const id of ['s', 't', 's', 'u']) sessions.used(id, 'a', 0);
    expect(['s', 't', 'u'].map((id) => sessions.replicaOf(id, 0))).toEqual(['a', null, 'a']);
    expect(sessions.size).toBe(2);
  });

  it('end with their replica', () => {
    const sessions = new Sessions();
    sessions.used('s', 'a', 0);
    sessions.used('t', 'b', 0);
    sessions.used('u', 'c', 0);
    sessions.forget('a');
    sessions.retain(new Set(['a', 'b']));
    expect(['s', 't', 'u'].map((id) => sessions.replicaOf(id, 0))).toEqual([null, 'b', null]);
  });
});

describe('prompt blocks', () => {
  const kib = (letter: string) => letter.repeat(1_024);
  const blocksOf = (...pieces: string[]) => promptBlocks(pieces).blocks;

  it('are equal as far as the texts are, and never after', () => {
    const [left, right] = [blocksOf(kib('a') + kib('b') + kib('c')), blocksOf(kib('a') + kib('x') + kib('c'))];
    expect(left).toHaveLength(3);
    expect(left.map((block, index) => block === right[index])).toEqual([true, false, false]);
  });

  it.each<[string, string[], number, number]>([
    ['nothing', [], 0, 0],
    ['an end that is no block', ['a'.repeat(1_023)], 0, 256],
    ['one block', [kib('a')], 1, 256],
    ['bytes of UTF-8, not letters', ['é'.repeat(512)], 1, 256],
    ['characters of three bytes', ['字'.repeat(342)], 1, 257],
    ['characters of four bytes', ['😀'.repeat(256)], 1, 256],
    ['at most 512 blocks, but every token', ['a'.repeat(1_024 * 600)], 512, 153_600],
  ])('%s', (_name, pieces, wantBlocks, wantTokens) => {
    const { blocks, promptTokens } = promptBlocks(pieces);
    expect([blocks.length, promptTokens]).toEqual([wantBlocks, wantTokens]);
    expect(blocks.every(Number.isSafeInteger)).toBe(true);
  });

  it('where a message ends counts', () => {
    expect(blocksOf('ab', kib('c'))).not.toEqual(blocksOf('a', `b${kib('c')}`));
  });

  it('do not collide on twenty thousand texts that are nearly the same', () => {
    const seen = new Set<number>();
    for (let index = 0; index < 20_000; index += 1) seen.add(blocksOf(String(index), 'q'.repeat(1_024))[0]!);
    expect(seen.size).toBe(20_000);
    expect(PROMPT_BLOCK_TOKENS).toBe(256);
  });

  it('tokens that the client has counted count, each at least once', () => {
    const tokens = Array.from({ length: 2_000 }, (_, index) => index * 10);
    const { blocks, promptTokens } = promptBlocks(promptPieces({ prompt: tokens }));
    expect([promptTokens >= 2_000 && promptTokens < 2_600, blocks.length]).toEqual([true, 8]);
  });

  it('a picture counts for little, but another one is another prompt', () => {
    const bodyOf = (bytes: string) => ({
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: bytes } }, { text: kib('t') }] }],
    });
    const [one, same, other] = ['A', 'A', 'B'].map((letter) =>
      promptBlocks(promptPieces(bodyOf(letter.repeat(1_000_000)))),
    );
    expect(one!.promptTokens).toBeLessThan(300);
    expect([one!.blocks.length, one]).toEqual([1, same]);
    expect(other!.blocks).not.toEqual(one!.blocks);
  });

  it.each<[string, Record<string, unknown>, string[]]>([
    ['a prompt', { model: 'm', prompt: 'p' }, ['m', 'p']],
    ['prompts', { prompt: ['p', 'q'] }, ['p', 'q']],
    ['tokens', { prompt: [7, 12_345] }, ['   7', '12345']],
    ['lists of tokens', { prompt: [[1], [2]] }, ['   1', '   2']],
    ['messages', { messages: [{ role: 'system', content: 's' }] }, ['system', 's']],
    [
      'parts, tools and calls of them',
      {
        tools: [{ type: 'function' }],
        messages: [
          { role: 'user', content: [{ type: 'text', text: 't' }] },
          { role: 'assistant', content: null, tool_calls: [1] },
        ],
      },
      ['[{"type":"function"}]', 'user', 't', 'assistant', '["tool_calls",[1]]'],
    ],
    ['what is no request at all', { messages: [null, 7, undefined, []], prompt: {} }, []],
    ['nothing', {}, []],
  ])('are made of the texts of %s', (_name, body, want) => {
    expect([...promptPieces(body)]).toEqual(want);
  });
});
