import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { UploadError } from '../errors.ts';
import { type UploadOptions, uploadBlob, uploadContent } from './blob-upload.ts';
import { hashContent } from './folder-content.ts';

const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex');
/** So large that it takes several parts. */
const CONTENT = Buffer.alloc(700_000, 'abcdefgh1234');
const DIGEST = sha256(CONTENT);
type Answer = (incoming: IncomingMessage, response: ServerResponse) => void;

describe('uploading blobs', () => {
  let folder: TemporaryFolder;
  let registry: Server;
  let path: string;
  /** What the registry has of each blob, whole or not. */
  let staged: Map<string, Buffer>;
  let whole: Map<string, Buffer>;
  /** `<method> <from>-<end> <token>` of each request. */
  let requests: string[];
  /** Instead of what the registry does with the next ones; undefined: what it does. */
  let answers: (Answer | undefined)[];
  let token: string;
  let options: UploadOptions;

  beforeEach(async () => {
    folder = await temporaryFolder();
    path = join(folder.path, 'model.bin');
    await writeFile(path, CONTENT);
    [staged, whole, requests, answers, token] = [new Map(), new Map(), [], [], 'old'];
    registry = createServer((incoming, response) => void take(incoming, response));
    registry.listen(0, '127.0.0.1');
    await once(registry, 'listening');
    const url = `http://127.0.0.1:${(registry.address() as AddressInfo).port}/api/v1/blobs/`;
    options = {
      attemptId: 'a1',
      source: async (isRefused) => {
        if (isRefused) token = 'new';
        return { url, token };
      },
      stallTimeoutMs: 5_000,
      signal: new AbortController().signal,
      mayGiveUp: () => true,
    };
  });
  afterEach(async () => {
    registry.closeAllConnections();
    await new Promise((resolve) => registry.close(resolve));
    await folder.remove();
  });

  async function take(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '', 'http://registry');
    const digest = url.pathname.split('/').at(-1)!;
    const range = incoming.headers['content-range'] ?? '';
    requests.push([incoming.method, range, incoming.headers.authorization?.slice('Bearer '.length)].join(' ').trim());
    expect([url.searchParams.get('attempt'), url.searchParams.has('size')]).toEqual(['a1', true]);
    const special = answers.shift();
    if (special !== undefined) return special(incoming, response);
    if (incoming.method === 'HEAD') return void response.writeHead(whole.has(digest) ? 200 : 404).end();
    const before = staged.get(digest) ?? Buffer.alloc(0);
    const from = Number(/^bytes (\d+)-/.exec(range)?.[1] ?? 0);
    if (from !== before.length) return void answer409(response, before.length);
    const content = Buffer.concat([before, ...((await incoming.toArray()) as Buffer[])]);
    staged.set(digest, content);
    if (content.length === Number(url.searchParams.get('size'))) whole.set(digest, content);
    response.writeHead(200).end(JSON.stringify({ receivedBytes: content.length }));
  }
  function answer409(response: ServerResponse, receivedBytes: number): void {
    response.writeHead(409, { connection: 'close' }).end(JSON.stringify({ receivedBytes }));
  }
  const blob = () => ({ digest: DIGEST, sizeBytes: CONTENT.length, content: path });
  const upload = (change: Partial<UploadOptions> = {}) => uploadBlob(blob(), { ...options, ...change });
  const status =
    (code: number, text = ''): Answer =>
    (_incoming, response) =>
      void response.writeHead(code, { connection: 'close' }).end(text);

  it('sends a file in parts that double', async () => {
    let bytes = 0;
    await upload({ onBytes: (more) => (bytes += more) });
    expect(whole.get(DIGEST)?.equals(CONTENT)).toBe(true);
    expect(bytes).toBe(CONTENT.length);
    expect(requests).toEqual([
      'HEAD  old',
      'PUT bytes 0-65535/700000 old',
      'PUT bytes 65536-196607/700000 old',
      'PUT bytes 196608-458751/700000 old',
      'PUT bytes 458752-699999/700000 old',
    ]);
  });

  it('sends nothing of what is there', async () => {
    whole.set(DIGEST, CONTENT);
    await upload();
    expect(requests).toEqual(['HEAD  old']);
  });

  it.each([100_000, 699_999, 1])('goes on where an earlier try was cut: at %i', async (at) => {
    staged.set(DIGEST, CONTENT.subarray(0, at));
    await upload();
    expect(whole.get(DIGEST)?.equals(CONTENT)).toBe(true);
    expect(requests[2]).toContain(`bytes ${at}-`);
  });

  it('an empty file is one request', async () => {
    const empty = Buffer.alloc(0);
    await uploadBlob({ digest: sha256(empty), sizeBytes: 0, content: empty }, options);
    expect(requests).toEqual(['HEAD  old', 'PUT  old']);
    expect(whole.get(sha256(empty))).toEqual(empty);
  });

  it('a token that is refused is renewed once', async () => {
    answers = [status(401)];
    await upload();
    expect(requests.slice(0, 3)).toEqual(['HEAD  old', 'HEAD  new', 'PUT bytes 0-65535/700000 new']);
  });

  it.each<[string, Answer[], UploadError['fault']]>([
    ['403', [status(404), status(403, 'not yours')], 'refused'],
    ['413', [status(404), status(413)], 'refused'],
    ['422', [status(404), status(422)], 'changed'],
    ['429', [status(404), status(429)], 'unreachable'],
    ['507', [status(404), status(507)], 'unreachable'],
    ['401 twice', [status(404), status(401), status(401)], 'unreachable'],
    ['a cut connection', [status(404), (incoming) => incoming.socket.destroy()], 'unreachable'],
    ['409 without a place', [status(404), status(409, '{}')], 'unreachable'],
    [
      '409 at the same place for ever',
      [status(404), ...Array<Answer>(20).fill((_, response) => answer409(response, 0))],
      'unreachable',
    ],
  ])('%s', async (_case, given, want) => {
    answers = given;
    await expect(upload()).rejects.toMatchObject({ name: 'UploadError', fault: want });
  });

  it('a file that was cut or removed after it was hashed is changed, and nothing is sent', async () => {
    await writeFile(path, 'shorter');
    await expect(upload()).rejects.toMatchObject({ fault: 'changed' });
    await rm(path);
    await expect(upload()).rejects.toMatchObject({ fault: 'changed' });
    expect(requests).toEqual([]);
  });

  it('a folder: each blob once, the manifest last; what passes is tried again from where it was', async () => {
    const output = join(folder.path, 'output');
    await writeFile(path, CONTENT);
    await mkdir(output);
    for (const name of ['a.bin', 'b.bin']) await copyFile(path, join(output, name));
    answers = [undefined, undefined, status(503)];
    const content = await hashContent(output, options.signal);
    await uploadContent(content, { ...options, mayGiveUp: () => false });
    expect([...whole.keys()]).toEqual([DIGEST, content.manifestDigest]);
    expect(requests.filter((each) => each.startsWith('PUT bytes 0-65535/700000'))).toHaveLength(2);
  });

  it('aborted, it ends with the signal’s reason', async () => {
    const abort = new AbortController();
    answers = [undefined, () => abort.abort(new Error('no longer wanted'))];
    await expect(upload({ signal: abort.signal })).rejects.toThrow('no longer wanted');
  });
});
