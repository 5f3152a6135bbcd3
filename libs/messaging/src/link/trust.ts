// Who may hold the other end of a link, and what both ends sign.
//
// The proof covers the peer's public key, so a peer cannot pass it on to somebody else, and the two directions sign
// different texts, so neither can be reflected. Nonces instead of timestamps: clocks may be wrong by minutes.
// The socket itself is not encrypted by this; where the network is not trusted, a tunnel or TLS carries it.

import { randomBytes } from 'node:crypto';
import { readUserJwt, type UserIdentity } from '../credentials.ts';
import { LinkRefusedError } from '../errors.ts';
import type { NatsIdentity } from '../identity.ts';
import { isSignedText, keyFromSeed, signText } from '../nats-jwt.ts';
import type { NatsRole } from '../permissions.ts';

export interface LinkTrust {
  readonly identity: NatsIdentity;
  /** Public key of the ATOLL account; whoever it signed is ours. */
  readonly trustedAccount: string;
  /** Roles that the peer may have. */
  readonly allowedRoles: readonly NatsRole[];
  /** Only this cluster's agent will do. */
  readonly expectedClusterId?: string;
  /** Says no to peers that were taken off the list since their JWT was issued. */
  readonly isRevoked?: (peer: UserIdentity) => boolean;
  /** How long after its expiry a JWT still counts, for clocks that are wrong. Default 600 s. */
  readonly expiryGraceSeconds?: number;
  /** Unix milliseconds. Default: the clock. */
  readonly now?: () => number;
}

export const LINK_PATH = '/link';
export const LINK_PROTOCOL = 'atoll-link/1';
export const NONCE_HEADER = 'x-atoll-nonce';
export const IDENTITY_HEADER = 'x-atoll-identity';

/**
 * Links wait idle for hours. A peer that vanished without a word (power, a cut line, NAT that forgot) is found out by
 * TCP's own probes: after this long, then ten of them a second apart. Without it an end could hold dead links for ever.
 */
export const LINK_PROBE_AFTER_MS = 10_000;

const NONCE = /^[A-Za-z0-9_-]{43}$/;
const EXPIRY_GRACE_SECONDS = 600;

/** 32 random bytes, base64url. */
export function createNonce(): string {
  return randomBytes(32).toString('base64url');
}

/** @throws LinkRefusedError `malformed` */
export function checkNonce(nonce: unknown): string {
  if (typeof nonce === 'string' && NONCE.test(nonce)) return nonce;
  throw new LinkRefusedError('malformed', 'The nonce is missing or malformed.');
}

/** The dialer's proof, over the acceptor's nonce and the acceptor's key. */
export function signDial(seed: string, acceptorNonce: string, acceptorPublicKey: string): string {
  return signText(seed, `${LINK_PROTOCOL}\n${acceptorNonce}\n${acceptorPublicKey}`);
}

/** The acceptor's proof, over the dialer's nonce and the dialer's key. */
export function signAcceptance(seed: string, dialerNonce: string, dialerPublicKey: string): string {
  return signText(seed, `${LINK_PROTOCOL} accepted\n${dialerNonce}\n${dialerPublicKey}`);
}

/** @throws LinkRefusedError `proof` */
export function checkDial(signature: string, dialerPublicKey: string, nonce: string, ownSeed: string): void {
  const text = `${LINK_PROTOCOL}\n${nonce}\n${keyFromSeed(ownSeed).publicKey}`;
  if (!isSignedText(dialerPublicKey, text, signature)) throw new LinkRefusedError('proof', 'The proof is not valid.');
}

/** @throws LinkRefusedError `proof` */
export function checkAcceptance(signature: string, acceptorPublicKey: string, nonce: string, ownSeed: string): void {
  const text = `${LINK_PROTOCOL} accepted\n${nonce}\n${keyFromSeed(ownSeed).publicKey}`;
  if (!isSignedText(acceptorPublicKey, text, signature)) throw new LinkRefusedError('proof', 'The proof is not valid.');
}

/** @throws LinkRefusedError with the first reason why this JWT's holder may not be the peer */
export function checkPeer(token: string, trust: LinkTrust): UserIdentity {
  const peer = readPeer(token);
  if (peer.accountPublicKey !== trust.trustedAccount) {
    throw new LinkRefusedError('untrusted', 'The identity was not issued by this installation.');
  }
  const graceSeconds = trust.expiryGraceSeconds ?? EXPIRY_GRACE_SECONDS;
  const nowSeconds = (trust.now ?? Date.now)() / 1000;
  if (peer.expiresAtSeconds !== undefined && nowSeconds > peer.expiresAtSeconds + graceSeconds) {
    throw new LinkRefusedError('expired', 'The identity has expired; renew it.');
  }
  if (!trust.allowedRoles.includes(peer.role)) throw new LinkRefusedError('role', 'This role may not be here.');
  if (trust.expectedClusterId !== undefined && peer.clusterId !== trust.expectedClusterId) {
    throw new LinkRefusedError('role', 'Another cluster answered.');
  }
  if (trust.isRevoked?.(peer)) throw new LinkRefusedError('revoked', 'The identity was revoked.');
  return peer;
}

function readPeer(token: string): UserIdentity {
  try {
    return readUserJwt(token);
  } catch (cause) {
    throw new LinkRefusedError('untrusted', 'The identity is not a user JWT of this installation.', { cause });
  }
}
