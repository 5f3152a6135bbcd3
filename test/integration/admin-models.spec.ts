// Models from the first byte to the agent's range request: resumable, verified, content-addressed.

import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { manifestText, Store } from '#domain';
import { eventually } from '#testing';
import { BlobTokens } from '../../apps/control-plane/src/blobs/blob-tokens.ts';
import { BlobsJanitor } from '../../apps/control-plane/src/blobs/janitor.ts';
import {
  callApi,
  gguf,
  type Installation,
  joinCluster,
  publishVersion,
  startInstallation,
  upload,
} from './admin.fixture.ts';
import { spoilt } from './spoilt.fixture.ts';

let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation();
  await installation.call('POST', '/api/v1/models', { body: { name: 'tiny' } });
}, 60_000);
afterAll(() => installation?.stop(), 60_000);

const at = '/api/v1/models/tiny/versions';
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const stagingOf = (id: string) => readdir(join(installation.directory, 'blobs', 'staging', id)).catch(() => []);

async function begin(...files: { path: string; sizeBytes: number; digest?: string }[]) {
  return (await installation.call('POST', at, { body: { files } })).body;
}
const stateOf = async (number: number) => (await installation.call('GET', `${at}/${number}`)).body;

describe('publishing', () => {
  it('computes digests on the way, publishes, and is immutable then', async () => {
    const [model, config] = [gguf(300_000), Buffer.from('{}')];
    const version = await begin(
      { path: 'model.gguf', sizeBytes: model.length },
      { path: 'etc/config.json', sizeBytes: 2 },
    );
    expect(version).toMatchObject({ phase: 'Uploading', digest: null, sizeBytes: 300_002 });
    const early = await installation.call('POST', `${at}/${version.number}/publish`);
    expect(early).toMatchObject({ status: 422, body: { errors: [{ field: 'files[0]' }, { field: 'files[1]' }] } });
    expect((await upload(installation, 'tiny', version.number, 'model.gguf', model)).body).toEqual({
      path: 'model.gguf',
      sizeBytes: 300_000,
      receivedBytes: 300_000,
      digest: sha256(model),
    }); // prettier-ignore
    await upload(installation, 'tiny', version.number, 'etc/config.json', config);
    const files = [
      { path: 'model.gguf', sizeBytes: 300_000, digest: sha256(model) },
      { path: 'etc/config.json', sizeBytes: 2, digest: sha256(config) },
    ];
    const published = await installation.call('POST', `${at}/${version.number}/publish`);
    const digest = createHash('sha256').update(manifestText(files)).digest('hex');
    expect(published).toMatchObject({ status: 200, body: { phase: 'Published', digest, files } });
    expect(await stagingOf(version.id)).toEqual([]);
    expect((await installation.call('POST', `${at}/${version.number}/publish`)).status).toBe(409);
    expect((await upload(installation, 'tiny', version.number, 'model.gguf', model)).status).toBe(409);
  });

  it('keeps one blob for the same content in two versions', async () => {
    const content = gguf(10_000);
    const first = await publishVersion(installation, 'tiny', content);
    const second = await publishVersion(installation, 'tiny', content);
    expect(second).toMatchObject({ digest: first.digest, number: first.number + 1 });
  });

  it('takes an empty file', async () => {
    const version = await begin({ path: 'empty.txt', sizeBytes: 0 });
    const answer = await upload(installation, 'tiny', version.number, 'empty.txt', Buffer.alloc(0));
    expect(answer).toMatchObject({ status: 200, body: { digest: sha256(Buffer.alloc(0)) } });
    expect((await installation.call('POST', `${at}/${version.number}/publish`)).status).toBe(200);
  });
});

describe('an upload in parts', () => {
  it('goes on at the offset that is there, also in another process that saw nothing of it', async () => {
    const content = gguf(100_000);
    const { number } = await begin({ path: 'model.gguf', sizeBytes: content.length, digest: sha256(content) });
    await upload(installation, 'tiny', number, 'model.gguf', content.subarray(0, 30_000));
    const wrong = await upload(installation, 'tiny', number, 'model.gguf', content.subarray(20_000), 20_000);
    expect(wrong).toMatchObject({ status: 409, body: { detail: expect.stringContaining('receivedBytes is 30000') } });
    await upload(installation, 'tiny', number, 'model.gguf', content.subarray(30_000, 60_000), 30_000);
    const other = await installation.startAnother();
    const path = `${at}/${number}/content?path=model.gguf&offset=60000`;
    const last = await callApi(other.url, 'PUT', path, {
      key: installation.ownerKey,
      raw: content.subarray(60_000),
      headers: { 'content-type': 'application/octet-stream' },
    }); // prettier-ignore
    expect(last).toMatchObject({ status: 200, body: { digest: sha256(content) } });
  }, 60_000);

  it('keeps what came before a cut, publishes nothing, and resumes', async () => {
    const content = gguf(2_000_000);
    const { number } = await begin({ path: 'model.gguf', sizeBytes: content.length });
    await cutUpload(`${at}/${number}/content?path=model.gguf`, content, 700_000);
    const { files } = await eventually(async () => {
      const version = await stateOf(number);
      expect(version.files[0].receivedBytes).toBeGreaterThan(0);
      const retried = await upload(
        installation,
        'tiny',
        number,
        'model.gguf',
        Buffer.alloc(0),
        version.files[0].receivedBytes,
      );
      expect(retried.status).toBe(200); // the cut one has let go
      return stateOf(number);
    });
    const [{ receivedBytes }] = files;
    expect(receivedBytes).toBeLessThanOrEqual(700_000);
    expect((await installation.call('POST', `${at}/${number}/publish`)).status).toBe(422);
    const rest = await upload(
      installation,
      'tiny',
      number,
      'model.gguf',
      content.subarray(receivedBytes),
      receivedBytes,
    );
    expect(rest.body.digest).toBe(sha256(content));
  });

  it('refuses a second writer of the same file', async () => {
    const content = gguf(200_000);
    const { number } = await begin({ path: 'model.gguf', sizeBytes: content.length });
    const slow = openUpload(`${at}/${number}/content?path=model.gguf`, content.length);
    slow.write(content.subarray(0, 1_000));
    await eventually(async () => expect((await stateOf(number)).files[0].receivedBytes).toBe(1_000));
    await eventually(async () => {
      const second = await upload(installation, 'tiny', number, 'model.gguf', content);
      expect(second).toMatchObject({ status: 409, body: { detail: expect.stringContaining('under way') } });
    });
    slow.destroy();
  });
});

describe('content that is not what it says', () => {
  it.each([
    ['more than declared', { path: 'a.txt', sizeBytes: 10 }, Buffer.alloc(11), 413],
    ['another digest', { path: 'a.txt', sizeBytes: 3, digest: sha256(Buffer.from('abd')) }, Buffer.from('abc'), 422],
    ['no GGUF', { path: 'model.gguf', sizeBytes: 64 }, Buffer.alloc(64), 422],
    ['a tiny non-GGUF', { path: 'model.gguf', sizeBytes: 2 }, Buffer.from('GG'), 422],
    ['a pickle', { path: 'weights', sizeBytes: 40 }, Buffer.concat([Buffer.from([0x80, 4]), Buffer.alloc(38)]), 422],
    [
      'a PyTorch archive',
      { path: 'weights.dat', sizeBytes: 40 },
      Buffer.concat([Buffer.from('PK\u0003\u0004'), Buffer.alloc(36)]),
      422,
    ],
    ['safetensors with a huge header', { path: 'm.safetensors', sizeBytes: 40 }, Buffer.alloc(40, 0xff), 422],
  ])('%s is refused and nothing of it stays', async (_name, file, content, want) => {
    const version = await begin(file);
    const answer = await upload(installation, 'tiny', version.number, file.path, content);
    expect(answer).toMatchObject({ status: want, body: { errors: [{ field: expect.any(String) }] } });
    expect((await stateOf(version.number)).files[0]).toMatchObject({ receivedBytes: 0, digest: null });
  }); // prettier-ignore

  it.each([
    ['../up.gguf'],
    ['/absolute'],
    ['a//b'],
    ['a\\b'],
    ['./a'],
    ['a/..'],
    ['nul\u0000'],
    ['model.bin'],
    ['x/weights.PT'],
    ['a.pkl'],
  ])('refuses the path %j', async (path) => {
    const answer = await installation.call('POST', at, { body: { files: [{ path, sizeBytes: 1 }] } });
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ field: 'files[0].path' }] } });
  }); // prettier-ignore

  it('refuses the same path twice, and a file that is also a folder', async () => {
    const files = [
      { path: 'a', sizeBytes: 1 },
      { path: 'A', sizeBytes: 1 },
      { path: 'a/b', sizeBytes: 1 },
    ]; // prettier-ignore
    const { body } = await installation.call('POST', at, { body: { files } });
    expect(body.errors.map(({ field }: { field: string }) => field)).toEqual(['files[1].path', 'files[0].path']);
  });
});

describe('giving up', () => {
  it('removes what was staged, and the number is never given again', async () => {
    const version = await begin({ path: 'a.txt', sizeBytes: 10 });
    await upload(installation, 'tiny', version.number, 'a.txt', Buffer.alloc(5));
    expect((await installation.call('DELETE', `${at}/${version.number}`)).status).toBe(204);
    expect(await stagingOf(version.id)).toEqual([]);
    expect((await begin({ path: 'a.txt', sizeBytes: 1 })).number).toBe(version.number + 1);
  });

  it('happens by itself to uploads that nobody finished', async () => {
    const version = await begin({ path: 'a.txt', sizeBytes: 10 });
    await upload(installation, 'tiny', version.number, 'a.txt', Buffer.alloc(5));
    await installation.controlPlane.app
      .get(BlobsJanitor, { strict: false })
      .clean(new Date(Date.now() + 25 * 3_600_000));
    expect(await stateOf(version.number)).toMatchObject({ phase: 'Abandoned' });
    expect(await stagingOf(version.id)).toEqual([]);
  });
});

describe('blobs', () => {
  let digest: string;
  let token: string;
  const content = gguf(50_000);
  beforeAll(async () => {
    const version = await publishVersion(installation, 'tiny', content);
    digest = version.files[0].digest;
    const { reply } = await joinCluster(installation, 'edge-fetching');
    const store = installation.controlPlane.app.get(Store, { strict: false });
    const versions = [
      {
        versionId: version.id,
        modelName: 'tiny',
        number: version.number,
        digest: version.digest,
        files: [{ path: 'model.gguf', digest, sizeBytes: content.length }],
      },
    ]; // prettier-ignore
    await store.transaction((rows) => rows.desired.put(reply.clusterId, 1, { versions, replicas: [], tasks: [] }));
    const tokens = installation.controlPlane.app.get(BlobTokens, { strict: false });
    ({ token } = await tokens.issue(reply.clusterId, [version.digest]));
  });
  const fetchBlob = (headers: Record<string, string>, method = 'GET', of = digest) =>
    fetch(`${installation.controlPlane.url}/api/v1/blobs/${of}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...headers },
    });

  it.each([
    [{}, 200, 0, 50_000, null],
    [{ range: 'bytes=0-99' }, 206, 0, 100, 'bytes 0-99/50000'],
    [{ range: 'bytes=49000-' }, 206, 49_000, 50_000, 'bytes 49000-49999/50000'],
    [{ range: 'bytes=-10' }, 206, 49_990, 50_000, 'bytes 49990-49999/50000'],
    [{ range: 'bytes=49999-99999' }, 206, 49_999, 50_000, 'bytes 49999-49999/50000'],
    [{ range: 'bytes=0-1,5-6' }, 200, 0, 50_000, null],
    [{ range: 'bytes=5-1' }, 200, 0, 50_000, null],
    [{ range: 'bytes=0-99', 'if-range': '"other"' }, 200, 0, 50_000, null],
  ])('%j → %i', async (headers, status, from, to, contentRange) => {
    const response = await fetchBlob(headers as Record<string, string>);
    const bytes = Buffer.from(await response.arrayBuffer());
    expect([response.status, response.headers.get('content-range')]).toEqual([status, contentRange]);
    expect(bytes.equals(content.subarray(from, to))).toBe(true);
    expect(response.headers.get('etag')).toBe(`"${digest}"`);
  }); // prettier-ignore

  it('answers 416 behind the end and HEAD with the length', async () => {
    const beyond = await fetchBlob({ range: 'bytes=50000-' });
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */50000']);
    const head = await fetchBlob({}, 'HEAD');
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '50000']);
  });

  it('gives a cluster only the files of its versions, and takes no other credentials', async () => {
    const foreign = await publishVersion(installation, 'tiny', gguf(1_000));
    expect((await fetchBlob({}, 'GET', foreign.files[0].digest)).status).toBe(403);
    for (const authorization of ['', 'Bearer x', `Bearer ${installation.ownerKey}`, `Bearer ${spoilt(token)}`]) {
      expect((await fetchBlob({ authorization })).status).toBe(401);
    }
    expect((await installation.call('DELETE', '/api/v1/clusters/edge-fetching')).status).toBe(204);
    expect((await fetchBlob({})).status).toBe(401);
  });
});

function openUpload(path: string, sizeBytes: number) {
  const sending = request(`${installation.controlPlane.url}${path}`, {
    method: 'PUT',
    headers: {
      authorization: `Bearer ${installation.ownerKey}`,
      'content-type': 'application/octet-stream',
      'content-length': sizeBytes,
    },
  });
  sending.on('error', () => undefined);
  return sending;
}

/** Sends a part of what was announced, waits until it has left, and cuts the socket. */
async function cutUpload(path: string, content: Buffer, bytes: number): Promise<void> {
  const sending = openUpload(path, content.length);
  await new Promise<void>((resolve) => sending.write(content.subarray(0, bytes), () => resolve()));
  sending.destroy();
}
