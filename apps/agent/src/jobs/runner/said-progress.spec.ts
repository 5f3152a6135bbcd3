import { describe, expect, it } from '@jest/globals';
import { PROGRESS_CHARACTERS_MAX, SaidProgress } from './said-progress.ts';

const MARK = 'atoll: progress ';

describe('lines of progress in a command’s output', () => {
  it.each<[string, string[], string | undefined]>([
    ['a line', [`${MARK}step 1\n`], 'step 1'],
    ['the newest of several', [`${MARK}step 1\nother\n${MARK}step 2\nmore\n`], 'step 2'],
    ['cut into pieces', ['atoll: pro', 'gress st', 'ep 3\n'], 'step 3'],
    ['not ended yet', [`${MARK}step 4`], undefined],
    ['not at the beginning of a line', [`I said ${MARK}step 5\n`], undefined],
    ['of a carriage return', [`${MARK}step 6\r\n`], 'step 6'],
    ['too long for a report', [`${MARK}${'x'.repeat(4_000)}\n`], 'x'.repeat(PROGRESS_CHARACTERS_MAX)],
    ['after a line without an end', ['y'.repeat(100_000), `${MARK}no\n${MARK}step 7\n`], 'step 7'],
    ['at the end of a line without an end', ['y'.repeat(100_000), `${MARK}no\n`], undefined],
  ])('%s', (_case, pieces, want) => {
    const said = new SaidProgress();
    for (const piece of pieces) said.take(piece);
    expect(said.fresh()).toBe(want);
    expect(said.fresh()).toBeUndefined();
  });
});
