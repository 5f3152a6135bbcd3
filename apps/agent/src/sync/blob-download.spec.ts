import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { VersionFile } from '#domain';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { SyncError } from '../errors.ts';
import { blobPath, bytesHere, type DownloadOptions, downloadBlob } from './blob-download.ts';

const content = randomBytes(300_000);
const digest = createHash('sha256').update(content).digest('hex');
const file: VersionFile = { path: 'model.gguf', digest, sizeBytes: content.length };
type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Serves ranges as the registry does. */
const serveRange: Answer = (request, response) => {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const status = request.headers.range === undefined ? 200 : 206;
  const range = `bytes ${from}-${content.length - 1}/${content.length}`;
  response.writeHead(status, status === 206 ? { 'content-range': range } : {}).end(content.subarray(from));
};

describe('fetching a blob', () => {
  let folder: TemporaryFolder;
  let server: Server;
  let answers: Answer[];
  let seen: (string | undefined)[];
  let bytes: number;

  beforeEach(async () => {
    folder = await temporaryFolder();
    [answers, seen, bytes] = [[], [], 0];
    server = createServer((request, response) => {
      seen.push(request.headers.range);
      (answers.shift() ?? serveRange)(request, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await folder.remove();
  });

  const options = (change: Partial<DownloadOptions> = {}) => ({
    blobsFolder: folder.path,
    stallTimeoutMs: 2_000,
    signal: new AbortController().signal,
    onBytes: (count: number) => {
      bytes += count;
    },
    ...change,
  });
  const source = () => ({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/blobs/`, token: 'secret' });
  const download = (change = {}) => downloadBlob(file, source(), options(change));
  const stored = () => readFile(blobPath(folder.path, digest));
  async function leavePartial(content: Buffer): Promise<void> {
    const path = `${blobPath(folder.path, digest)}.partial`;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }

  it('takes the whole file and gives it its name', async () => {
    await download();
    expect([(await stored()).equals(content), seen, bytes]).toEqual([true, [undefined], content.length]);
  });

  it('sends the token to the address of the digest', async () => {
    answers.push((request, response) => {
      expect([request.url, request.headers.authorization]).toEqual([`/blobs/${digest}`, 'Bearer secret']);
      serveRange(request, response);
    });
    await download();
  });

  it('resumes where a cut connection stopped, and asks for no byte twice', async () => {
    answers.push((_request, response) => {
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 100_000), () => response.destroy());
    });
    await expect(download()).rejects.toThrow(SyncError);
    const here = await bytesHere(folder.path, digest);
    expect(here).toBeGreaterThan(0);
    await download();
    expect([(await stored()).equals(content), seen[1], bytes]).toEqual([true, `bytes=${here}-`, content.length]);
  });

  it('hashes again what an earlier process left: a torn partial file is found, removed and fetched anew', async () => {
    const torn = Buffer.from(content.subarray(0, 50_000));
    torn[10] = torn[10]! ^ 1;
    await leavePartial(torn);
    await expect(download()).rejects.toThrow(/have digest/);
    expect(await bytesHere(folder.path, digest)).toBe(0);
    await download();
    expect((await stored()).equals(content)).toBe(true);
  });

  it('asks nobody when every byte is already here', async () => {
    await leavePartial(content);
    await download();
    expect([(await stored()).equals(content), seen]).toEqual([true, []]);
  });

  it('starts over when more is here than the file has', async () => {
    await leavePartial(Buffer.concat([content, content]));
    await download();
    expect([(await stored()).equals(content), seen]).toEqual([true, [undefined]]);
  });

  const refusals: { name: string; answer: Answer; partial?: number; wantError: RegExp; wantHere: number }[] = [
    {
      name: 'wrong bytes of the right length are removed',
      answer: (_request, response) => response.end(Buffer.alloc(content.length)),
      wantError: /have digest/,
      wantHere: 0,
    },
    {
      name: 'more bytes than the file has are refused while they come',
      answer: (_request, response) => response.end(Buffer.concat([content, content])),
      wantError: /more than its 300000 bytes/,
      wantHere: 0,
    },
    {
      name: 'an answer that ends early keeps what came',
      answer: (_request, response) => response.end(content.subarray(0, 1_000)),
      wantError: /ended after 1000 of 300000/,
      wantHere: 1_000,
    },
    {
      name: '416 starts over',
      answer: (_request, response) => response.writeHead(416).end(),
      partial: 500,
      wantError: /starting over/,
      wantHere: 0,
    },
    {
      name: '200 in place of a range starts over',
      answer: (_request, response) => response.end(content),
      partial: 500,
      wantError: /starting over/,
      wantHere: 0,
    },
    {
      name: 'another range than asked for is refused, and what is here stays',
      answer: (_request, response) =>
        response.writeHead(206, { 'content-range': `bytes 400-${content.length - 1}/${content.length}` }).end(content),
      partial: 500,
      wantError: /was given others/,
      wantHere: 500,
    },
    {
      name: '500 keeps what is here',
      answer: (_request, response) => response.writeHead(500).end(),
      partial: 500,
      wantError: /answered 500/,
      wantHere: 500,
    },
    {
      name: '404 says that the registry has no such blob',
      answer: (_request, response) => response.writeHead(404).end(),
      wantError: /no such blob/,
      wantHere: 0,
    },
    {
      name: 'a redirect is not followed',
      answer: (_request, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      wantError: /answered 302/,
      wantHere: 0,
    },
  ];
  it.each(refusals)('$name', async ({ answer, partial, wantError, wantHere }) => {
    if (partial !== undefined) await leavePartial(content.subarray(0, partial));
    answers.push(answer);
    await expect(download()).rejects.toThrow(wantError);
    expect(await bytesHere(folder.path, digest)).toBe(wantHere);
    await expect(stored()).rejects.toThrow('ENOENT');
  });

  it('says that the token was refused', async () => {
    answers.push((_request, response) => response.writeHead(401).end());
    await expect(download()).rejects.toMatchObject({ isUnauthorized: true });
  });

  it('gives up by progress: no byte for so long', async () => {
    answers.push((_request, response) => response.writeHead(200).write(content.subarray(0, 10)));
    // Long enough for the head and the first bytes to come on a busy machine: before them it is another message.
    await expect(download({ stallTimeoutMs: 1_000 })).rejects.toThrow(/transfer broke/);
  });

  it('gives up on a source that trickles where a better one is to be had', async () => {
    answers.push((_request, response) => {
      response.writeHead(200);
      const drops = setInterval(() => response.write('.'), 50);
      response.on('close', () => clearInterval(drops));
    });
    // On a busy machine it may be silent for too long instead: the same fault.
    const change = { stallTimeoutMs: 1_000, stallBytesMin: 10_000 };
    await expect(download(change)).rejects.toMatchObject({ fault: 'unreachable' });
  });

  it('gives back what it filled the disk with, so that documents can be written; the next try succeeds', async () => {
    const full = () => Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }));
    await expect(download({ pace: full })).rejects.toMatchObject({ fault: 'disk-full' });
    expect([await bytesHere(folder.path, digest), bytes]).toEqual([0, 0]);
    await download();
    expect((await stored()).equals(content)).toBe(true);
  });

  it('stops at once when it is cancelled, and keeps what came', async () => {
    const abort = new AbortController();
    answers.push((_request, response) => {
      response.writeHead(200).write(content.subarray(0, 1_000));
      setImmediate(() => abort.abort());
    });
    await expect(download({ signal: abort.signal })).rejects.toThrow(/abort/);
  });

  it('takes an empty file without a request', async () => {
    const empty = { path: 'empty', sizeBytes: 0, digest: createHash('sha256').digest('hex') };
    await downloadBlob(empty, source(), options());
    expect([(await readFile(blobPath(folder.path, empty.digest))).length, seen]).toEqual([0, []]);
  });
});
