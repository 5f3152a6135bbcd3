// The control plane's pure parts, each as a table.

import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { createIdentity, proveIdentity } from '#messaging';
import { AttemptBound } from './auth/attempts.ts';
import { headProblem, nameProblem } from './blobs/content-rules.ts';
import { judgeRange } from './blobs/ranges.ts';
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
  const header = (bytes: bigint, next = '{') => {
    const head = Buffer.alloc(16);
    head.writeBigUInt64LE(bytes);
    head.write(next, 8);
    return head;
  };
  it.each([
    ['m.gguf', Buffer.from('GGUF....'), 100, null],
    ['M.GGUF', Buffer.from('gguf....'), 100, /does not begin with "GGUF"/],
    ['m.safetensors', header(20n), 100, null],
    ['m.safetensors', header(93n), 100, /larger than the file/],
    ['m.safetensors', header(2n ** 63n), 100, /larger than the file/],
    ['m.safetensors', header(20n, 'x'), 100, /not JSON/],
    ['m.safetensors', Buffer.alloc(3), 3, /too short/],
    ['any', Buffer.from([0x80, 2, 1]), 100, /pickle/],
    ['any', Buffer.from('{"a": 1}'), 100, null],
    ['empty', Buffer.alloc(0), 0, null],
  ])('%s %#', (path, head, sizeBytes, want) => {
    const problem = headProblem(path, head, sizeBytes, strict);
    if (want === null) expect(problem).toBeNull();
    else expect(problem).toMatch(want);
  });

  it('lets pickles pass where the installation allows them', () => {
    expect(nameProblem('a.bin', strict)).toMatch(/\.bin/);
    expect(nameProblem('a.bin', { pickleAllowed: true })).toBeNull();
    expect(headProblem('a.bin', Buffer.from([0x80, 4]), 9, { pickleAllowed: true })).toBeNull();
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
