import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { RotatingLog } from './runner/rotating-log.ts';
import { newestLogPart, readTaskLog } from './task-log.ts';

describe('the log of a task', () => {
  let folder: TemporaryFolder;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(() => folder.remove());

  /** In parts of 8 bytes. */
  function write(...texts: string[]): void {
    const log = new RotatingLog(folder.path, 8);
    for (const text of texts) log.write(Buffer.from(text));
    log.close();
  }

  it('is empty before the first word', async () => {
    expect(await readTaskLog(folder.path, 0, 100)).toEqual({ offset: 0, next: 0, text: '', isAtEnd: true });
    expect(await readTaskLog(join(folder.path, 'none'), -5, 100)).toMatchObject({ next: 0, isAtEnd: true });
  });

  it('keeps the newest two parts, and goes on after a restart of its writer', async () => {
    write('0123456789');
    write('abcdefghijklmn');
    expect((await readdir(folder.path)).sort()).toEqual(['000000000000008.log', '000000000000016.log']);
    expect(await newestLogPart(folder.path)).toBe(join(folder.path, '000000000000016.log'));
    expect(await readTaskLog(folder.path, 0, 100)).toEqual({
      offset: 8,
      next: 24,
      text: '89abcdefghijklmn',
      isAtEnd: true,
    });
  });

  it.each<[string, [number, number], { offset: number; next: number; text: string; isAtEnd: boolean }]>([
    ['from the beginning', [0, 5], { offset: 0, next: 5, text: '01234', isAtEnd: false }],
    ['across parts', [5, 6], { offset: 5, next: 11, text: '56789a', isAtEnd: false }],
    ['to the end', [11, 100], { offset: 11, next: 14, text: 'bcd', isAtEnd: true }],
    ['at the end', [14, 100], { offset: 14, next: 14, text: '', isAtEnd: true }],
    ['beyond the end', [99, 100], { offset: 14, next: 14, text: '', isAtEnd: true }],
    ['the last bytes', [-4, 100], { offset: 10, next: 14, text: 'abcd', isAtEnd: true }],
    ['more last bytes than there are', [-99, 100], { offset: 0, next: 14, text: '0123456789abcd', isAtEnd: true }],
  ])('is read %s', async (_case, [offset, bytesMax], want) => {
    write('0123456789abcd');
    expect(await readTaskLog(folder.path, offset, bytesMax)).toEqual(want);
  });

  it('is read without cutting a character, whatever the limit', async () => {
    const text = 'ä€😀z';
    write(text);
    for (let bytesMax = 1; bytesMax <= 12; bytesMax += 1) {
      let [read, offset] = ['', 0];
      for (let isAtEnd = false; !isAtEnd; ) {
        const range = await readTaskLog(folder.path, offset, bytesMax);
        expect(range.offset).toBe(offset);
        expect(range.next).toBeGreaterThan(offset);
        read += range.text;
        [offset, isAtEnd] = [range.next, range.isAtEnd];
      }
      if (bytesMax >= 4) expect([bytesMax, read]).toEqual([bytesMax, text]);
    }
    expect((await readTaskLog(folder.path, -3, 100)).text).toBe('z');
  });
});
