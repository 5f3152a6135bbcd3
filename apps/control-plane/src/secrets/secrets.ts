// What the installation's pepper is used for: hashes of secrets, the challenge's key, and sealing stored answers.
// Every use has its own key, derived from the pepper, except the hash of API keys, which gateways compute as well.

import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  sign,
  timingSafeEqual,
} from 'node:crypto';
import { StartError } from '../errors.ts';

export interface MintedSecret {
  readonly publicId: string;
  /** `<prefix>_<publicId>_<secret>`: shown once, kept nowhere. */
  readonly token: string;
  readonly secretHash: string;
  /** For clusters that check keys by themselves. */
  readonly offlineHash: string;
}

export class Secrets {
  readonly #pepper: string;
  readonly #challengeKey: Buffer;
  readonly #sealingKey: Buffer;
  readonly #offlineKey: Buffer;
  /** Ed25519, for blob tokens and offline bundles. */
  readonly blobSigningKey: KeyObject;
  readonly blobVerifyingKey: KeyObject;

  /** @throws StartError when the signing key is not an Ed25519 private key */
  constructor(material: { pepper: string; blobSigningKey: string }) {
    this.#pepper = material.pepper;
    this.#challengeKey = derive(material.pepper, 'challenge');
    this.#sealingKey = derive(material.pepper, 'stored-answers');
    this.#offlineKey = derive(material.pepper, 'offline-keys');
    this.blobSigningKey = readSigningKey(material.blobSigningKey);
    this.blobVerifyingKey = createPublicKey(this.blobSigningKey);
  }

  /** HMAC-SHA-256 under the pepper, lower-case hex. */
  hash(secret: string): string {
    return createHmac('sha256', this.#pepper).update(secret).digest('hex');
  }

  /** Compares in constant time; `expectedHash` null compares with a dummy, so that unknown ids cost the same. */
  matches(secret: string, expectedHash: string | null): boolean {
    const given = Buffer.from(this.hash(secret), 'hex');
    const expected = Buffer.from(expectedHash ?? '0'.repeat(64), 'hex');
    return given.length === expected.length && timingSafeEqual(given, expected) && expectedHash !== null;
  }

  mint(prefix: 'atoll' | 'atolljoin'): MintedSecret {
    const publicId = randomBytes(8).toString('hex');
    const secret = randomBytes(32).toString('base64url');
    const hashes = { secretHash: this.hash(secret), offlineHash: this.offlineHash(secret) };
    return { publicId, token: `${prefix}_${publicId}_${secret}`, ...hashes };
  }

  /** Base64url: what clusters are given to check keys with. Nothing else can be derived from it. */
  get offlinePepper(): string {
    return this.#offlineKey.toString('base64url');
  }

  /** HMAC-SHA-256 under the offline pepper's bytes, lower-case hex. */
  offlineHash(secret: string): string {
    return createHmac('sha256', this.#offlineKey).update(secret).digest('hex');
  }

  /** Ed25519 by the installation's key, base64url. `context` keeps it from being taken for a signature of anything else. */
  sign(context: string, text: string): string {
    return sign(null, Buffer.from(context + text, 'utf8'), this.blobSigningKey).toString('base64url');
  }

  /** HMAC-SHA-256 for challenges, base64url. */
  signChallenge(text: string): string {
    return createHmac('sha256', this.#challengeKey).update(text).digest('base64url');
  }

  /** AES-256-GCM, base64url: for answers that hold a secret and must be repeatable to the same caller. */
  seal(text: string): string {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#sealingKey, nonce);
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url');
  }

  /** @throws Error when it was not sealed under this pepper */
  unseal(sealed: string): string {
    const bytes = Buffer.from(sealed, 'base64url');
    const cipher = createDecipheriv('aes-256-gcm', this.#sealingKey, bytes.subarray(0, 12));
    cipher.setAuthTag(bytes.subarray(12, 28));
    return Buffer.concat([cipher.update(bytes.subarray(28)), cipher.final()]).toString('utf8');
  }
}

function derive(pepper: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', pepper, '', `atoll/${purpose}`, 32));
}

function readSigningKey(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // No cause: nothing of the key may travel in an error.
    throw new StartError('secrets.blobSigningKey is not a private key in PKCS #8 PEM; make one with bootstrap.js.');
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new StartError('secrets.blobSigningKey must be an Ed25519 key; make one with bootstrap.js.');
  }
  return key;
}
