import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { type DesiredVersion, manifestText, type VersionFile } from '#domain';
import { type TemporaryFolder, temporaryFolder, until } from '../../test/temporary-folder.ts';
import { silentMetrics } from '../metrics.ts';
import { Measures } from './measures.ts';
import { VersionFolder } from './version-folder.ts';
import { VersionSync } from './version-sync.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('bringing a version here (invariant 5)', () => {
  let folder: TemporaryFolder;
  let server: Server;
  const blobs = new Map<string, string>();
  let requests: string[];
  let tokens: boolean[];
  let goodToken: string;
  let held: string[];
  let drifts: unknown[];

  beforeEach(async () => {
    folder = await temporaryFolder();
    [requests, tokens, held, drifts, goodToken] = [[], [], [], [], 'first'];
    server = createServer((request, response) => {
      const digest = request.url?.slice(1) ?? '';
      requests.push(digest);
      if (request.headers.authorization !== `Bearer ${goodToken}`) return response.writeHead(401).end();
      const content = blobs.get(digest);
      return content === undefined ? response.writeHead(404).end() : response.end(content);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await folder.remove();
  });

  function versionOf(number: number, texts: Record<string, string>): DesiredVersion {
    const files: VersionFile[] = Object.entries(texts).map(([path, text]) => {
      blobs.set(sha256(text), text);
      return { path, digest: sha256(text), sizeBytes: Buffer.byteLength(text) };
    });
    return { versionId: `v${number}`, modelName: 'tiny', number, digest: sha256(manifestText(files)), files };
  }

  /** Each call is another start of the agent. */
  async function open(freeBytes = 1_000_000) {
    const versions = new VersionFolder(folder.path);
    await versions.open();
    const measures = new Measures({ folder: versions.blobsFolder, freeBytes: () => Promise.resolve(freeBytes) });
    const sync = new VersionSync({
      folder: versions,
      measures,
      planner: { ask: () => Promise.resolve(null), avoidArtifact: () => undefined, avoidNeighbour: () => undefined },
      applyThreads: 1,
      onDrift: async (digest, { path, foundDigest }) => void drifts.push([digest, path, foundDigest]),
      onProgress: () => undefined,
      source: (isRefused) => {
        tokens.push(isRefused);
        const token = isRefused ? 'second' : 'first';
        return Promise.resolve({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token });
      },
      stallTimeoutMs: 2_000,
      headroomBytes: 1_000,
      onHeld: ({ digest }, isNew) => held.push(`${digest.slice(0, 6)} ${isNew ? 'new' : 'verified'}`),
      onChange: () => undefined,
      log: pino({ level: 'silent' }),
      metrics: silentMetrics,
      freeBytes: () => Promise.resolve(freeBytes),
    });
    const settle = async (version: DesiredVersion) => {
      sync.fetch(version);
      await until(() => !sync.fetchingDigests.has(version.digest), 'the fetch ended');
      return sync.report([version])[0]!;
    };
    return { sync, versions, settle };
  }

  const version = () => versionOf(1, { 'model.gguf': 'weights', 'config/tokens.json': '{}' });

  it('takes every file, switches at once, and then holds it', async () => {
    const { versions, settle, sync } = await open();
    const wanted = version();
    expect(await settle(wanted)).toMatchObject({ phase: 'Held', bytesHave: 9, bytesTotal: 9, reason: '' });
    expect(await readFile(join(versions.pathOf(wanted.digest), 'config/tokens.json'), 'utf8')).toBe('{}');
    expect([[...sync.heldDigests], sync.filesOf(wanted.digest)]).toEqual([[wanted.digest], wanted.files]);
  });

  it('found on disk after a restart is held only after it was read again, and is not fetched', async () => {
    const wanted = version();
    await (await open()).settle(wanted);
    requests.length = 0;
    const { sync, settle } = await open();
    expect(sync.heldDigests.size).toBe(0);
    await settle(wanted);
    expect([sync.heldDigests.has(wanted.digest), requests, held.at(-1)?.split(' ')[1]]).toEqual([true, [], 'verified']);
  });

  it('R4: with a flipped bit on disk is not held; the damaged file alone is fetched again', async () => {
    const wanted = version();
    const before = await open();
    await before.settle(wanted);
    const path = join(before.versions.pathOf(wanted.digest), 'model.gguf');
    const { mode } = await stat(path);
    expect(mode & 0o222).toBe(0);
    await chmod(path, 0o600);
    await writeFile(path, 'weightt');
    requests.length = 0;
    const { settle } = await open();
    expect(await settle(wanted)).toMatchObject({ phase: 'Held' });
    expect([requests, await readFile(path, 'utf8')]).toEqual([[sha256('weights')], 'weights']);
    expect(drifts).toEqual([[wanted.digest, 'model.gguf', sha256('weightt')]]);
  });

  it('a file that two versions share comes once', async () => {
    const { settle } = await open();
    await settle(version());
    requests.length = 0;
    await settle(versionOf(2, { 'model.gguf': 'weights 2', 'config/tokens.json': '{}' }));
    expect(requests).toEqual([sha256('weights 2')]);
  });

  it('asks for one new token when the present one is refused', async () => {
    goodToken = 'second';
    const { settle } = await open();
    const wanted = versionOf(1, { 'model.gguf': 'weights' });
    expect(await settle(wanted)).toMatchObject({ phase: 'Held' });
    expect(tokens).toEqual([false, true]);
  });

  const refusals = [
    {
      name: 'a list of files of another digest',
      change: { digest: 'f'.repeat(64) },
      want: /does not have that digest/,
    },
    {
      name: 'a path out of the folder',
      change: { files: [{ path: '../../escape', digest: sha256('weights'), sizeBytes: 7 }] },
      want: /"\.\." segment/,
    },
  ];
  it.each(refusals)('refuses $name before the first byte', async ({ change, want }) => {
    const { settle, sync } = await open();
    const wanted = { ...version(), ...change };
    const begunMs = performance.now();
    const report = await settle(wanted);
    expect([report.phase, requests]).toEqual(['Failed', []]);
    expect(report.reason).toMatch(want);
    expect(sync.fetchRetryAtMs.get(wanted.digest)).toBeGreaterThanOrEqual(begunMs + 1_000);
  });

  it('refuses what the disk cannot hold before the first byte, with the numbers', async () => {
    const { settle } = await open(1_005);
    const report = await settle(version());
    expect([report.phase, requests]).toEqual(['Failed', []]);
    expect(report.reason).toMatch(/Not enough disk: 9 bytes are missing and 1000 must stay free, but only 1005 are/);
  });

  it('waits longer after each failure in a row', async () => {
    const { settle, sync } = await open();
    const wanted = versionOf(1, { 'model.gguf': 'gone' });
    blobs.delete(sha256('gone'));
    for (const waitMs of [1_000, 2_000, 4_000]) {
      const begunMs = performance.now();
      await settle(wanted);
      // It failed at some moment between the two: the wait counts from there, however long the looks took.
      const retryAtMs = sync.fetchRetryAtMs.get(wanted.digest)!;
      expect(retryAtMs - begunMs).toBeGreaterThanOrEqual(waitMs);
      expect(retryAtMs - performance.now()).toBeLessThanOrEqual(waitMs);
    }
  });

  it('sweeps blobs that nothing needs, and keeps those of versions that are here', async () => {
    const { settle, versions } = await open();
    const [first, second] = [version(), versionOf(2, { 'model.gguf': 'weights 2' })];
    await settle(first);
    await settle(second);
    await versions.remove(first.digest);
    await versions.sweep(new Set());
    expect(await readdir(join(folder.path, 'blobs', 'sha256'))).toEqual([sha256('weights 2')]);
    expect(await versions.digests()).toEqual([second.digest]);
  });
});
