import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { sweepDrafts, syncFolder, writeDraft, writeDurably, writeLightly } from './durable-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-files-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a durable file', () => {
  it('is replaced as a whole, with its own mode, and nothing is left beside it', async () => {
    const path = join(folder, 'note');
    await writeDurably(path, 'a long first text');
    await writeDurably(path, 'second', 0o640);
    expect([await readFile(path, 'utf8'), (await stat(path)).mode & 0o777]).toEqual(['second', 0o640]);
    expect(await readdir(folder)).toEqual(['note']);
  });

  it('is for its owner only unless said otherwise', async () => {
    await writeDurably(join(folder, 'note'), 'secret');
    expect((await stat(join(folder, 'note'))).mode & 0o777).toBe(0o600);
  });

  it('that cannot take its place throws, and its draft goes', async () => {
    await mkdir(join(folder, 'taken'));
    await expect(writeDurably(join(folder, 'taken'), 'text')).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(await readdir(folder)).toEqual(['taken']);
  });

  it('that need not outlive the machine is replaced as a whole too', async () => {
    await writeLightly(join(folder, 'note'), 'a long first text');
    await writeLightly(join(folder, 'note'), 'second');
    expect([await readFile(join(folder, 'note'), 'utf8'), await readdir(folder)]).toEqual(['second', ['note']]);
    expect((await stat(join(folder, 'note'))).mode & 0o777).toBe(0o600);
  });

  it('in a folder that is not there throws', async () => {
    await expect(writeDurably(join(folder, 'none', 'note'), 'text')).rejects.toThrow('ENOENT');
    await expect(syncFolder(join(folder, 'none'))).rejects.toThrow('ENOENT');
  });

  it('of many writers at once is one of theirs, whole', async () => {
    const texts = Array.from({ length: 20 }, (_, index) => String(index).repeat(10_000));
    await Promise.all(texts.map((text) => writeDurably(join(folder, 'note'), text)));
    expect(texts).toContain(await readFile(join(folder, 'note'), 'utf8'));
    expect(await readdir(folder)).toEqual(['note']);
  });

  it('was never begun, as far as a reader sees, when its writer was killed: drafts go once they are old', async () => {
    const old = await writeDraft(join(folder, 'note'), 'half');
    const young = await writeDraft(join(folder, 'note'), 'being written');
    await writeFile(join(folder, '.other.draft'), 'of somebody else');
    for (const path of [old, join(folder, '.other.draft')]) await utimes(path, 1, 1);
    await sweepDrafts(folder, '.note.');
    expect((await readdir(folder)).sort()).toEqual(['.other.draft', young.slice(folder.length + 1)].sort());
    await sweepDrafts(join(folder, 'none'), '.note.');
  });
});
