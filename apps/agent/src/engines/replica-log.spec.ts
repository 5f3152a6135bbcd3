import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { readReplicaLog } from './replica-log.ts';

const replicaId = '01900000-0000-7000-8000-000000000001';
let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => folder.remove());

const write = (text: string) => writeFile(join(folder.path, `${replicaId}.log`), text);
const ask = (offset: number, isHere = true, bytesMax = 100) =>
  readReplicaLog(folder.path, { replicaId, offset, bytesMax }, isHere);

describe('the log of a replica', () => {
  it.each([
    ['from its start', 0, 'one\ntwo\n', 8],
    ['what follows', 4, 'two\n', 8],
    ['its end', -4, 'two\n', 8],
    ['nothing new', 8, '', 8],
    ['anew, when the engine began it anew', 99, 'one\ntwo\n', 8],
  ])('%s', async (_name, offset, text, next) => {
    await write('one\ntwo\n');
    expect(await ask(offset)).toMatchObject({ found: true, text, next, isComplete: false });
  });

  it('is complete once the replica is gone', async () => {
    await write('one\n');
    expect(await ask(0, false)).toMatchObject({ text: 'one\n', isComplete: true });
    expect(await ask(0, false, 2)).toMatchObject({ text: 'on', isComplete: false });
  });

  it.each([
    [true, 'Its engine keeps no log here.'],
    [false, 'Its cluster has no log of it any more.'],
  ])('is told to be missing (still here: %s)', async (isHere, reason) => {
    expect(await ask(0, isHere)).toEqual({ found: false, reason });
  });

  it('is never read from what is no file', async () => {
    await mkdir(join(folder.path, `${replicaId}.log`));
    expect(await ask(0)).toMatchObject({ found: false });
  });
});
