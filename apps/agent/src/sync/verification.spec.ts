import { createHash } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { chmod, link, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { VersionFile } from '#domain';
import { type TemporaryFolder, temporaryFolder, until } from '../../test/temporary-folder.ts';
import { silentMetrics } from '../metrics.ts';
import { blobPath } from './blob-download.ts';
import { Verification, type VerificationOptions } from './verification.ts';
import { VersionFolder } from './version-folder.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const [V1, V2] = ['1'.repeat(64), '2'.repeat(64)];

describe('invariant 5: what is held is hashed again', () => {
  let folder: TemporaryFolder;
  let versions: VersionFolder;
  let held: Map<string, readonly VersionFile[]>;
  let seen: string[];
  let verifiedAt: Map<string, Date>;
  let bytes: number;
  let verification: Verification;

  beforeEach(async () => {
    folder = await temporaryFolder();
    versions = new VersionFolder(folder.path);
    await versions.open();
    [held, seen, verifiedAt, bytes] = [new Map(), [], new Map(), 0];
    verification = open();
  });
  afterEach(async () => {
    await verification.stop();
    await folder.remove();
  });

  function open(change: Partial<VerificationOptions> = {}): Verification {
    return new Verification({
      folder: versions,
      held: () => held,
      drop: async (digest) => {
        held.delete(digest);
        await versions.remove(digest);
        seen.push(`dropped ${digest[0]}`);
      },
      onDrift: async ({ versionDigest, path, foundDigest }) => {
        const found = foundDigest?.slice(0, 6) ?? 'nothing';
        seen.push(`stopped ${versionDigest[0]} for ${path}: ${found}, distrusted ${isDistrusted(versionDigest)}`);
        await Promise.resolve();
        seen.push(`told ${versionDigest[0]}`);
      },
      onVerified: (digest, at) => void verifiedAt.set(digest, at),
      onRepairable: () => void seen.push('repairable'),
      bytesPerSecondMax: 1_000_000_000,
      sampleBytes: 1_000,
      log: pino({ level: 'silent' }),
      metrics: {
        ...silentMetrics,
        verifiedBytes: (count) => {
          bytes += count;
        },
      },
      ...change,
    });
  }
  const isDistrusted = (digest: string) => verification.distrusted.has(digest);

  /** As a fetch leaves it: blobs, and links to them. */
  async function hold(versionDigest: string, texts: Record<string, string>, atMs?: number): Promise<void> {
    const files: VersionFile[] = [];
    for (const [path, text] of Object.entries(texts)) {
      const digest = sha256(text);
      const blob = blobPath(versions.blobsFolder, digest);
      await writeFile(blob, text, { flag: 'wx' }).catch(() => undefined);
      await mkdir(dirname(pathOf(versionDigest, path)), { recursive: true });
      await link(blob, pathOf(versionDigest, path));
      await chmod(blob, 0o444);
      files.push({ path, digest, sizeBytes: text.length });
    }
    held.set(versionDigest, files);
    verification.held(versionDigest, files, atMs);
  }
  const pathOf = (versionDigest: string, path: string) => join(versions.pathOf(versionDigest), path);
  async function flip(versionDigest: string, path: string): Promise<string> {
    const file = pathOf(versionDigest, path);
    const content = await readFile(file);
    content[0] = content[0]! ^ 1;
    await chmod(file, 0o600);
    await writeFile(file, content);
    return sha256(content.toString());
  }
  const isThere = (path: string) =>
    stat(path).then(
      () => true,
      () => false,
    );

  it('what is whole stays as it is, and its age is that of its file hashed longest ago', async () => {
    await hold(V1, { 'model.gguf': 'weights', 'config.json': '{}' }, 1_000);
    const beganAtMs = Date.now();
    expect(await verification.verifyNow()).toEqual({ filesRead: 2, drifted: [] });
    expect([seen, [...held.keys()], bytes]).toEqual([[], [V1], 9]);
    expect(verifiedAt.get(V1)!.getTime()).toBeGreaterThanOrEqual(beganAtMs);
  });

  it('a flipped bit: distrusted and stopped first, told, then dropped with its blob; the other files stay', async () => {
    await hold(V1, { 'model.gguf': 'weights', 'config.json': '{}' });
    const found = await flip(V1, 'model.gguf');
    expect(await verification.verifyNow()).toMatchObject({ drifted: [V1] });
    expect(seen).toEqual([
      `stopped 1 for model.gguf: ${found.slice(0, 6)}, distrusted true`,
      'told 1',
      'dropped 1',
      'repairable',
    ]);
    expect([held.size, isDistrusted(V1)]).toEqual([0, false]);
    const blobs = await Promise.all(
      [sha256('weights'), sha256('{}')].map((each) => isThere(blobPath(versions.blobsFolder, each))),
    );
    expect(blobs).toEqual([false, true]);
  });

  it('a file that is gone: told as unreadable; its blob is whole and stays, so that nothing need be fetched', async () => {
    await hold(V1, { 'model.gguf': 'weights' });
    await rm(pathOf(V1, 'model.gguf'));
    expect(await verification.verifyNow(V1)).toMatchObject({ drifted: [V1] });
    expect(seen[0]).toBe('stopped 1 for model.gguf: nothing, distrusted true');
    expect(await isThere(blobPath(versions.blobsFolder, sha256('weights')))).toBe(true);
  });

  it.each<[string, (path: string) => Promise<unknown>]>([
    ['a file that was cut', (path) => chmod(path, 0o600).then(() => writeFile(path, 'weigh'))],
    ['a file that grew', (path) => chmod(path, 0o600).then(() => writeFile(path, 'weights and more'))],
    ['a file that was replaced by another', (path) => rm(path).then(() => writeFile(path, 'weightt'))],
    ['a folder in the place of a file', (path) => rm(path).then(() => mkdir(path))],
  ])('%s drifts', async (_name, damage) => {
    await hold(V1, { 'model.gguf': 'weights' });
    await damage(pathOf(V1, 'model.gguf'));
    expect((await verification.verifyNow()).drifted).toEqual([V1]);
  });

  it('versions that share the damaged bytes go with it, others stay', async () => {
    const V3 = '3'.repeat(64);
    await hold(V1, { 'model.gguf': 'weights', 'config.json': '{}' });
    await hold(V2, { 'model.gguf': 'weights', 'tokens.json': '[]' });
    await hold(V3, { 'tokens.json': '[]' });
    await flip(V1, 'model.gguf');
    expect(new Set((await verification.verifyNow(V1)).drifted)).toEqual(new Set([V1, V2]));
    expect([...held.keys()]).toEqual([V3]);
    expect(seen.filter((each) => each.startsWith('dropped')).sort()).toEqual(['dropped 1', 'dropped 2']);
  });

  it('a copy of the same content is a file of its own', async () => {
    await hold(V1, { 'model.gguf': 'weights' });
    await hold(V2, { 'model.gguf': 'weights' });
    await rm(pathOf(V1, 'model.gguf'));
    await writeFile(pathOf(V1, 'model.gguf'), 'weightt');
    expect((await verification.verifyNow()).drifted).toEqual([V1]);
    expect([...held.keys()]).toEqual([V2]);
  });

  it('two at once find the same damage once', async () => {
    await hold(V1, { 'model.gguf': 'weights' });
    await flip(V1, 'model.gguf');
    const outcomes = await Promise.all([
      verification.verifyNow(),
      verification.verifyNow(V1),
      verification.verifyNow(),
    ]);
    expect(outcomes.flatMap(({ drifted }) => drifted).length).toBeGreaterThan(0);
    expect(seen.filter((each) => each === 'dropped 1')).toEqual(['dropped 1']);
  });

  /** Another agent over the same files, with `happening` in the middle of the first file that it reads. */
  function reading(happening: () => void): Verification {
    const verifiedBytes = () => {
      if (bytes === 0) happening();
      bytes += 1;
    };
    verification = open({ metrics: { ...silentMetrics, verifiedBytes } });
    for (const [digest, files] of held) verification.held(digest, files);
    return verification;
  }
  const large = 'x'.repeat(600_000);

  it('a version that is dropped while it is read has not drifted', async () => {
    await hold(V1, { 'model.gguf': large });
    await flip(V1, 'model.gguf');
    const outcome = await reading(() => {
      held.delete(V1);
      rmSync(versions.pathOf(V1), { recursive: true });
    }).verifyNow();
    expect([outcome.drifted, seen]).toEqual([[], []]);
  });

  it('a version that is replaced while it is read is judged by what is there then', async () => {
    await hold(V1, { 'model.gguf': large });
    await flip(V1, 'model.gguf');
    const outcome = await reading(() => {
      const path = pathOf(V1, 'model.gguf');
      writeFileSync(`${path}.new`, large);
      renameSync(`${path}.new`, path);
    }).verifyNow();
    expect([outcome.drifted, seen, held.has(V1)]).toEqual([[], [], true]);
  });

  it('what cannot be told, or not be removed, is distrusted and not held all the same', async () => {
    verification = open({
      onDrift: () => Promise.reject(new Error('ENOSPC')),
      drop: (digest) => {
        held.delete(digest);
        return Promise.reject(new Error('EROFS'));
      },
    });
    await hold(V1, { 'model.gguf': 'weights' });
    await flip(V1, 'model.gguf');
    expect((await verification.verifyNow()).drifted).toEqual([V1]);
    expect([held.size, verification.distrusted.size, seen]).toEqual([0, 0, ['repairable']]);
  });

  it('the agent may stop in the middle of a large file', async () => {
    await hold(V1, { 'model.gguf': 'x'.repeat(2_000_000) });
    verification = open({ bytesPerSecondMax: 65_536 });
    const round = verification.verifyNow();
    const ended = expect(round).rejects.toThrow();
    await until(() => bytes > 0, 'it is being read');
    await verification.stop();
    await ended;
    expect([seen, held.has(V1)]).toEqual([[], true]);
    verification.told({ mode: 'full', dueInSeconds: 0 });
  });

  it('when the centre says now: all, or by sample the files that waited longest', async () => {
    await hold(V1, { 'model.gguf': 'x'.repeat(900), 'vocabulary.txt': 'y'.repeat(900) }, 1_000);
    await hold(V2, { 'model.gguf': 'z'.repeat(900) }, 2_000);
    verification.start();
    verification.told({ mode: 'sample', dueInSeconds: 0 });
    await until(() => verifiedAt.size === 1, 'a round ran');
    await until(() => bytes === 1_800, 'it took what waited longest');
    expect([...verifiedAt.keys()]).toEqual([V1]);
    // An answer that repeats the moment that was just served runs nothing again; another agent's first one runs all.
    verification.told({ mode: 'full', dueInSeconds: 0 });
    await verification.stop();
    expect(bytes).toBe(1_800);
    verification = open();
    for (const [digest, files] of held) verification.held(digest, files, 1_000);
    verification.told({ mode: 'full', dueInSeconds: 0 });
    await until(() => bytes === 1_800 + 2_700, 'all is read');
    await until(() => verifiedAt.size === 2, 'all is told');
  });

  it('a version whose files nobody said were hashed is verified once the last of them is', async () => {
    await hold(V1, { 'model.gguf': 'weights', 'config.json': '{}' });
    const told: number[] = [];
    verification = open({ onVerified: () => void told.push(bytes) });
    await verification.verifyNow();
    expect(told).toEqual([9]);
  });

  it('a file that it may not read is no damage; the others are verified', async () => {
    await hold(V1, { 'model.gguf': 'weights', 'config.json': '{}' });
    const path = pathOf(V1, 'model.gguf');
    await rm(path);
    await mkdir(join(path, 'x'.repeat(200)), { recursive: true });
    held.set(V1, [{ ...held.get(V1)![0]!, path: `model.gguf/${'x'.repeat(300)}` }, held.get(V1)![1]!]);
    expect(await verification.verifyNow()).toMatchObject({ drifted: [] });
    expect([held.has(V1), bytes]).toEqual([true, 2]);
  });
});
