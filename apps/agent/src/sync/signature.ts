// Whether a version may be here at all, when the operator of this cluster demands signatures (S7). Pure.
//
// What is signed is the version's digest, which is that of its list of files, so a good signature vouches for every byte
// once the files are verified. Only the operator's own keys count, never the key that the signature brings along.
import { createPublicKey, verify } from 'node:crypto';
import { type DesiredVersion, signedText } from '#domain';

/** The DER head of an Ed25519 public key (RFC 8410); the 32 raw bytes follow. */
const KEY_HEAD = Buffer.from('302a300506032b6570032100', 'hex');

/**
 * Why a version is refused, in one sentence, or null when it is accepted.
 *
 * @param requiredKeys raw Ed25519 public keys in lower-case hex, one of which must have signed; undefined: nothing is required
 */
export function judgeSignature(
  { digest, signature }: Pick<DesiredVersion, 'digest' | 'signature'>,
  requiredKeys: readonly string[] | undefined,
): string | null {
  if (requiredKeys === undefined) return null;
  const name = `Version ${digest.slice(0, 12)}`;
  if (signature === undefined) {
    return `${name} is not signed, and this cluster takes only signed versions (sync.requireSignatureBy); publish it with a signature.`;
  }
  if (!requiredKeys.includes(signature.publicKey)) {
    return `${name} is signed by ${signature.publicKey.slice(0, 12)}…, which is none of the keys of sync.requireSignatureBy; sign it with one of them, or add this one.`;
  }
  if (!isSigned(digest, signature.publicKey, signature.signature)) {
    return `${name} has a signature that does not prove its digest; publish it again with a right one.`;
  }
  return null;
}

/** False also for what is no key or no signature at all. */
function isSigned(digest: string, publicKey: string, signature: string): boolean {
  if (!/^[0-9a-f]{64}$/.test(publicKey) || !/^[0-9a-f]{128}$/.test(signature)) return false;
  try {
    const der = Buffer.concat([KEY_HEAD, Buffer.from(publicKey, 'hex')]);
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
    return verify(null, Buffer.from(signedText(digest)), key, Buffer.from(signature, 'hex'));
  } catch {
    return false; // 32 bytes that are no point of the curve
  }
}
