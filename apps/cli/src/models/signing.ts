// Signing a version: an Ed25519 key in a file of its owner's, and what it says of a version's digest.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { signedText, type VersionSignature } from '#domain';
import { readPrivateFile } from '../connection.ts';
import { UsageError } from '../errors.ts';

/** Throws UsageError when the file is not there, others may read it, or it holds anything but an Ed25519 private key (PKCS#8, PEM). */
export function readSigningKey(path: string): KeyObject {
  const text = readPrivateFile(path, 'key');
  let key: KeyObject | null;
  try {
    key = createPrivateKey({ key: text, format: 'pem' });
  } catch {
    // The reason may quote the file: it is not repeated.
    key = null;
  }
  if (key?.asymmetricKeyType === 'ed25519') return key;
  const found = key === null ? 'no private key in PEM' : `a key of type ${key.asymmetricKeyType}`;
  throw new UsageError(`${path} holds ${found}; make an Ed25519 key with: atoll model keygen <file>`);
}

/** A new private key in PKCS#8 PEM, without the last line end. */
export function makeSigningKey(): string {
  const { privateKey } = generateKeyPairSync('ed25519');
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().trimEnd();
}

/** The raw public key of a private one: 64 lower-case hexadecimal digits, as clusters are told to require it. */
export function publicKeyOf(key: KeyObject | string): string {
  const { x } = createPublicKey(key).export({ format: 'jwk' });
  return Buffer.from(x!, 'base64url').toString('hex');
}

export function signDigest(versionDigest: string, key: KeyObject): VersionSignature {
  const signature = sign(null, Buffer.from(signedText(versionDigest), 'utf8'), key).toString('hex');
  return { publicKey: publicKeyOf(key), signature };
}
