import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type TemporaryFolder, temporaryFolder } from '../../../test/temporary-folder.ts';
import { RotatingLog } from './rotating-log.ts';
import { logPartName } from './runner-contract.ts';

describe('the log of a task', () => {
  let folder: TemporaryFolder;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(() => folder.remove());
  const write = (log: RotatingLog, ...texts: string[]) => {
    for (const text of texts) log.write(Buffer.from(text));
  };

  it('keeps the newest two parts, named by the byte they begin with', () => {
    const log = new RotatingLog(folder.path, 4);
    write(log, 'abcdef', 'ghij', 'k');
    log.close();
    const parts = readdirSync(folder.path).sort();
    expect(parts).toEqual([4, 8].map(logPartName));
    expect(parts.map((name) => readFileSync(join(folder.path, name), 'utf8'))).toEqual(['efgh', 'ijk']);
  });

  it('goes on where an earlier one ended', () => {
    for (const text of ['abc', 'def']) {
      const log = new RotatingLog(folder.path, 4);
      write(log, text);
      log.close();
    }
    const parts = readdirSync(folder.path).sort();
    expect(parts.map((name) => readFileSync(join(folder.path, name), 'utf8'))).toEqual(['abcd', 'ef']);
  });

  it('drops what cannot be written, a part that cannot be begun too: a command does not die of its words', () => {
    const log = new RotatingLog(join(folder.path, 'log'), 4);
    rmSync(join(folder.path, 'log'), { recursive: true });
    expect(() => write(log, 'abcdef', 'ghij')).not.toThrow();
    log.close();
  });
});
