// Checkpoints and outputs of running jobs on their way into the registry: who may, cut anywhere, never another content.

import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Attempt, type Checkpoint, manifestText, Store } from '#domain';
import { attemptOf, eventually, jobOf, nextTestId } from '#testing';
import { BlobStore } from '../../apps/control-plane/src/blobs/blob-store.ts';
import { BlobTokens } from '../../apps/control-plane/src/blobs/blob-tokens.ts';
import { BlobsJanitor } from '../../apps/control-plane/src/blobs/janitor.ts';
import { type Answer, callApi, type Installation, joinCluster, startInstallation } from './admin.fixture.ts';

const HOUR_MS = 3_600_000;
let installation: Installation;
let store: Store;
let tokens: BlobTokens;
let blobs: BlobStore;
let here: string;
let elsewhere: string;
let attempt: Attempt;
let token: string;

beforeAll(async () => {
  installation = await startInstallation({
    ATOLL_BLOBS_UPLOAD_BYTES_MAX: '2000000',
    ATOLL_BLOBS_ATTEMPT_BYTES_PER_HOUR_MAX: '5000000',
  });
  const { app } = installation.controlPlane;
  store = app.get(Store, { strict: false });
  tokens = app.get(BlobTokens, { strict: false });
  blobs = app.get<BlobStore>(BlobStore as never, { strict: false });
  here = (await joinCluster(installation, 'dc-1', { kind: 'central' })).reply.clusterId as string;
  elsewhere = (await joinCluster(installation, 'dc-2', { kind: 'central' })).reply.clusterId as string;
}, 60_000);
afterAll(() => installation?.stop(), 60_000);
beforeEach(async () => {
  attempt = await begun();
  ({ token } = await tokens.issue(here, []));
});

/** A running job's live attempt. Its cluster never reports, so the leader knows nothing to do about it. */
async function begun(): Promise<Attempt> {
  const name = `job-${randomBytes(4).toString('hex')}`;
  const job = jobOf({ name, phase: 'Running', attempts: 1 });
  const made = attemptOf(job, { clusterId: here, phase: 'Running' });
  await store.transaction(async (rows) => {
    await rows.jobs.insert([job]);
    await rows.attempts.insert([made]);
  });
  return made;
}

const digestOf = (content: Uint8Array) => createHash('sha256').update(content).digest('hex');

interface Sent {
  readonly from?: number;
  readonly to?: number;
  readonly headers?: Record<string, string>;
  readonly attemptId?: string;
  readonly sizeBytes?: number;
  readonly digest?: string;
}

/** `from` and `to` make it a part. */
function put(content: Uint8Array, sent: Sent = {}): Promise<Answer> {
  const { from, to = content.length, attemptId = attempt.id, sizeBytes = content.length } = sent;
  const range: Record<string, string> =
    from === undefined ? {} : { 'content-range': `bytes ${from}-${to - 1}/${sizeBytes}` };
  return callApi(
    installation.controlPlane.url,
    'PUT',
    `/api/v1/blobs/${sent.digest ?? digestOf(content)}?attempt=${attemptId}&size=${sizeBytes}`,
    {
      key: token,
      raw: content.subarray(from ?? 0, to),
      headers: { 'content-type': 'application/octet-stream', ...range, ...sent.headers },
    },
  );
}

const head = (digest: string, sizeBytes: number) =>
  callApi(installation.controlPlane.url, 'HEAD', `/api/v1/blobs/${digest}?attempt=${attempt.id}&size=${sizeBytes}`, {
    key: token,
  });

describe('a blob', () => {
  it('arrives whole, is there for whoever asks before sending, and may come again', async () => {
    const content = randomBytes(10_000);
    const digest = digestOf(content);
    expect((await head(digest, 10_000)).status).toBe(404);
    expect(await put(content)).toMatchObject({ status: 200, body: { receivedBytes: 10_000 } });
    expect((await head(digest, 10_000)).status).toBe(200);
    expect((await head(digest, 9_999)).status).toBe(404);
    expect(await put(content)).toMatchObject({ status: 200, body: { receivedBytes: 10_000 } });
    expect(await blobs.sizeBytes(digest)).toBe(10_000);
  });

  it('may be empty', async () => {
    expect(await put(new Uint8Array())).toMatchObject({ status: 200, body: { receivedBytes: 0 } });
    expect(await blobs.sizeBytes(digestOf(new Uint8Array()))).toBe(0);
  });

  it('arrives in parts; one at another place is told where to go on', async () => {
    const content = randomBytes(300_000);
    expect(await put(content, { from: 0, to: 100_000 })).toMatchObject({
      status: 200,
      body: { receivedBytes: 100_000 },
    });
    for (const from of [0, 50_000, 200_000]) {
      expect(await put(content, { from, to: from + 10 })).toMatchObject({
        status: 409,
        body: { type: 'urn:atoll:problem:upload-conflict', receivedBytes: 100_000 },
      });
    }
    expect(await put(content)).toMatchObject({ status: 409, body: { receivedBytes: 100_000 } });
    expect(await blobs.sizeBytes(digestOf(content))).toBeNull();
    expect(await put(content, { from: 100_000 })).toMatchObject({ status: 200, body: { receivedBytes: 300_000 } });
    expect(await blobs.sizeBytes(digestOf(content))).toBe(300_000);
  });

  /** Promises 400,000 bytes, sends 150,000 of them, and is gone. */
  async function cutUpload(digest: string, content: Buffer): Promise<void> {
    const { hostname, port } = new URL(installation.controlPlane.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      `PUT /api/v1/blobs/${digest}?attempt=${attempt.id}&size=400000 HTTP/1.1\r\nhost: x\r\n` +
        `authorization: Bearer ${token}\r\ncontent-type: application/octet-stream\r\ncontent-length: 400000\r\n\r\n`,
    );
    await new Promise<void>((resolve) => socket.write(content.subarray(0, 150_000), () => resolve()));
    socket.destroy();
  }

  it('R2: what a cut connection left is kept, and the rest makes it whole, by another control plane too', async () => {
    const content = randomBytes(400_000);
    const digest = digestOf(content);
    const received = await eventually(async () => {
      const { status, body } = await put(content, { from: 399_999 });
      // What is cut at once may take with it what the server has not read yet: then it is begun again.
      if (body.receivedBytes === 0) await cutUpload(digest, content);
      expect([status, body.receivedBytes > 0, body.detail]).toEqual([409, true, expect.stringMatching(/begins at/)]);
      return body.receivedBytes as number;
    });
    const other = await installation.startAnother();
    const answer = await callApi(other.url, 'PUT', `/api/v1/blobs/${digest}?attempt=${attempt.id}&size=400000`, {
      key: token,
      raw: content.subarray(received),
      headers: { 'content-type': 'application/octet-stream', 'content-range': `bytes ${received}-399999/400000` },
    });
    expect(answer).toMatchObject({ status: 200, body: { receivedBytes: 400_000 } });
    expect(await blobs.sizeBytes(digest)).toBe(400_000);
  });

  it('of another content than its digest is forgotten', async () => {
    const [wanted, content] = [digestOf(randomBytes(10)), randomBytes(1_000)];
    expect(await put(content, { digest: wanted })).toMatchObject({
      status: 422,
      body: { type: 'urn:atoll:problem:content-refused', errors: [{ field: 'digest' }] },
    });
    expect(await blobs.sizeBytes(wanted)).toBeNull();
    expect(await put(content, { digest: wanted, from: 5 })).toMatchObject({ status: 409, body: { receivedBytes: 0 } });
  });

  it('does not grow beyond its declared size, nor beyond the bounds', async () => {
    const content = randomBytes(1_000);
    expect((await put(content, { sizeBytes: 900 })).status).toBe(413);
    expect((await put(new Uint8Array(), { sizeBytes: 3_000_000, digest: 'a'.repeat(64) })).status).toBe(413);
    for (const _part of [1, 2]) expect((await put(randomBytes(1_900_000))).status).toBe(200);
    expect(await put(randomBytes(1_900_000))).toMatchObject({
      status: 429,
      body: { detail: expect.stringMatching(/an hour/) },
    });
  });

  it.each<[string, Record<string, string>]>([
    ['another size', { 'content-range': 'bytes 0-9/11' }],
    ['another length than the body', { 'content-range': 'bytes 0-4/10' }],
    ['a range that leads out', { 'content-range': 'bytes 5-10/10' }],
    ['a range backwards', { 'content-range': 'bytes 5-4/10' }],
    ['another unit', { 'content-range': 'lines 0-9/10' }],
  ])('refuses %s', async (_name, headers) => {
    expect((await put(randomBytes(10), { headers })).status).toBe(422);
  });

  it('refuses what is no upload', async () => {
    expect((await put(randomBytes(10), { digest: 'x' })).status).toBe(422);
    expect((await put(randomBytes(10), { attemptId: 'x' })).status).toBe(422);
    expect((await put(Buffer.from('{}'), { headers: { 'content-type': 'application/json' } })).status).toBe(415);
  });
});

describe('who may', () => {
  it('nobody without a token, with a foreign one, or with one for something else', async () => {
    const content = randomBytes(10);
    const own = token;
    const others = [
      (await tokens.issue(elsewhere, [])).token,
      (await tokens.issueForPlan(here, 'a'.repeat(64), [])).token,
      await tokens.issueForNeighbour(here, elsewhere, []),
      'garbage',
      installation.ownerKey,
    ];
    const statuses = [];
    for (token of others) statuses.push((await put(content)).status);
    token = '';
    statuses.push((await put(content)).status);
    expect(statuses).toEqual([403, 403, 401, 401, 401, 401]);
    token = own;
    expect((await put(content, { attemptId: nextTestId() })).status).toBe(403);
    expect((await put(content)).status).toBe(200);
  });

  it('X01: an attempt that has ended, and a cluster that has left, upload nothing more', async () => {
    const content = randomBytes(10);
    await store.transaction((rows) =>
      rows.attempts.update([{ id: attempt.id, change: { phase: 'Ended', outcome: 'lost', endedAt: new Date() } }]),
    );
    expect((await put(content)).status).toBe(403);
    expect((await head(digestOf(content), 10)).status).toBe(403);
    expect(await blobs.sizeBytes(digestOf(content))).toBeNull();
    const leaving = (await joinCluster(installation, 'dc-3', { kind: 'central' })).reply.clusterId as string;
    token = (await tokens.issue(leaving, [])).token;
    expect((await put(content)).status).toBe(403);
    await installation.call('DELETE', '/api/v1/clusters/dc-3');
    expect((await put(content)).status).toBe(401);
  });
});

describe('resuming', () => {
  /** A checkpoint of one file, uploaded. */
  async function saved(content: Buffer): Promise<{ checkpoint: Checkpoint; manifest: Buffer }> {
    const manifest = Buffer.from(
      manifestText([{ path: 'state.json', digest: digestOf(content), sizeBytes: content.length }]),
    );
    await put(content);
    await put(manifest);
    const checkpoint: Checkpoint = {
      ...{ attemptId: attempt.id, sequence: 1, manifestDigest: digestOf(manifest), sizeBytes: content.length },
      ...{ progress: 'step 3', savedDeviceSeconds: 3, at: new Date() },
    };
    return { checkpoint, manifest };
  }

  it('a cluster whose document resumes from a checkpoint may fetch its manifest and its files, and no other may', async () => {
    const content = randomBytes(2_000);
    const { checkpoint, manifest } = await saved(content);
    const digests = [digestOf(manifest), digestOf(content)];
    const fetchAll = async (key: string) => {
      const answers = [];
      for (const digest of digests) {
        answers.push((await callApi(installation.controlPlane.url, 'GET', `/api/v1/blobs/${digest}`, { key })).status);
      }
      return answers;
    };
    const other = (await tokens.issue(elsewhere, [])).token;
    expect(await fetchAll(other)).toEqual([403, 403]);
    const { manifestDigest, sizeBytes, progress } = checkpoint;
    const resuming = {
      ...{
        taskId: `${attempt.id}-0`,
        attemptId: attempt.id,
        jobId: attempt.jobId,
        jobName: 'job',
        kind: 'command' as const,
      },
      ...{
        attempt: 2,
        rank: 0,
        worldSize: 1,
        epoch: 1,
        claim: attempt.claim,
        devices: null,
        launcher: 'plain' as const,
      },
      ...{ command: ['true'], environment: {}, mounts: [], graceSeconds: 60, outputRequired: false, stop: null },
      checkpoint: { mode: 'none' as const, signal: 'SIGUSR1' as const, intervalSeconds: null },
      ...{ resumeFrom: { manifestDigest, sizeBytes, progress }, stopAfterSilentSeconds: 60 },
    };
    await store.transaction((rows) =>
      rows.desired.put(elsewhere, 1, { versions: [], replicas: [], tasks: [resuming] }),
    );
    expect(await fetchAll(other)).toEqual([200, 200]);
    expect(await fetchAll(token)).toEqual([403, 403]);
    expect(await fetchAll((await tokens.issueForPlan(elsewhere, 'a'.repeat(64), [])).token)).toEqual([403, 403]);
  });

  it('what was uploaded outlives the grace of blobs while its attempt runs, or its job keeps it', async () => {
    const janitor = installation.controlPlane.app.get(BlobsJanitor, { strict: false });
    const [kept, noted] = [randomBytes(500), randomBytes(600)];
    for (const content of [kept, noted]) await put(content);
    const later = (hours: number) => janitor.clean(new Date(Date.now() + hours * HOUR_MS));
    const present = async () => [await blobs.sizeBytes(digestOf(kept)), await blobs.sizeBytes(digestOf(noted))];
    await later(2);
    expect(await present()).toEqual([500, 600]);
    await store.transaction(async (rows) => {
      await rows.jobs.noteBlobs([{ jobId: attempt.jobId, digests: [digestOf(noted)] }]);
      await rows.attempts.update([
        { id: attempt.id, change: { phase: 'Ended', outcome: 'failed', endedAt: new Date() } },
      ]);
    });
    await later(0);
    expect(await present()).toEqual([500, 600]);
    await later(2);
    expect(await present()).toEqual([null, 600]);
  });

  it('a mark that nobody renews goes after the time that an upload may take', async () => {
    const janitor = installation.controlPlane.app.get(BlobsJanitor, { strict: false });
    const content = randomBytes(700);
    await put(content);
    await janitor.clean(new Date(Date.now() + 25 * HOUR_MS));
    expect(await blobs.sizeBytes(digestOf(content))).toBeNull();
    expect((await put(content)).status).toBe(200);
  });
});

it('the bytes of an artifact are a blob of the job’s output, by range', async () => {
  const content = Buffer.from('0123456789');
  const manifest = Buffer.from(manifestText([{ path: 'out/a b.txt', digest: digestOf(content), sizeBytes: 10 }]));
  for (const each of [content, manifest]) await put(each);
  const job = (await store.read.jobs.find({ id: attempt.jobId }))!;
  await store.transaction(async (rows) => {
    const change = { phase: 'Succeeded' as const, endedAt: new Date(), outputDigest: digestOf(manifest) };
    const { revision } = (await rows.jobs.find({ id: job.id }, true))!;
    await rows.jobs.update([{ id: job.id, revision, change }]);
  });
  const at = `/api/v1/jobs/${job.name}/artifacts`;
  expect((await installation.call('GET', at)).body).toEqual({
    ...{ job: job.name, outputDigest: digestOf(manifest) },
    files: [{ path: 'out/a b.txt', digest: digestOf(content), sizeBytes: 10 }],
  });
  expect(await installation.call('GET', `${at}/out/a%20b.txt`)).toMatchObject({ status: 200, body: '0123456789' });
  const part = await installation.call('GET', `${at}/out/a%20b.txt`, { headers: { range: 'bytes=2-4' } });
  expect([part.status, part.body, part.headers.get('content-range')]).toEqual([206, '234', 'bytes 2-4/10']);
  const behind = await installation.call('GET', `${at}/out/a%20b.txt`, { headers: { range: 'bytes=20-' } });
  expect(behind.status).toBe(416);
  for (const path of ['out', 'out/a', '..%2fsecret', '%2e%2e/secret']) {
    expect((await installation.call('GET', `${at}/${path}`)).status).toBe(404);
  }
});

it('a body is not read before its token was looked at', async () => {
  let isRead = false;
  const body = Readable.from(
    (function* () {
      yield Buffer.from('a');
      for (let pieces = 0; pieces < 4_000; pieces += 1) yield Buffer.alloc(65_536);
      isRead = true;
    })(),
  );
  const url = `${installation.controlPlane.url}/api/v1/blobs/${'a'.repeat(64)}?attempt=${attempt.id}&size=1000000`;
  const headers = { authorization: 'Bearer garbage', 'content-type': 'application/octet-stream' };
  const answer = await fetch(url, { method: 'PUT', headers, body: body as never, duplex: 'half' } as RequestInit).then(
    ({ status }) => status,
    () => 'cut',
  );
  expect([401, 'cut']).toContain(answer);
  expect(isRead).toBe(false);
});
