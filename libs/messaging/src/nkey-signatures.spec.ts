import { describe, expect, it } from '@jest/globals';
import * as nkeys from '@nats-io/nkeys';
import fc from 'fast-check';
import { isSignedBytes, publicKeyOf, signBytes } from './nkey-signatures.ts';

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
