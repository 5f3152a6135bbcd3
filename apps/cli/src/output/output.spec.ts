import { describe, expect, it } from '@jest/globals';
import { NOW, terminalFor } from '../../test/cli.fixture.ts';
import { renderProgress } from '../models/progress.ts';
import { LiveLine } from './live-line.ts';
import { painter } from './output.ts';
import { renderTable } from './table.ts';
import { formatBytes, formatMs, relativeTime } from './units.ts';

describe('numbers as people read them', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1_000, '1.00 kB'],
    [5_242_880, '5.24 MB'],
    [12_500_000_000, '12.5 GB'],
    [999_600, '1.00 MB'],
  ])('%d bytes: %s', (bytes, want) => expect(formatBytes(bytes)).toBe(want));

  it.each([
    ['2030-01-01T12:00:00.400Z', 'now'],
    ['2030-01-01T11:59:01.000Z', '59 s ago'],
    ['2030-01-01T11:01:00.000Z', '59 min ago'],
    ['2029-12-31T12:00:00.000Z', '1 d ago'],
    ['2030-01-01T13:00:00.000Z', 'in 1 h'],
  ])('%s: %s', (time, want) => expect(relativeTime(time, NOW)).toBe(want));

  it.each([
    [119.6, '120 ms'],
    [1_250, '1.25 s'],
  ])('%d ms: %s', (ms, want) => expect(formatMs(ms)).toBe(want));
});

describe('renderProgress', () => {
  it.each([
    [0, 100, null, 'up    0 %  0 B of 100 B'],
    [2_100_000_000, 5_000_000_000, 110_000_000, 'up   42 %  2.10 GB of 5.00 GB  110 MB/s  27 s left'],
    [100, 100, 10, 'up  100 %  100 B of 100 B  10 B/s'],
    [0, 0, null, 'up  100 %  0 B of 0 B'],
    [50, 100, 0, 'up   50 %  50 B of 100 B  0 B/s'],
  ])('%d of %d at %s/s', (done, total, rate, want) => expect(renderProgress('up', done, total, rate)).toBe(want));
});

describe('renderTable', () => {
  const columns = [{ title: 'name' }, { title: 'reason', wraps: true }, { title: 'id' }];
  it('wraps the long words of the column that may, and cuts no other', () => {
    const text = renderTable(columns, [['edge', 'a reason of many words that goes on and on', 'x1']], 40);
    expect(text).toBe(
      [
        'NAME  REASON                          ID',
        'edge  a reason of many words that     x1',
        '      goes on and on',
        '',
      ].join('\n'),
    );
  });

  it.each([20, 40, 80])('keeps within %d columns', (width) => {
    const text = renderTable(columns, [['n'.repeat(63), 'r '.repeat(90), 'i'.repeat(36)]], width);
    const widest = Math.max(...text.split('\n').map((line) => line.length));
    expect(widest).toBeLessThanOrEqual(Math.max(width, 3 * 8 + 4));
  });
});

describe('colours', () => {
  it.each([
    [true, 'Ready', '\u001b[32mReady\u001b[39m'],
    [true, 'edge', 'edge'],
    [false, 'Ready', 'Ready'],
  ])('on a screen with colours (%s): %s', (hasColours, cell, want) => expect(painter({ hasColours })(cell)).toBe(want));
});

describe('LiveLine', () => {
  it('elsewhere than on a screen says what is new, and the same again only after a while', () => {
    let nowMs = 0;
    const { terminal, told } = terminalFor({ now: () => new Date(nowMs) });
    const line = new LiveLine(terminal);
    line.update('one', 'a');
    line.update('one again', 'a');
    line.update('two', 'b');
    nowMs = 6_000;
    line.update('two later', 'b');
    line.end();
    expect(told().err).toBe('one\ntwo\ntwo later\n');
  });

  it('rewrites its line on a screen, within the width, and takes it away', () => {
    const { terminal, told } = terminalFor({ hasLiveLine: true, columns: 10 });
    const line = new LiveLine(terminal);
    line.update('a line that is too long');
    line.end();
    expect(told().err).toBe('\r\u001b[2Ka line th\r\u001b[2K');
  });
});
