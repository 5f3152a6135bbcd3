import { createHash } from 'node:crypto';
import { appendFile, link, mkdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { ContentRefusedError } from '../errors.ts';
import { hashContent, listContent, snapshotContent } from './folder-content.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const { signal } = new AbortController();

describe('a folder that a job wrote', () => {
  let temporary: TemporaryFolder;
  let folder: string;
  beforeEach(async () => {
    temporary = await temporaryFolder();
    folder = join(temporary.path, 'output');
    await mkdir(join(folder, 'deep/er'), { recursive: true });
    await writeFile(join(folder, 'b.txt'), 'B');
    await writeFile(join(folder, 'deep/er/a.txt'), 'A');
  });
  afterEach(() => temporary.remove());

  it('is a manifest of its files', async () => {
    const content = await hashContent(folder, signal);
    const manifest = `${sha256('B')} 1 b.txt\n${sha256('A')} 1 deep/er/a.txt\n`;
    expect(content.manifest.toString()).toBe(manifest);
    expect([content.manifestDigest, content.sizeBytes]).toEqual([sha256(manifest), 2]);
  });

  it('that is not there, or has only folders, has no files', async () => {
    expect(await listContent(join(folder, 'none'))).toEqual([]);
    await rm(join(folder, 'b.txt'));
    await rm(join(folder, 'deep/er/a.txt'));
    expect((await hashContent(folder, signal)).files).toEqual([]);
  });

  it('links to its own files are those files; links to its own folders are left out', async () => {
    await symlink('b.txt', join(folder, 'latest.txt'));
    await symlink('deep', join(folder, 'latest'));
    expect((await listContent(folder)).map(({ path }) => path)).toEqual(['b.txt', 'latest.txt', 'deep/er/a.txt']);
  });

  it.each<[string, (at: (name: string) => string) => Promise<unknown>, string]>([
    ['a link out of it', (at) => symlink('/etc/hostname', at('x')), '"x" is a link that leads out of the folder.'],
    ['a link to what stands beside it', (at) => symlink('../output-2', at('x')), '"x" is a link that leads nowhere.'],
    [
      'a folder that leads out of it',
      (at) => symlink('..', at('deep/x')),
      '"deep/x" is a link that leads out of the folder.',
    ],
    ['a link to itself', (at) => symlink('x', at('x')), '"x" is a link that leads nowhere.'],
    ['a name with a line break', (at) => writeFile(at('x\ny'), ''), '"x\\ny" contains a control character.'],
    [
      'a name with a backslash',
      (at) => writeFile(at('x\\y'), ''),
      '"x\\\\y" contains a backslash; use forward slashes.',
    ],
  ])('is refused for %s', async (_case, make, want) => {
    await make((name) => join(folder, name));
    if (want.includes('out of')) await expect(listContent(folder)).rejects.toThrow(ContentRefusedError);
    await expect(listContent(folder)).rejects.toThrow(want);
  });

  it('is refused for a socket', async () => {
    const server = createServer().listen(join(folder, 's'));
    await new Promise((resolve) => server.once('listening', resolve));
    await expect(listContent(folder)).rejects.toThrow('"s" is neither a file nor a folder.');
    await new Promise((resolve) => server.close(resolve));
  });

  it('is refused for more files than the bound', async () => {
    await expect(listContent(folder, 1)).rejects.toThrow('There are more than 1 files.');
    expect(await listContent(folder, 2)).toHaveLength(2);
  });

  it('set aside, keeps what was there when its files are replaced and removed', async () => {
    const aside = join(temporary.path, 'aside');
    await snapshotContent(folder, aside);
    await rm(join(folder, 'b.txt'));
    await writeFile(join(folder, 'b.txt'), 'another');
    await rm(join(folder, 'deep'), { recursive: true });
    expect((await hashContent(aside, signal)).manifest.toString()).toBe(
      `${sha256('B')} 1 b.txt\n${sha256('A')} 1 deep/er/a.txt\n`,
    );
  });

  it('a file that is written to in place after that is refused: it is not what was saved', async () => {
    const aside = join(temporary.path, 'aside');
    await snapshotContent(folder, aside);
    const { mtimeMs } = await stat(join(folder, 'b.txt'));
    await expect(hashContent(aside, signal, mtimeMs + 1_000)).resolves.toMatchObject({ sizeBytes: 2 });
    await appendFile(join(folder, 'b.txt'), 'more');
    await utimes(join(folder, 'b.txt'), new Date(), new Date(mtimeMs + 5_000));
    await expect(hashContent(aside, signal, mtimeMs + 1_000)).rejects.toThrow(
      '"b.txt" was written to in place after it was saved',
    );
  });

  it('hard links to one file are files of their own', async () => {
    await link(join(folder, 'b.txt'), join(folder, 'c.txt'));
    expect((await hashContent(folder, signal)).files).toHaveLength(3);
  });
});
