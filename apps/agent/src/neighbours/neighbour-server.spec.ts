import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type IncomingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SignJWT } from 'jose';
import { pino } from 'pino';
import { type TemporaryFolder, temporaryFolder, until } from '../../test/temporary-folder.ts';
import { silentMetrics } from '../metrics.ts';
import { findHeldFile, type HeldFile, NeighbourServer } from './neighbour-server.ts';

const CLUSTER_ID = '01900000-0000-7000-8000-00000000c001';
const ASKER_ID = '01900000-0000-7000-8000-00000000c002';
const [V1, V2] = ['1'.repeat(64), '2'.repeat(64)];
const WEEK_SECONDS = 7 * 86_400;

interface Token {
  readonly audience?: string;
  readonly versions?: unknown;
  readonly issuedSecondsAgo?: number;
  readonly subject?: string;
  readonly by?: KeyObject;
}

describe('what a neighbour may fetch from here', () => {
  const [keys, otherKeys] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
  const content = randomBytes(700_000);
  const digest = createHash('sha256').update(content).digest('hex');
  let folder: TemporaryFolder;
  let server: NeighbourServer;
  let port: number;
  let held: HeldFile[];
  let pem: string | undefined;
  let seen: { served: number; refused: number[]; forged: number; damaged: string[] };

  beforeEach(async () => {
    folder = await temporaryFolder();
    await writeFile(join(folder.path, 'model.gguf'), content);
    held = [{ versionDigest: V1, path: join(folder.path, 'model.gguf'), sizeBytes: content.length }];
    pem = keys.publicKey.export({ format: 'pem', type: 'spki' }) as string;
    seen = { served: 0, refused: [], forged: 0, damaged: [] };
    server = open(5_000);
    await server.start();
    port = server.port!;
  });
  afterEach(async () => {
    await server.stop();
    await folder.remove();
  });

  function open(idleMsMax: number): NeighbourServer {
    return new NeighbourServer({
      host: '127.0.0.1',
      port: 0,
      clusterId: CLUSTER_ID,
      verifyingKey: () => pem,
      onForged: () => {
        seen.forged += 1;
      },
      find: (versions, wanted) =>
        wanted === digest ? held.find(({ versionDigest }) => versions.has(versionDigest)) : undefined,
      onDamaged: (version) => seen.damaged.push(version),
      log: pino({ level: 'silent' }),
      metrics: {
        ...silentMetrics,
        neighbourServed: (bytes) => {
          seen.served += bytes;
        },
        neighbourRefused: (status) => seen.refused.push(status),
      },
      idleMsMax,
    });
  }

  async function tokenOf({ audience, versions = [V1], issuedSecondsAgo = 0, subject = ASKER_ID, by }: Token = {}) {
    const issuedAt = Math.floor(Date.now() / 1000) - issuedSecondsAgo;
    return new SignJWT({ ver: versions })
      .setProtectedHeader({ alg: 'EdDSA' })
      .setSubject(subject)
      .setAudience(audience ?? `atoll-neighbour:${CLUSTER_ID}`)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + 900)
      .sign(by ?? keys.privateKey);
  }

  async function ask(headers: Record<string, string> = {}, path = `/atoll/blobs/${digest}`, method = 'GET', at = port) {
    const outgoing = request({ port: at, host: '127.0.0.1', path, method, headers, agent: false }).end();
    const [response] = await once(outgoing, 'response');
    const body = Buffer.concat(await response.toArray());
    return { status: response.statusCode as number, headers: response.headers as IncomingHttpHeaders, body };
  }
  const bearer = async (token: Token = {}) => ({ authorization: `Bearer ${await tokenOf(token)}` });

  it('a file of a held version, whole, in part, and its size alone; what was sent is counted', async () => {
    const whole = await ask(await bearer());
    expect([whole.status, whole.body.equals(content), whole.headers.etag]).toEqual([200, true, `"${digest}"`]);
    const rest = await ask({ ...(await bearer()), range: 'bytes=699000-' });
    expect([rest.status, rest.headers['content-range']]).toEqual([206, 'bytes 699000-699999/700000']);
    expect(rest.body.equals(content.subarray(699_000))).toBe(true);
    await until(() => seen.served === 701_000, 'both are counted');
    const head = await ask(await bearer(), undefined, 'HEAD');
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '700000', 0]);
    const beyond = await ask({ ...(await bearer()), range: 'bytes=700000-' });
    expect([beyond.status, beyond.headers['content-range']]).toEqual([416, 'bytes */700000']);
    const changed = await ask({ ...(await bearer()), range: 'bytes=699000-', 'if-range': '"another"' });
    expect([changed.status, changed.body.length]).toEqual([200, 700_000]);
  });

  it('S1: without a token nothing, on whatever path, by whatever method', async () => {
    const paths = [
      '/',
      '/healthz',
      '/metrics',
      '/atoll/blobs/',
      `/atoll/blobs/${digest}`,
      '/atoll/ping',
      '//x',
      '/%00',
    ];
    const methods = ['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS'];
    const answers = await Promise.all(
      paths.flatMap((path) => methods.map(async (method) => (await ask({}, path, method)).status)),
    );
    expect(new Set(answers)).toEqual(new Set([401]));
    expect(seen).toMatchObject({ served: 0, forged: 0 });
  });

  it.each([
    ['nonsense', 'Bearer nonsense'],
    ['three parts of nonsense', 'Bearer a.b.c'],
    ['another scheme', 'Basic YTpi'],
    ['far too long a token', `Bearer ${'a'.repeat(6_000)}.${'b'.repeat(6_000)}.${'c'.repeat(1_000)}`],
    ['a token without any signature', 'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.AA'],
  ])('%s is no token', async (_name, authorization) => {
    expect((await ask({ authorization })).status).toBe(401);
    expect(seen.forged).toBe(0);
  });

  it('a token of another key is none, and makes us ask for the newest key: with it, the token counts', async () => {
    const rotated = await bearer({ by: otherKeys.privateKey });
    expect((await ask(rotated)).status).toBe(401);
    expect(seen.forged).toBe(1);
    pem = otherKeys.publicKey.export({ format: 'pem', type: 'spki' }) as string;
    expect((await ask(rotated)).status).toBe(200);
    expect((await ask(await bearer())).status).toBe(401);
  });

  it.each<[string, Token, RegExp]>([
    ['from last week', { issuedSecondsAgo: WEEK_SECONDS }, /expired/],
    ['expired for longer than clocks differ', { issuedSecondsAgo: 900 + 660 }, /expired/],
    ['for another cluster', { audience: `atoll-neighbour:${ASKER_ID}` }, /"aud"/],
    ['for the registry', { audience: 'atoll-blobs' }, /"aud"/],
    ['for no version', { versions: [] }, /claims/],
    ['for versions that are no digests', { versions: ['../..'] }, /claims/],
    ['of nobody', { subject: 'somebody' }, /claims/],
  ])('a token %s is refused, and told why', async (_name, token, want) => {
    const { status, body } = await ask(await bearer(token));
    expect([status, body.toString()]).toEqual([403, expect.stringMatching(want)]);
  });

  it.each<[string, Token]>([
    ['R22: a clock of ours that is ten minutes ahead makes no token too old', { issuedSecondsAgo: 600 + 720 }],
    ['R22: nor one that is ten minutes behind too young', { issuedSecondsAgo: -600 }],
  ])('%s', async (_name, token) => {
    expect((await ask(await bearer(token))).status).toBe(200);
  });

  it('invariant 5: nothing of a version that is not held (any more), nor that the token does not name', async () => {
    expect((await ask(await bearer({ versions: [V2] }))).status).toBe(404);
    expect((await ask(await bearer(), `/atoll/blobs/${'f'.repeat(64)}`)).status).toBe(404);
    held = [];
    expect((await ask(await bearer())).status).toBe(404);
    expect(seen).toMatchObject({ served: 0, damaged: [] });
  });

  it('invariant 5: a file that is gone or of another size is not sent, and is told of', async () => {
    await writeFile(held[0]!.path, content.subarray(1));
    expect((await ask(await bearer())).status).toBe(404);
    held = [{ ...held[0]!, path: join(folder.path, 'gone') }];
    expect((await ask(await bearer())).status).toBe(404);
    expect(seen).toMatchObject({ served: 0, damaged: [V1, V1] });
  });

  it.each(['../model.gguf', `${digest}.partial`, digest.toUpperCase(), `${digest}?x=1`, ''])(
    'there is nothing at %p',
    async (name) => {
      expect((await ask(await bearer(), `/atoll/blobs/${name}`)).status).toBe(404);
    },
  );

  it('files are read and never written', async () => {
    const { status, headers } = await ask(await bearer(), undefined, 'PUT');
    expect([status, headers.allow]).toEqual([405, 'GET, HEAD']);
  });

  it('while no key is known, tokens wait and strangers are strangers', async () => {
    pem = undefined;
    const { status, headers } = await ask(await bearer());
    expect([status, headers['retry-after'], (await ask()).status]).toEqual([503, '5', 401]);
    pem = 'no key';
    expect((await ask(await bearer())).status).toBe(503);
  });

  it('S11: who sends half a head, or too much of one, is cut off', async () => {
    const slow = connect(port, '127.0.0.1', () => slow.write('GET /atoll/blobs/x HTTP/1.1\r\nhost: a\r\n'));
    const large = connect(port, '127.0.0.1', () => large.write(`GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`));
    for (const socket of [slow, large]) socket.on('error', () => undefined).resume();
    await Promise.all([slow, large].map((socket) => once(socket, 'close')));
  }, 30_000);

  it('S11: more than 64 connections are closed at once; when one ends, the next may come', async () => {
    const crowded = open(60_000);
    await crowded.start();
    const dial = async () => {
      const socket = connect(crowded.port!, '127.0.0.1');
      socket.on('error', () => undefined).resume();
      await once(socket, 'connect');
      return socket;
    };
    const sockets = [];
    for (let count = 0; count < 64; count += 1) sockets.push(await dial());
    const last = await dial();
    if (!last.closed) await once(last, 'close');
    sockets[0]!.destroy();
    // Until the server has seen that end, whoever comes is closed like the last one.
    const status = async () => (await ask(await bearer(), undefined, 'GET', crowded.port!)).status;
    await until(async () => (await status().catch(() => 0)) === 200, 'it is served');
    await crowded.stop();
  }, 30_000);

  it('who goes away in the middle costs nothing; the next one is served', async () => {
    const outgoing = request({
      port,
      host: '127.0.0.1',
      path: `/atoll/blobs/${digest}`,
      headers: await bearer(),
    }).end();
    outgoing.on('error', () => undefined);
    await once(outgoing, 'response');
    outgoing.destroy();
    expect((await ask(await bearer())).body.equals(content)).toBe(true);
  });

  it('stops although somebody is connected, and twice', async () => {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.on('error', () => undefined).resume();
    const closed = once(socket, 'close');
    await server.stop();
    await server.stop();
    await closed;
  });
});

describe('invariant 5: the file that is sent', () => {
  const file = (path: string, digest: string) => ({ path, digest, sizeBytes: 1 });
  const held = new Map([[V1, [file('a', 'd1'), file('b', 'd2')]]]);
  it.each<[string, string[], string, string | undefined]>([
    ['of a held version that the token names', [V2, V1], 'd2', `/versions/${V1}/b`],
    ['of a version that is not held', [V2], 'd2', undefined],
    ['with content that no named version has', [V1], 'd3', undefined],
    ['of no version', [], 'd1', undefined],
  ])('%s', (_name, versions, digest, want) => {
    const found = findHeldFile(
      new Set(versions),
      digest,
      (version) => held.get(version),
      (version) => `/versions/${version}`,
    );
    expect(found?.path).toBe(want);
  });
});
