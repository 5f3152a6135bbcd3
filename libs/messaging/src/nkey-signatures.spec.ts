import { describe, expect, it } from '@jest/globals';
import * as nkeys from '@nats-io/nkeys';
import fc from 'fast-check';
import { isSignedBytes, pairOf, publicKeyOf, signBytes } from './nkey-signatures.ts';

const pairs = [nkeys.createUser(), nkeys.createAccount(), nkeys.createOperator()].map((pair) => ({
  pair,
  seed: new TextDecoder().decode(pair.getSeed()),
}));

describe('signatures of NKeys', () => {
  it('are the client library’s own, bit for bit, and each checks the other’s', () => {
    fc.assert(
      fc.property(fc.constantFrom(...pairs), fc.uint8Array({ maxLength: 300 }), ({ pair, seed }, bytes) => {
        const signature = signBytes(seed, bytes);
        expect([publicKeyOf(seed), signature.equals(pair.sign(bytes)), pair.verify(bytes, signature)]).toEqual([
          pair.getPublicKey(),
          true,
          true,
        ]);
        expect(isSignedBytes(pair.getPublicKey(), bytes, signature)).toBe(true);
      }),
      { numRuns: 10 },
    );
  });

  it.each(pairs)('a pair of this seed is the client library’s own, only sooner, case %#', ({ pair, seed }) => {
    const own = pairOf(seed);
    const bytes = Buffer.from('text');
    expect([own.getPublicKey(), Buffer.from(own.sign(bytes)), own.verify(bytes, pair.sign(bytes))]).toEqual([
      pair.getPublicKey(),
      Buffer.from(pair.sign(bytes)),
      true,
    ]);
  });

  it.each([
    ['is cut', (seed: string) => seed.slice(0, -1)],
    ['is longer', (seed: string) => `${seed}AAAAAAAA`],
    ['has another character', (seed: string) => `${seed.slice(0, 20)}${seed[20] === 'A' ? 'B' : 'A'}${seed.slice(21)}`],
    ['is a public key', () => pairs[0]!.pair.getPublicKey()],
  ])('no pair is made of a seed that %s', (_case, spoil) => {
    const seed = spoil(pairs[0]!.seed);
    expect(() => pairOf(seed).getPublicKey()).toThrow();
  });

  it('are refused when a bit of key, text or signature is another', () => {
    const [first, second] = pairs;
    const bytes = Buffer.from('text');
    const signature = signBytes(first!.seed, bytes);
    const flipped = Buffer.from(signature);
    flipped[10]! ^= 1;
    expect([
      isSignedBytes(second!.pair.getPublicKey(), bytes, signature),
      isSignedBytes(first!.pair.getPublicKey(), Buffer.from('test'), signature),
      isSignedBytes(first!.pair.getPublicKey(), bytes, flipped),
      isSignedBytes(first!.pair.getPublicKey(), bytes, signature.subarray(1)),
    ]).toEqual([false, false, false, false]);
  });

  it('throw for what is no key', () => {
    expect(() => publicKeyOf('SUAA')).toThrow();
    expect(() => isSignedBytes('UAAA', Buffer.alloc(1), Buffer.alloc(64))).toThrow();
  });
});
