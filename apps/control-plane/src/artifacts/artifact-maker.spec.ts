// The maker on a real disk: what it makes is proven, and what fails or is cut short leaves nothing.

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { ArtifactProfile, VersionFile } from '#domain';
import { applyDiff, type BlockRunner, inlineRunner, MemorySink } from '#modelsync';
import { BlobStore } from '../blobs/blob-store.ts';
import { abortable } from './abortable.ts';
import { ArtifactMaker, CRASHES_MAX } from './artifact-maker.ts';

const never = new AbortController().signal;

let directory: string;
let blobs: BlobStore;
let maker: ArtifactMaker;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atoll-maker-'));
  blobs = await BlobStore.open(directory);
  maker = new ArtifactMaker(blobs);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const making = () => readdir(join(directory, 'making')).catch(() => []);
const blobPath = (digest: string) => join(directory, 'sha256', digest.slice(0, 2), digest);

async function blobOf(path: string, content: Uint8Array): Promise<VersionFile> {
  const digest = createHash('sha256').update(content).digest('hex');
  const staged = join(directory, `staged-${digest.slice(0, 16)}`);
  await writeFile(staged, content);
  await blobs.adopt(staged, digest);
  return { path, digest, sizeBytes: content.length };
}

async function blobCount(): Promise<number> {
  let count = 0;
  for await (const _blob of blobs.list()) count += 1;
  return count;
}

/** Bytes that nothing makes smaller, the same every time. */
function noise(bytes: number, seed: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(bytes / 32) }, (_, index) =>
    createHash('sha256').update(`${seed} ${index}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, bytes);
}

function edited(content: Buffer): Buffer {
  const copy = Buffer.from(content);
  copy[Math.floor(copy.length / 2)]! ^= 1;
  return copy;
}

const order = (files: VersionFile[], baseFiles: VersionFile[] = [], profile: ArtifactProfile = 'fast') => ({
  id: 'an-artifact',
  profile,
  files,
  baseFiles,
});

describe('ArtifactMaker', () => {
  it.each(['fast', 'small'] as const)('%s: an edited file is a diff that makes it again', async (profile) => {
    const [base, next] = [noise(200_000, 1), edited(noise(200_000, 1))];
    const [baseFile, nextFile] = [await blobOf('a', base), await blobOf('a', next)];
    const [entry, ...rest] = await maker.make(order([nextFile], [baseFile], profile), inlineRunner, never);
    expect(rest).toEqual([]);
    expect(entry).toMatchObject({ encoding: 'diff', baseDigest: baseFile.digest, digest: nextFile.digest });
    expect(entry!.blobBytes).toBeLessThan(20_000);
    const [from, encoded] = [await blobs.openSource(baseFile.digest), await blobs.openSource(entry!.blobDigest)];
    const result = new MemorySink();
    await applyDiff(from!, encoded!, result);
    await Promise.all([from!.close(), encoded!.close()]);
    expect(Buffer.from(result.content()).equals(next)).toBe(true);
    expect(await making()).toEqual([]);
  });

  it('what no codec makes smaller, and what is tiny, is its own encoding', async () => {
    const files = [await blobOf('noise', noise(50_000, 2)), await blobOf('tiny', Buffer.alloc(900))];
    files.push(await blobOf('empty', Buffer.alloc(0)));
    const entries = await maker.make(order(files, [], 'snapshot'), inlineRunner, never);
    expect(entries).toEqual(
      files.map(({ digest, sizeBytes }) => ({
        digest,
        sizeBytes,
        encoding: 'whole',
        baseDigest: null,
        blobDigest: digest,
        blobBytes: sizeBytes,
      })),
    );
    expect(await blobCount()).toBe(3);
  });

  it('a base of no use: the file by itself; a malformed file: as it is', async () => {
    const gguf = Buffer.concat([Buffer.from('GGUF'), Buffer.alloc(5_000)]); // from before headers were checked
    const [malformed, other] = [await blobOf('a', gguf), await blobOf('a', Buffer.alloc(5_000, 1))];
    const entries = [
      ...(await maker.make(order([other], [malformed]), inlineRunner, never)),
      ...(await maker.make(order([malformed], [other]), inlineRunner, never)),
    ];
    expect(entries.map(({ encoding, baseDigest }) => [encoding, baseDigest])).toEqual([
      ['snapshot', null],
      ['whole', null],
    ]);
  });

  it.each([
    ['base', /^wrong base: /],
    ['next', /result's SHA-256 is .* must not be used/],
    ['whole', /^the blob of a is damaged: /],
  ])('a damaged %s is found out, and no blob is left', async (which, why) => {
    const content = { base: noise(9_000, 1), next: edited(noise(9_000, 1)), whole: noise(9_000, 2) }[which]!;
    const damaged = await blobOf('a', content);
    const files = {
      base: [[await blobOf('a', edited(content))], [damaged]],
      next: [[damaged], [await blobOf('a', noise(9_000, 1))]],
      whole: [[damaged], []],
    }[which] as [VersionFile[], VersionFile[]];
    const before = await blobCount();
    const changed = Buffer.from(content);
    changed[10]! ^= 1;
    await writeFile(blobPath(damaged.digest), changed);
    await expect(maker.make(order(...files), inlineRunner, never)).rejects.toThrow(why);
    expect([await blobCount(), await making()]).toEqual([before, []]);
  });

  it('an encoder that errs is found out: what it made is decoded before it is offered', async () => {
    const [baseFile, nextFile] = [await blobOf('a', noise(9_000, 1)), await blobOf('a', edited(noise(9_000, 1)))];
    const erring: BlockRunner = {
      ...inlineRunner,
      encode: async (work) => inlineRunner.encode({ ...work, next: edited(Buffer.from(work.next)) }),
    };
    await expect(maker.make(order([nextFile], [baseFile]), erring, never)).rejects.toThrow(/must not be used|damaged/);
    expect([await blobCount(), await making()]).toEqual([2, []]);
  });

  it('a blob that is not on this disk, or is cut, is named', async () => {
    const [baseFile, nextFile] = [await blobOf('a.bin', noise(9_000, 1)), await blobOf('a.bin', noise(9_001, 1))];
    await writeFile(blobPath(baseFile.digest), 'cut');
    const make = () => maker.make(order([nextFile], [baseFile]), inlineRunner, never);
    await expect(make()).rejects.toThrow(/blob of a\.bin .* has 3 bytes, not 9000/);
    await rm(blobPath(baseFile.digest));
    await expect(make()).rejects.toThrow(/blob of a\.bin .* is not on this disk/);
  });

  it('a full disk is seen before the first byte', async () => {
    const file = await blobOf('a', noise(9_000, 1));
    Object.assign(blobs, { space: async () => ({ freeBytes: 500_000, totalBytes: 10_000_000 }) });
    await expect(maker.make(order([file], [], 'snapshot'), inlineRunner, never)).rejects.toThrow(
      'the blob storage has 500000 bytes free; 509000 are needed to encode a file',
    );
  });

  it('ends at once when told to, even while a thread answers nothing, and leaves nothing', async () => {
    const file = await blobOf('a', noise(9_000, 1));
    const ending = new AbortController();
    let asked = 0;
    const silent: BlockRunner = {
      ...inlineRunner,
      encode: () => {
        asked += 1;
        ending.abort(new Error('no longer leading'));
        return new Promise(() => undefined);
      },
    };
    const made = maker.make(order([file], [], 'snapshot'), abortable(silent, ending.signal), ending.signal);
    await expect(made).rejects.toThrow('no longer leading');
    expect([asked, await making()]).toEqual([1, []]);
  });

  it('asks a runner that failed for nothing more', async () => {
    let asked = 0;
    const dead: BlockRunner = {
      ...inlineRunner,
      encode: async () => {
        asked += 1;
        throw new Error('a codec thread ended with code 1');
      },
    };
    const runner = abortable(dead, never);
    const work = {} as never;
    for (let attempt = 0; attempt < 2; attempt += 1) await expect(runner.encode(work)).rejects.toThrow(/thread ended/);
    await expect(runner.decode(work)).rejects.toThrow(/thread ended/);
    expect(asked).toBe(1);
  });

  it('sweeps what a crash left, and names what crashed again and again', async () => {
    const crash = async (id: string) => {
      await mkdir(join(directory, 'making', `${id}.left`), { recursive: true });
      await writeFile(join(directory, 'making', `${id}.left`, '0.diff'), 'half');
    };
    const swept: string[][] = [];
    for (let start = 0; start < CRASHES_MAX; start += 1) {
      await crash('bad');
      if (start === 0) await crash('unlucky');
      swept.push(await maker.sweep());
    }
    expect(swept).toEqual([...Array.from({ length: CRASHES_MAX - 1 }, () => []), ['bad']]);
    expect(await making()).toEqual(['unlucky.crashes']);
    const file = await blobOf('a', noise(2_000, 1));
    await maker.make({ ...order([file], [], 'snapshot'), id: 'unlucky' }, inlineRunner, never);
    expect(await making()).toEqual([]);
  });
});
