// The only file that touches @nats-io/jwt (pinned at 0.0.11, no stable API) and NKeys.
// Everything else speaks of identities, claims and proofs.

import * as jwt from '@nats-io/jwt';
import * as nkeys from '@nats-io/nkeys';
import { CredentialError } from './errors.ts';
import { isSignedBytes, pairOf, publicKeyOf, signBytes } from './nkey-signatures.ts';

/** An NKey pair as strings: `publicKey` starts with its kind (O, A, U), `seed` with S and the kind. */
export interface NatsKey {
  readonly publicKey: string;
  /** Secret. Never leaves the process or the 0600 file that keeps it. */
  readonly seed: string;
}

export type NatsKeyKind = 'operator' | 'account' | 'user';

/** The claims of a decoded JWT whose signature (by its own issuer) was checked. */
export interface DecodedClaims {
  readonly name: string;
  readonly subject: string;
  readonly issuer: string;
  readonly issuedAtSeconds: number;
  /** Undefined: never expires. */
  readonly expiresAtSeconds: number | undefined;
  readonly kind: string;
  readonly tags: readonly string[];
}

export type AccountClaims = Partial<jwt.Account>;
export type UserClaims = Partial<jwt.User>;

/** Longest JWT that is looked at; ours are below 2 KiB. */
export const JWT_CHARACTERS_MAX = 8192;

const makers = { operator: nkeys.createOperator, account: nkeys.createAccount, user: nkeys.createUser };
const encoder = new TextEncoder();

function toKey(pair: nkeys.KeyPair): NatsKey {
  const seed = new TextDecoder().decode(pair.getSeed());
  return { publicKey: publicKeyOf(seed), seed };
}

function pairFromSeed(seed: string): nkeys.KeyPair {
  return checked(() => pairOf(seed));
}

function checked<Result>(useSeed: () => Result): Result {
  try {
    return useSeed();
  } catch {
    // No cause on purpose: nothing of the seed may travel in an error.
    throw new CredentialError('The NKey seed is not valid: it should start with S and have 58 characters.');
  }
}

export function createKey(kind: NatsKeyKind): NatsKey {
  return toKey(makers[kind]());
}

/** @throws CredentialError when the seed is malformed */
export function keyFromSeed(seed: string): NatsKey {
  return { publicKey: checked(() => publicKeyOf(seed)), seed };
}

/** @returns whether the text is a well-formed public user key */
export function isUserPublicKey(text: string): boolean {
  if (!/^U[A-Z2-7]{55}$/.test(text)) return false;
  try {
    nkeys.fromPublic(text);
    return true;
  } catch {
    return false;
  }
}

/** Ed25519 signature, base64url without padding. */
export function signText(seed: string, text: string): string {
  return checked(() => signBytes(seed, encoder.encode(text))).toString('base64url');
}

/** Never throws: a malformed key or signature is simply not valid. */
export function isSignedText(publicKey: string, text: string, signature: string): boolean {
  if (!/^[A-Za-z0-9_-]{86}$/.test(signature)) return false;
  try {
    return isSignedBytes(publicKey, encoder.encode(text), Buffer.from(signature, 'base64url'));
  } catch {
    return false;
  }
}

export function encodeOperatorJwt(name: string, seed: string, systemAccount: string): Promise<string> {
  return jwt.encodeOperator(name, pairFromSeed(seed), { system_account: systemAccount });
}

export function encodeAccountJwt(name: string, account: NatsKey | string, claims: AccountClaims, operatorSeed: string) {
  const key = typeof account === 'string' ? nkeys.fromPublic(account) : nkeys.fromPublic(account.publicKey);
  return jwt.encodeAccount(name, key, structuredClone(claims), { signer: pairFromSeed(operatorSeed) });
}

/** @param expiresAtSeconds Unix seconds; undefined: never */
export function encodeUserJwt(
  name: string,
  userPublicKey: string,
  claims: UserClaims,
  accountSeed: string,
  expiresAtSeconds?: number,
): Promise<string> {
  if (!isUserPublicKey(userPublicKey)) throw new CredentialError('The public key is not an NKey user key (U…).');
  const options = expiresAtSeconds === undefined ? {} : { exp: expiresAtSeconds };
  return jwt.encodeUser(name, nkeys.fromPublic(userPublicKey), pairFromSeed(accountSeed), claims, options);
}

/**
 * Decodes and checks the signature against the issuer named inside; whether that issuer is trusted is the caller's to say.
 *
 * @throws CredentialError when it is not a well-formed, correctly signed NATS JWT
 */
export function decodeJwt(token: string): DecodedClaims {
  if (token.length > JWT_CHARACTERS_MAX) throw new CredentialError('The JWT is too long.');
  const claims = readClaims<jwt.GenericFields>(token);
  const isText = [claims.name, claims.sub, claims.iss].every((value) => typeof value === 'string');
  const isTime = Number.isFinite(claims.iat) && (claims.exp === undefined || Number.isFinite(claims.exp));
  const tags: unknown = claims.nats?.tags ?? [];
  if (!isText || !isTime || !Array.isArray(tags)) throw new CredentialError('The JWT lacks claims.');
  return {
    name: claims.name,
    subject: claims.sub,
    issuer: claims.iss,
    issuedAtSeconds: claims.iat,
    expiresAtSeconds: claims.exp,
    kind: String(claims.nats?.type ?? ''),
    tags: tags.filter((tag): tag is string => typeof tag === 'string'),
  };
}

/** The claims of a JWT of the one algorithm that NATS knows, whose issuer signed it. */
function readClaims<Fields extends object>(token: string): jwt.ClaimsData<Fields> {
  const [head = '', body = '', signature = '', ...rest] = token.split('.');
  try {
    const header = parsePart(head) as { typ?: unknown; alg?: unknown };
    const claims = parsePart(body) as jwt.ClaimsData<Fields>;
    const isOurs = rest.length === 0 && header.typ === 'JWT' && header.alg === 'ed25519-nkey';
    if (isOurs && isSignedText(claims.iss, `${head}.${body}`, signature)) return claims;
  } catch (cause) {
    throw new CredentialError('The JWT is malformed or its signature is wrong.', { cause });
  }
  throw new CredentialError('The JWT is malformed or its signature is wrong.');
}

function parsePart(part: string): unknown {
  const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  if (typeof value !== 'object' || value === null) throw new TypeError('not an object');
  return value;
}

/** The NATS-specific part of an account JWT, as it was encoded (limits, revocations, …). */
export function decodeAccountClaims(token: string): AccountClaims & { name: string; subject: string } {
  const { name, subject } = decodeJwt(token);
  return { ...readClaims<jwt.Account>(token).nats, name, subject };
}

/** The NATS-specific part of a user JWT, as it was encoded (permissions, limits, tags). */
export function decodeUserClaims(token: string): UserClaims {
  decodeJwt(token);
  return readClaims<jwt.User>(token).nats;
}
