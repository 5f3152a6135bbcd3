// Blobs on a real disk: adopted, collected, and both at once.

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { BlobStore, type StoredBlob } from './blob-store.ts';
import { BLOB_GRACE_MS, collectBlobs } from './collection.ts';

const LONG_AGO = new Date('2020-01-01T00:00:00Z');
const NOBODY = async () => new Set<string>();
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

let directory: string;
let blobs: BlobStore;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atoll-blobs-'));
  blobs = await BlobStore.open(directory);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const pathOf = (digest: string) => join(directory, 'sha256', digest.slice(0, 2), digest);
const asideNames = () => readdir(join(directory, 'aside'));

async function staged(text: string): Promise<string> {
  const path = join(directory, `staged-${text.length}-${sha256(text).slice(0, 8)}`);
  await writeFile(path, text);
  return path;
}

async function adopted(text: string, at = LONG_AGO): Promise<StoredBlob> {
  const digest = sha256(text);
  await blobs.adopt(await staged(text), digest);
  await utimes(pathOf(digest), at, at);
  return { digest, sizeBytes: text.length, adoptedAt: at };
}

async function all(): Promise<StoredBlob[]> {
  const found: StoredBlob[] = [];
  for await (const blob of blobs.list()) found.push(blob);
  return found;
}

const listed = async () => (await all()).map(({ digest }) => digest).sort();

describe('adopt', () => {
  it('gives the file its place and makes a blob that is there young again', async () => {
    const { digest } = await adopted('a');
    await blobs.adopt(join(directory, 'was-never-here'), digest);
    const [blob] = await all();
    expect(blob!.adoptedAt.getTime()).toBeGreaterThan(LONG_AGO.getTime());
    expect(await readFile(pathOf(digest), 'utf8')).toBe('a');
  });

  it('replaces a blob that was cut', async () => {
    const { digest } = await adopted('whole');
    await writeFile(pathOf(digest), 'who');
    await blobs.adopt(await staged('whole'), digest);
    expect(await readFile(pathOf(digest), 'utf8')).toBe('whole');
  });

  it('fails when there is neither the file nor the blob', async () => {
    await expect(blobs.adopt(join(directory, 'nothing'), sha256('b'))).rejects.toThrow(/ENOENT/);
  });

  it('many at once of one content leave one blob', async () => {
    const path = await staged('same');
    await Promise.all(Array.from({ length: 8 }, () => blobs.adopt(path, sha256('same'))));
    expect(await listed()).toEqual([sha256('same')]);
  });
});

describe('collecting', () => {
  it('removes what is old and not used, and nothing else', async () => {
    const now = new Date('2026-01-01T00:00:00Z');
    const [gone, used] = [await adopted('gone'), await adopted('used')];
    const justYoung = await adopted('young', new Date(now.getTime() - BLOB_GRACE_MS));
    const result = await collectBlobs(blobs, async () => new Set([used.digest]), now);
    expect(result).toEqual({ count: 1, bytes: gone.sizeBytes });
    expect(await listed()).toEqual([used.digest, justYoung.digest].sort());
    expect(await asideNames()).toEqual([]);
  });

  it('leaves what is no blob alone', async () => {
    await mkdir(join(directory, 'sha256', 'ab'), { recursive: true });
    await writeFile(join(directory, 'sha256', 'ab', 'README'), '');
    await collectBlobs(blobs, NOBODY, new Date());
    expect(await readdir(join(directory, 'sha256', 'ab'))).toEqual(['README']);
  });

  it('what is adopted between the look and the removal stays', async () => {
    const blob = await adopted('a');
    await blobs.adopt(await staged('a'), blob.digest);
    expect(await blobs.remove([blob], new Date('2021-01-01'), NOBODY)).toEqual([]);
    expect(await listed()).toEqual([blob.digest]);
  });

  it('what is adopted while it is set aside stays', async () => {
    const blob = await adopted('a');
    const gone = await blobs.remove([blob], new Date('2021-01-01'), async () => {
      await blobs.adopt(await staged('a'), blob.digest);
      return new Set();
    });
    expect(gone).toEqual([blob]); // the old copy of it
    expect(await readFile(pathOf(blob.digest), 'utf8')).toBe('a');
  });

  it('what comes into use while it is set aside goes back', async () => {
    const blob = await adopted('a');
    expect(await blobs.remove([blob], new Date('2021-01-01'), async () => new Set([blob.digest]))).toEqual([]);
    expect(await readFile(pathOf(blob.digest), 'utf8')).toBe('a');
  });

  it('everything goes back when nobody can say what is in use', async () => {
    const some = [await adopted('a'), await adopted('b')];
    const cannotSay = () => Promise.reject(new Error('no database'));
    await expect(blobs.remove(some, new Date('2021-01-01'), cannotSay)).rejects.toThrow('no database');
    expect(await listed()).toEqual(some.map(({ digest }) => digest).sort());
    expect(await asideNames()).toEqual([]);
  });

  it('what a crash left set aside is back after the next start', async () => {
    const { digest } = await adopted('a');
    await rename(pathOf(digest), join(directory, 'aside', `${digest}.of-a-process-that-died`));
    await writeFile(join(directory, 'aside', 'rubbish'), '');
    blobs = await BlobStore.open(directory);
    expect(await listed()).toEqual([digest]);
  });

  it('what is gone already is passed over', async () => {
    const blob = await adopted('a');
    await rm(pathOf(blob.digest));
    expect(await blobs.remove([blob], new Date(), NOBODY)).toEqual([]);
  });
});
