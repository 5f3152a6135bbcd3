import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { type DesiredVersion, signedText } from '#domain';
import { SignatureGate } from './signature-gate.ts';

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');
const version = (digit: string, isSigned: boolean): DesiredVersion => {
  const digest = digit.repeat(64);
  const signature = sign(null, Buffer.from(signedText(digest)), privateKey).toString('hex');
  const rest = { versionId: digit, modelName: 'm', number: 1, digest, files: [] };
  return isSigned ? { ...rest, signature: { publicKey: raw, signature } } : rest;
};
const [signed, unsigned] = [version('a', true), version('b', false)];

describe('S7: which versions may be here', () => {
  it('all, when nothing is demanded', () => {
    const gate = new SignatureGate(undefined);
    expect([gate.refusal(unsigned), gate.refusals([signed, unsigned]).size]).toEqual([null, 0]);
    expect(gate.refusalOfRunning(unsigned.digest, [])).toBeNull();
  });

  it('those that are signed, asked once or again', () => {
    const gate = new SignatureGate([raw]);
    for (let round = 0; round < 2; round += 1) {
      expect([...gate.refusals([signed, unsigned])]).toEqual([[unsigned.digest, expect.stringMatching(/not signed/)]]);
    }
    expect(gate.refusal({ ...unsigned, signature: signed.signature! })).toMatch(/does not prove/);
  });

  it('an engine of an earlier agent goes on only when the document vouches for its version', () => {
    const gate = new SignatureGate([raw]);
    const wanted = [signed, unsigned];
    expect(gate.refusalOfRunning(signed.digest, wanted)).toBeNull();
    expect(gate.refusalOfRunning(unsigned.digest, wanted)).toMatch(/not signed/);
    expect(gate.refusalOfRunning(signed.digest, [])).toMatch(/No desired document names/);
  });
});
