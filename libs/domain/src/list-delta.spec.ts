import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { applyListDelta, listDelta } from './list-delta.ts';

const own = (item: string) => item;

describe('R5: a list as a difference', () => {
  it.each([
    ['nothing changed', 'abc', 'abc', [{ keep: { from: 0, count: 3 } }]],
    ['all is new', '', 'ab', [{ put: ['a', 'b'] }]],
    ['one in the middle went', 'abc', 'ac', [{ keep: { from: 0, count: 1 } }, { keep: { from: 2, count: 1 } }]],
    ['one came', 'ac', 'abc', [{ keep: { from: 0, count: 1 } }, { put: ['b'] }, { keep: { from: 1, count: 1 } }]],
    ['all went', 'ab', '', []],
  ])('%s', (_name, held, wanted, parts) => expect(listDelta([...held], [...wanted], own)).toEqual(parts));

  it('applied to what was held gives what was wanted, whatever both are', () => {
    const items = fc.array(fc.constantFrom(...'abcdefgh'), { maxLength: 12 });
    fc.assert(
      fc.property(items, items, (held, wanted) => {
        expect(applyListDelta(held, listDelta(held, wanted, own))).toEqual(wanted);
      }),
    );
  });

  it('to a shorter list than it was made for is refused', () => {
    expect(applyListDelta(['a'], [{ keep: { from: 0, count: 2 } }])).toBeNull();
  });
});
