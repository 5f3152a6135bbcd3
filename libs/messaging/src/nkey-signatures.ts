// Ed25519 by Node itself for the keys that NKeys writes in base32. The client library's own JavaScript takes tens of
// milliseconds a signature, in which an event loop serves nobody, and a stranger could make it check many; this takes
// some tens of microseconds. Key objects are kept, since making one costs as much as using it.

import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import * as nkeys from '@nats-io/nkeys';

/** DER before the 32 bytes of an Ed25519 private key (PKCS #8) and of a public one (SPKI), RFC 8410. */
const PRIVATE_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const PUBLIC_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
/** Two of the kinds, 32 of the key, two of the checksum. */
const SEED_BYTES = 36;
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

/** The client library's pair of a seed, to be handed to it: its public key and its signatures are made here. */
export function pairOf(seed: string): nkeys.KeyPair {
  const pair = nkeys.fromSeed(new TextEncoder().encode(seed));
  return Object.assign(pair, {
    getPublicKey: () => publicKeyOf(seed),
    sign: (bytes: Uint8Array): Uint8Array => signBytes(seed, bytes),
  });
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
  nkeys.fromSeed(new TextEncoder().encode(seed)); // throws unless kind and checksum are right
  const bytes = decodeBase32(seed);
  if (bytes.length !== SEED_BYTES) throw new RangeError('The NKey seed has another length.');
  // The raw seed stands behind two bytes: five bits that say "seed", then the kind.
  const key = Buffer.concat([PRIVATE_PREFIX, bytes.subarray(2, 34)]);
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  const raw = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(PUBLIC_PREFIX.length);
  const kind = ((bytes[0]! & 0b111) << 5) | (bytes[1]! >> 3);
  return remember(seeds, SEEDS_KEPT_MAX, seed, { publicKey: encodeChecked(Buffer.of(kind, ...raw)), privateKey });
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

/** In base32, with the checksum behind it (CRC-16/XMODEM, little-endian). */
function encodeChecked(bytes: Buffer): string {
  let checksum = 0;
  for (const byte of bytes) {
    checksum ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) checksum = ((checksum << 1) ^ (checksum & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return encodeBase32(Buffer.from([...bytes, checksum & 0xff, checksum >> 8]));
}

/** Of whole groups of five bits: 35 bytes are 56 characters. */
function encodeBase32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return bits.replace(/.{5}/g, (group) => ALPHABET[Number.parseInt(group, 2)]!);
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
