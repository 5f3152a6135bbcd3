// Ed25519 by Node itself for the keys that NKeys writes in base32. The client library's own JavaScript takes tens of
// milliseconds a signature, in which an event loop serves nobody, and a stranger could make it check many; this takes
// some tens of microseconds. Key objects are kept, since making one costs as much as using it.

import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import * as nkeys from '@nats-io/nkeys';

/** DER before the 32 bytes of an Ed25519 private key (PKCS #8) and of a public one (SPKI), RFC 8410. */
const PRIVATE_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const PUBLIC_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const KEYS_KEPT_MAX = 8_192;
const SEEDS_KEPT_MAX = 64;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

interface SeedKeys {
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

const publicKeys = new Map<string, KeyObject>();
const seeds = new Map<string, SeedKeys>();

/** The public key that belongs to a seed. Throws when the seed is malformed. */
export function publicKeyOf(seed: string): string {
  return keysOf(seed).publicKey;
}

/** Throws when the seed is malformed. */
export function signBytes(seed: string, bytes: Uint8Array): Buffer {
  return sign(null, bytes, keysOf(seed).privateKey);
}

/** Throws when the public key is malformed; false when the signature is not of this key over these bytes. */
export function isSignedBytes(publicKey: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  return signature.length === 64 && verify(null, bytes, publicKeyObject(publicKey), signature);
}

function keysOf(seed: string): SeedKeys {
  const known = seeds.get(seed);
  if (known !== undefined) return known;
  // NKeys checks kind and checksum; the raw seed stands behind two bytes that say both kinds.
  const publicKey = nkeys.fromSeed(new TextEncoder().encode(seed)).getPublicKey();
  const raw = decodeBase32(seed).subarray(2, 34);
  const privateKey = createPrivateKey({ key: Buffer.concat([PRIVATE_PREFIX, raw]), format: 'der', type: 'pkcs8' });
  return remember(seeds, SEEDS_KEPT_MAX, seed, { publicKey, privateKey });
}

function publicKeyObject(publicKey: string): KeyObject {
  const known = publicKeys.get(publicKey);
  if (known !== undefined) return known;
  nkeys.fromPublic(publicKey); // throws unless kind and checksum are right
  const raw = decodeBase32(publicKey).subarray(1, 33);
  const key = createPublicKey({ key: Buffer.concat([PUBLIC_PREFIX, raw]), format: 'der', type: 'spki' });
  return remember(publicKeys, KEYS_KEPT_MAX, publicKey, key);
}

/** At the bound the oldest goes: it is made again when it is needed. */
function remember<Value>(kept: Map<string, Value>, countMax: number, key: string, value: Value): Value {
  if (kept.size >= countMax) kept.delete(kept.keys().next().value!);
  kept.set(key, value);
  return value;
}

function decodeBase32(text: string): Buffer {
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const character of text) {
    value = ((value << 5) | ALPHABET.indexOf(character)) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((value >> bits) & 0xff);
    }
  }
  return Buffer.from(bytes);
}
