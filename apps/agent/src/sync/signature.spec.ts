import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { signedText, type VersionSignature } from '#domain';
import { judgeSignature } from './signature.ts';

const digest = 'd'.repeat(64);
const [ours, second, foreign] = [keyPair(), keyPair(), keyPair()];

function keyPair() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');
  const signText = (text: string): VersionSignature => ({
    publicKey: raw,
    signature: sign(null, Buffer.from(text), privateKey).toString('hex'),
  });
  return { raw, signText };
}

const right = ours.signText(signedText(digest));
const flipped = (hex: string) => `${hex.startsWith('0') ? '1' : '0'}${hex.slice(1)}`;

describe('S7: a version whose signature is required', () => {
  const keys = [ours.raw, second.raw];
  it.each<[string, VersionSignature | undefined, readonly string[] | undefined, RegExp | null]>([
    ['nothing is required and nothing is there', undefined, undefined, null],
    ['nothing is required and nonsense is there', { publicKey: 'x', signature: 'y' }, undefined, null],
    ['signed by a key of the operator', right, keys, null],
    ['signed by the other key of the operator', second.signText(signedText(digest)), keys, null],
    ['not signed', undefined, keys, /is not signed.*requireSignatureBy/],
    ['signed by a foreign key', foreign.signText(signedText(digest)), keys, /none of the keys/],
    [
      'a foreign signature under our key',
      { ...foreign.signText(signedText(digest)), publicKey: ours.raw },
      keys,
      /not prove/,
    ],
    ['signed for another digest', ours.signText(signedText('e'.repeat(64))), keys, /not prove/],
    ['signed for another purpose', ours.signText(digest), keys, /not prove/],
    ['one bit off', { ...right, signature: flipped(right.signature) }, keys, /not prove/],
    ['cut short', { ...right, signature: right.signature.slice(2) }, keys, /not prove/],
    ['empty', { ...right, signature: '' }, keys, /not prove/],
    ['no hexadecimal', { ...right, signature: 'zz'.repeat(64) }, keys, /not prove/],
    ['a required key that is no key', { ...right, publicKey: 'k' }, ['k'], /not prove/],
    [
      'a required key that is no point of the curve',
      { ...right, publicKey: 'f'.repeat(64) },
      ['f'.repeat(64)],
      /not prove/,
    ],
  ])('%s', (_case, signature, required, want) => {
    const verdict = judgeSignature(signature === undefined ? { digest } : { digest, signature }, required);
    if (want === null) expect(verdict).toBeNull();
    else expect(verdict).toMatch(want);
  });
});
