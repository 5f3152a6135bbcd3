// Ed25519 signatures of versions, checked once, when a version is published. Who trusts which key is the clusters' affair.

import { createPublicKey, verify } from 'node:crypto';
import { signedText, type VersionSignature } from '#domain';

/** Whether the holder of the public key signed the version with this digest. */
export function isSigned(versionDigest: string, { publicKey, signature }: VersionSignature): boolean {
  const x = Buffer.from(publicKey, 'hex').toString('base64url');
  try {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    return verify(null, Buffer.from(signedText(versionDigest)), key, Buffer.from(signature, 'hex'));
  } catch {
    return false; // not a point of the curve
  }
}
