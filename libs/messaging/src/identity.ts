// A process' own NATS identity, and proving it outside NATS: the join and renewal challenge of the control plane.
// What is signed: the server's nonce, and a digest of everything else in the body, so neither can be replayed elsewhere.

import { createHash } from 'node:crypto';
import { canonicalJson } from '#domain';
import { createKey, isSignedText, isUserPublicKey, keyFromSeed, type NatsKey, signText } from './nats-jwt.ts';

/** What a process connects and proves itself with. */
export interface NatsIdentity {
  readonly jwt: string;
  /** Secret. */
  readonly seed: string;
}

/** A new user NKey. Keep the seed in a 0600 file; only `publicKey` ever leaves. */
export function createIdentity(): NatsKey {
  return createKey('user');
}

/** @throws CredentialError when the seed is malformed */
export function identityFromSeed(seed: string): NatsKey {
  return keyFromSeed(seed);
}

function proofText(nonce: string, body: unknown): string {
  return `${nonce}\n${createHash('sha256').update(canonicalJson(body)).digest('hex')}`;
}

/**
 * Signs a challenge.
 *
 * @param body the request's other fields: all but `publicKey`, `nonce` and `signature`
 * @returns base64url signature for the `signature` field
 */
export function proveIdentity(seed: string, nonce: string, body: unknown): string {
  return signText(seed, proofText(nonce, body));
}

export interface Proof {
  publicKey: string;
  nonce: string;
  signature: string;
  /** The same fields that were signed. */
  body: unknown;
}

/** Whether the holder of `publicKey` (a user key) signed this nonce with this body. Never throws. */
export function verifyProof(proof: Proof): boolean {
  if (!isUserPublicKey(proof.publicKey)) return false;
  return isSignedText(proof.publicKey, proofText(proof.nonce, proof.body), proof.signature);
}
