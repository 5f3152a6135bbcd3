// The control plane's pure parts, each as a table.

import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { createIdentity, proveIdentity } from '#messaging';
import { memorySource } from '#modelsync';
import { AttemptBound } from './auth/attempts.ts';
import { contentProblem, nameProblem } from './blobs/content-rules.ts';
import { judgeRange, parseContentRange } from './blobs/ranges.ts';
import { Challenge } from './clusters/challenge.ts';
import { describeStatus } from './deployments/deployment-view.ts';
import { fileProblems } from './models/file-list.ts';
import { demandMatch } from './mutations/headers.ts';
import { Secrets } from './secrets/secrets.ts';

const blobSigningKey = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const makeSecrets = (pepper = 'p'.repeat(43)) => new Secrets({ pepper, blobSigningKey });

describe('judgeRange', () => {
  const etag = '"e"';
  it.each([
    [undefined, undefined, { kind: 'whole' }],
    ['bytes=0-0', undefined, { kind: 'part', first: 0, last: 0 }],
    ['bytes=90-', undefined, { kind: 'part', first: 90, last: 99 }],
    ['bytes=90-1000', undefined, { kind: 'part', first: 90, last: 99 }],
    ['bytes=-5', undefined, { kind: 'part', first: 95, last: 99 }],
    ['bytes=-500', undefined, { kind: 'part', first: 0, last: 99 }],
    ['bytes=-0', undefined, { kind: 'unsatisfiable' }],
    ['bytes=100-', undefined, { kind: 'unsatisfiable' }],
    ['bytes=7-3', undefined, { kind: 'whole' }],
    ['bytes=1-2,4-5', undefined, { kind: 'whole' }],
    ['items=1-2', undefined, { kind: 'whole' }],
    ['bytes=99999999999999999999-', undefined, { kind: 'whole' }],
    ['bytes=0-9', '"e"', { kind: 'part', first: 0, last: 9 }],
    ['bytes=0-9', '"other"', { kind: 'whole' }],
  ])('%s if %s', (range, ifRange, want) => {
    expect(judgeRange(range, ifRange, etag, 100)).toEqual(want);
  });

  it('of an empty blob is never satisfiable', () => {
    expect(judgeRange('bytes=0-', undefined, etag, 0)).toEqual({ kind: 'unsatisfiable' });
  });
});

describe('content rules', () => {
  const strict = { pickleAllowed: false };
  const header = (bytes: bigint, text = '{}') => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(bytes);
    return Buffer.concat([length, Buffer.from(text)]);
  };
  const safetensors = (tensors: object, dataBytes: number) => {
    const text = JSON.stringify(tensors);
    return Buffer.concat([header(BigInt(text.length), text), Buffer.alloc(dataBytes)]);
  };
  const tensor = (shape: readonly unknown[], from: number, to: number) => ({
    dtype: 'F32',
    shape,
    data_offsets: [from, to],
  });
  const gguf = (counts: readonly bigint[], rest = Buffer.alloc(0)) =>
    Buffer.concat([Buffer.from('GGUF\u0003\0\0\0'), Buffer.from(BigUint64Array.from(counts).buffer), rest]);

  it.each([
    ['m.gguf', gguf([0n, 0n]), null],
    ['M.GGUF', Buffer.from('gguf....'), /does not begin with "GGUF"/],
    ['m.gguf', Buffer.from('GGUF'), /not a valid gguf file/],
    ['m.gguf', gguf([2n ** 63n, 0n]), /not a valid gguf file: 9223372036854775808 is no possible size/],
    ['m.gguf', gguf([1n, 0n], Buffer.alloc(8)), /1 items where they cannot fit/],
    ['named-otherwise', gguf([1n, 0n], Buffer.alloc(8)), /not a valid gguf file/],
    ['m.safetensors', safetensors({ a: tensor([2], 0, 8) }, 8), null],
    ['m.safetensors', safetensors({ a: tensor([2], 0, 8), b: tensor([2], 4, 12) }, 12), /"b" overlaps/],
    ['m.safetensors', safetensors({ a: tensor([2], 0, 8) }, 7), /outside the 7 bytes/],
    ['m.safetensors', safetensors({ a: tensor([3], 0, 8) }, 8), /has 8 bytes where F32 \[3\] needs 12/],
    ['m.safetensors', safetensors({ a: tensor([-2], 0, 8) }, 8), /dimension that is negative/],
    [
      'm.safetensors',
      safetensors({ a: tensor([2 ** 63], 0, 8) }, 8),
      /dimension that is negative, broken or too large/,
    ],
    ['m.safetensors', header(93n), /ends beyond the file/],
    ['m.safetensors', header(100_000_000n), /header would have 100000000 bytes/],
    ['m.safetensors', header(2n ** 63n), /does not begin with the length of a JSON header/],
    ['m.safetensors', header(3n, 'x{}'), /does not begin with the length of a JSON header/],
    ['m.safetensors', header(2n, '{x'), /its header is not JSON/],
    ['m.safetensors', Buffer.alloc(3), /does not begin with/],
    ['any', Buffer.from([0x80, 2, 1]), /pickle/],
    ['any.zip', Buffer.from('PK\u0003\u0004'), /archive/],
    ['any', Buffer.from('{"a": 1}'), null],
    ['empty', Buffer.alloc(0), null],
  ])('%s %#', async (path, content, want) => {
    const problem = await contentProblem(path, memorySource(content), strict);
    if (want === null) expect(problem).toBeNull();
    else expect(problem).toMatch(want);
  });

  it('lets pickles pass where the installation allows them', async () => {
    expect(nameProblem('a.bin', strict)).toMatch(/\.bin/);
    expect(nameProblem('a.bin', { pickleAllowed: true })).toBeNull();
    for (const content of [Buffer.from([0x80, 4, 1]), Buffer.from('PK\u0003\u0004')]) {
      expect(await contentProblem('a.bin', memorySource(content), { pickleAllowed: true })).toBeNull();
    }
  });

  it('refuses files that are too large together', () => {
    const files = Array.from({ length: 3_000 }, (_, index) => ({ path: `f${index}`, sizeBytes: 4 * 1024 ** 4 }));
    expect(fileProblems(files, strict)).toEqual([{ field: 'files', message: 'are too large together' }]);
  });
});

describe('AttemptBound', () => {
  it('lets a burst pass, then one at a time, source by source', () => {
    let nowMs = 0;
    const bound = new AttemptBound(6, () => nowMs);
    for (let attempt = 0; attempt < 6; attempt += 1) bound.count('a');
    expect([bound.allows('a'), bound.allows('b'), bound.retryAfterSeconds('a')]).toEqual([false, true, 10]);
    nowMs = 10_000;
    expect(bound.allows('a')).toBe(true);
    bound.count('a');
    expect(bound.allows('a')).toBe(false);
  });
});

describe('Secrets', () => {
  const secrets = makeSecrets();
  it('mints tokens that it knows again, and nothing else', () => {
    const { token, publicId, secretHash } = secrets.mint('atoll');
    const secret = token.slice(`atoll_${publicId}_`.length);
    expect([secrets.matches(secret, secretHash), secrets.matches(`${secret}x`, secretHash)]).toEqual([true, false]);
    expect([secrets.matches(secret, null), secrets.matches('', null)]).toEqual([false, false]);
    expect(makeSecrets('q'.repeat(43)).matches(secret, secretHash)).toBe(false);
  });

  it('seals so that only the same pepper opens, and notices a change', () => {
    const sealed = secrets.seal('text');
    expect(secrets.unseal(sealed)).toBe('text');
    expect(() => makeSecrets('q'.repeat(43)).unseal(sealed)).toThrow();
    const changed = Buffer.from(sealed, 'base64url');
    changed[changed.length - 1]! ^= 1;
    expect(() => secrets.unseal(changed.toString('base64url'))).toThrow();
  });

  it('takes an Ed25519 key only', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey.export({
      type: 'pkcs8',
      format: 'pem',
    });
    for (const wrong of ['garbage', rsa.toString()]) {
      expect(() => new Secrets({ pepper: 'p', blobSigningKey: wrong })).toThrow(/blobSigningKey/);
    }
  });
});

describe('Challenge', () => {
  const challenge = new Challenge(makeSecrets());
  const identity = createIdentity();
  const proofOf = (nonce: string, body: object) => ({
    ...body,
    publicKey: identity.publicKey,
    nonce,
    signature: proveIdentity(identity.seed, nonce, body),
  }); // prettier-ignore

  it('takes a proof for 60 s, from any control plane of the installation', () => {
    const request = proofOf(challenge.issue(0).nonce, { a: 1 });
    expect(() => new Challenge(makeSecrets()).demandProof(request, 59_000)).not.toThrow();
    expect(() => challenge.demandProof(request, 60_000)).toThrow(/older than 60 s/);
    expect(() => new Challenge(makeSecrets('q'.repeat(43))).demandProof(request, 1_000)).toThrow(/unknown/);
    expect(() => challenge.demandProof({ ...request, a: 2 } as never, 1_000)).toThrow(/signature/);
  });

  it.each(['', '..', 'x', '9999999999.a.b', `${'9'.repeat(400)}.x.y`])('takes no nonce %j', (nonce) => {
    expect(() => challenge.demandProof(proofOf(nonce, {}), 0)).toThrow(/nonce/);
  });
});

describe('demandMatch', () => {
  it.each([
    [undefined, true],
    ['*', true],
    ['"3"', true],
    ['W/"3"', true],
    ['"1", "3"', true],
    ['"2"', false],
    ['3', false],
    ['', false],
  ])('%j', (ifMatch, want) => {
    const attempt = () => demandMatch(ifMatch, { revision: 3 });
    if (want) expect(attempt).not.toThrow();
    else expect(attempt).toThrow();
  });
});

describe('describeStatus', () => {
  const replica = (phase: string | null, placementPhase = 'Assigned', reason = '') =>
    ({ cluster: 'edge', phase, placementPhase, reason }) as never;
  const wants = (replicas: number, deletedAt: Date | null = null) => ({ replicas, deletedAt });
  it.each([
    ['as wanted', wants(1), [replica('Ready')], 1, 'x', '1 of 1 replica(s) ready, as wanted.'],
    ['none wanted', wants(0), [], 0, null, '0 of 0 replica(s) ready, as wanted.'],
    ['not placed', wants(1), [], 0, '0/1 clusters fit.', '0 of 1 replica(s) ready; 0/1 clusters fit.'],
    ['not decided', wants(1), [], 0, null, '0 of 1 replica(s) ready; placement has not been decided yet'],
    ['starting', wants(1), [replica('Fetching')], 0, 'x', '0 of 1 replica(s) ready; edge: Fetching.'],
    [
      'failed',
      wants(1),
      [replica('Failed', 'Assigned', 'no memory')],
      0,
      'x',
      '0 of 1 replica(s) ready; edge: Failed (no memory).',
    ],
    [
      'replacing',
      wants(1),
      [replica('Ready'), replica('Ready', 'Draining')],
      1,
      'x',
      '1 of 1 replica(s) ready; older replicas are draining.',
    ],
    [
      'going',
      wants(1, new Date()),
      [replica('Ready', 'Draining')],
      0,
      'x',
      'Being removed; 1 replica(s) are still draining.',
    ],
  ])('%s', (_name, deployment, replicas, ready, outcome, want) => {
    expect(describeStatus(deployment, replicas, ready, outcome)).toBe(want);
  }); // prettier-ignore
});

describe('parseContentRange', () => {
  it.each<[string | undefined, number, number | null, number | null]>([
    [undefined, 10, 10, 0],
    [undefined, 0, 0, 0],
    ['bytes 0-9/10', 10, 10, 0],
    ['bytes 5-9/10', 10, 5, 5],
    ['bytes 5-9/10', 10, null, 5],
    ['bytes 5-9/10', 10, 4, null],
    ['bytes 5-9/10', 11, 5, null],
    ['bytes 5-10/10', 10, 6, null],
    ['bytes 5-4/10', 10, 0, null],
    ['bytes */10', 10, 0, null],
    ['bytes=5-9/10', 10, 5, null],
    ['', 10, 10, null],
  ])('%j of %d with %j: %j', (header, sizeBytes, lengthBytes, want) => {
    expect(parseContentRange(header, sizeBytes, lengthBytes)).toBe(want);
  });
});
