// A version is published over a connection that is cut: what arrived is kept, the rest follows, nothing is sent twice.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AdminClient, type VersionDto } from '#contracts';
import { manifestText } from '#domain';
import { aVersion } from '../../test/builders.fixture.ts';
import { adminServer, page, problem, TOKEN, temporaryFolder, terminalFor } from '../../test/cli.fixture.ts';
import { publish } from './publish.ts';

const folder = temporaryFolder();
const source = join(folder.path, 'model');
const contents: Readonly<Record<string, Buffer>> = {
  'model.gguf': Buffer.alloc(3_000_000, 'weights of no consequence '),
  'nested/config.json': Buffer.from('{}'),
  'nested/empty': Buffer.alloc(0),
};
const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');
const files = Object.entries(contents).map(([path, bytes]) => ({
  path,
  sizeBytes: bytes.length,
  digest: sha256(bytes),
}));
const wantDigest = sha256(manifestText(files));
const pace = { triesMax: 3, delayMsMin: 1, delayMsMax: 2, stallMs: 5_000 };

const { server } = adminServer();
beforeAll(() => {
  mkdirSync(join(source, 'nested'), { recursive: true });
  for (const [path, bytes] of Object.entries(contents)) writeFileSync(join(source, path), bytes);
});
afterAll(() => folder.remove());

/** A server that keeps what it got, as the control plane does. `cutAfter` bytes it cuts the connection, each time once. */
class Uploads {
  readonly received = new Map<string, Buffer>(files.map(({ path }) => [path, Buffer.alloc(0)]));
  readonly offsets: string[] = [];
  private readonly cuts: number[];
  private isPublished = false;

  constructor(cuts: readonly number[]) {
    this.cuts = [...cuts];
    server.on('GET /models/m/versions', page());
    server.on('POST /models/m/versions', (_request, response) => this.say(response, this.version));
    server.on('GET /models/m/versions/1', (_request, response) => this.say(response, this.version));
    server.on('POST /models/m/versions/1/publish', (_request, response) => {
      this.isPublished = true;
      this.say(response, this.version);
    });
    server.on('PUT /models/m/versions/1/content', (request, response) => this.take(request, response));
  }

  get version(): VersionDto {
    return aVersion({
      model: 'm',
      phase: this.isPublished ? 'Published' : 'Uploading',
      digest: this.isPublished ? wantDigest : null,
      sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      files: files.map(({ path, sizeBytes }) => ({ path, sizeBytes, ...this.state(path, sizeBytes) })),
    });
  }

  private state(path: string, sizeBytes: number) {
    const bytes = this.received.get(path)!;
    const isComplete = bytes.length === sizeBytes && this.offsets.some((entry) => entry.startsWith(`${path}@`));
    return { receivedBytes: bytes.length, digest: isComplete ? sha256(bytes) : null };
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const query = new URL(request.url!, server.url).searchParams;
    const path = query.get('path')!;
    const offset = Number(query.get('offset'));
    this.offsets.push(`${path}@${offset}`);
    if (offset !== this.received.get(path)!.length) return this.say(response, problem(409, 'offset', 'no').body, 409);
    const cutAfter = path === 'model.gguf' ? this.cuts.shift() : undefined;
    let taken = 0;
    try {
      for await (const piece of request as AsyncIterable<Buffer>) {
        const kept = cutAfter === undefined ? piece : piece.subarray(0, Math.max(0, cutAfter - taken));
        taken += kept.length;
        this.received.set(path, Buffer.concat([this.received.get(path)!, kept]));
        if (cutAfter !== undefined && taken >= cutAfter) {
          request.socket.destroy();
          return;
        }
      }
    } catch {
      return; // the client cut
    }
    const { sizeBytes } = files.find((file) => file.path === path)!;
    this.say(response, { path, sizeBytes, ...this.state(path, sizeBytes) });
  }

  private say(response: ServerResponse, body: unknown, status = 200): void {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  }
}

function publishIt(changes: { resume?: number; signal?: AbortSignal; source?: string } = {}) {
  const { terminal, told } = terminalFor({ cwd: folder.path, ...(changes.signal ? { signal: changes.signal } : {}) });
  const client = new AdminClient(server.url, TOKEN);
  const request = { model: 'm', source: changes.source ?? 'model', pace, resume: changes.resume };
  return { published: publish(client, request, terminal), told };
}

describe('publish', () => {
  it('declares files with digests, sends each whole, and publishes', async () => {
    const uploads = new Uploads([]);
    const { version, isOld } = await publishIt().published;
    expect({ isOld, digest: version.digest, offsets: uploads.offsets }).toEqual({
      isOld: false,
      digest: wantDigest,
      offsets: ['model.gguf@0', 'nested/config.json@0', 'nested/empty@0'],
    });
    // Digests: Jest takes seconds to compare megabytes.
    expect([...uploads.received].map(([path, bytes]) => [path, sha256(bytes)])).toEqual(
      files.map(({ path, digest }) => [path, digest]),
    );
  });

  it('goes on after each cut from what arrived', async () => {
    const uploads = new Uploads([1_000_000, 500_000, 1, 0]);
    const { published, told } = publishIt();
    await published;
    expect(uploads.received.get('model.gguf')!.equals(contents['model.gguf']!)).toBe(true);
    expect(uploads.offsets.slice(0, 5)).toEqual([
      'model.gguf@0',
      'model.gguf@1000000',
      'model.gguf@1500000',
      'model.gguf@1500001',
      'model.gguf@1500001',
    ]);
    expect(told().err).toContain('Trying again in');
  });

  it('gives up after tries that move nothing, and says how to go on', async () => {
    const uploads = new Uploads([1_000, 0, 0, 0, 0, 0]);
    await expect(publishIt().published).rejects.toThrow(
      /3 tries moved nothing[\s\S]*Go on with: atoll model publish m model --resume 1/,
    );
    expect(uploads.offsets).toHaveLength(4);
  });

  it('goes on with an upload of an earlier run', async () => {
    const uploads = new Uploads([]);
    uploads.received.set('model.gguf', contents['model.gguf']!.subarray(0, 2_000_000));
    await publishIt({ resume: 1 }).published;
    expect(uploads.offsets[0]).toBe('model.gguf@2000000');
    expect(server.seen.map(({ call }) => call)).not.toContain('POST /models/m/versions');
    expect(uploads.received.get('model.gguf')!.equals(contents['model.gguf']!)).toBe(true);
  });

  it('does not mix files of two uploads', async () => {
    new Uploads([]);
    await expect(publishIt({ resume: 1, source: 'model/nested' }).published).rejects.toThrow(
      'was begun with other files: config.json differs',
    );
  });

  it('sends nothing when this content is published already', async () => {
    const uploads = new Uploads([]);
    server.on('GET /models/m/versions', page(aVersion({ model: 'm', number: 4, digest: wantDigest })));
    const { version, isOld } = await publishIt().published;
    expect({ number: version.number, isOld, offsets: uploads.offsets }).toEqual({
      number: 4,
      isOld: true,
      offsets: [],
    });
  });

  it('does not try again what was refused', async () => {
    new Uploads([]);
    let tries = 0;
    server.on('PUT /models/m/versions/1/content', (_request, response) => {
      tries += 1;
      const { status, body } = problem(422, 'content-invalid', 'The file is no GGUF.');
      response.writeHead(status, { connection: 'close' }).end(JSON.stringify(body));
    });
    const cut = publishIt({ source: 'model' }).published;
    // A refusal may cut the body off half-way: then it is seen as a cut first, and said at the next try.
    await expect(cut).rejects.toThrow(/The file is no GGUF|moved nothing/);
    expect(tries).toBeLessThanOrEqual(4);
  });

  it('stops at Ctrl-C and says how to go on', async () => {
    new Uploads([]);
    const interruption = new AbortController();
    server.on('PUT /models/m/versions/1/content', () => interruption.abort());
    await expect(publishIt({ signal: interruption.signal }).published).rejects.toThrow(
      'Go on with: atoll model publish',
    );
  });
});
