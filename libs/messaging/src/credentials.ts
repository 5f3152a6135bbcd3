// User JWTs: issued against a permission table, tagged with role and cluster, taken back by revocation.
// Which keys are revoked is Postgres' truth; this file only turns that list into a signed account JWT.

import type { NatsConnection } from '@nats-io/transport-node';
import { ClaimsUpdateError, CredentialError, translateNatsError } from './errors.ts';
import { decodeJwt, decodeUserClaims, encodeUserJwt, type UserClaims } from './nats-jwt.ts';
import { signAtollAccount } from './operator.ts';
import { type NatsPermissions, type NatsRole, natsRoles } from './permissions.ts';

export interface IssueUserJwtOptions {
  /** Seed of the account that signs: ATOLL for everybody but `system`. */
  accountSeed: string;
  userPublicKey: string;
  /** Shown in the server's logs and advisories. */
  name: string;
  role: NatsRole;
  /** Required for agents, refused for others. */
  clusterId?: string;
  permissions: NatsPermissions;
  /** Undefined: never expires (processes that hold the account seed anyway). */
  ttlSeconds?: number;
  /** Unix milliseconds. Default: the clock. */
  now?: number;
}

/** @throws CredentialError on a malformed key, or when role and clusterId do not fit */
export async function issueUserJwt(options: IssueUserJwtOptions): Promise<string> {
  const { role, clusterId, permissions } = options;
  if ((role === 'agent') !== (clusterId !== undefined)) {
    throw new CredentialError('A clusterId belongs to agents, and only to them.');
  }
  const tags = [`role:${role}`, ...(clusterId === undefined ? [] : [`cluster:${clusterId}`])];
  const claims: UserClaims = {
    pub: { allow: [...permissions.publish] },
    sub: { allow: [...permissions.subscribe] },
    subs: permissions.subscriptionsMax,
    payload: permissions.payloadBytesMax,
    data: -1,
    tags,
    bearer_token: false,
  };
  if (permissions.responses) {
    const { answersMax, ttlSeconds } = permissions.responses;
    claims.resp = { max: answersMax, ttl: ttlSeconds * 1_000_000_000 }; // nanoseconds on the wire
  }
  const nowSeconds = Math.floor((options.now ?? Date.now()) / 1000);
  const expiresAtSeconds = options.ttlSeconds === undefined ? undefined : nowSeconds + options.ttlSeconds;
  return encodeUserJwt(options.name, options.userPublicKey, claims, options.accountSeed, expiresAtSeconds);
}

/** What a user JWT says about its holder. */
export interface UserIdentity {
  readonly role: NatsRole;
  /** Set for agents only. */
  readonly clusterId: string | undefined;
  readonly publicKey: string;
  readonly name: string;
  /** Public key of the account that signed. */
  readonly accountPublicKey: string;
  readonly issuedAtSeconds: number;
  readonly expiresAtSeconds: number | undefined;
}

/**
 * Reads a user JWT and checks its own signature. Trust in `accountPublicKey` and expiry are the caller's to check.
 *
 * @throws CredentialError when it is not a user JWT of ours
 */
export function readUserJwt(token: string): UserIdentity {
  const claims = decodeJwt(token);
  const tagged = (prefix: string) =>
    claims.tags.filter((tag) => tag.startsWith(prefix)).map((t) => t.slice(prefix.length));
  const roles = tagged('role:');
  const clusters = tagged('cluster:');
  const role = natsRoles.find((known) => known === roles[0]);
  const isFit = role !== undefined && roles.length === 1 && clusters.length === (role === 'agent' ? 1 : 0);
  if (claims.kind !== 'user' || !isFit) throw new CredentialError('The JWT is not a user JWT with a role of ours.');
  return {
    role,
    clusterId: clusters[0],
    publicKey: claims.subject,
    name: claims.name,
    accountPublicKey: claims.issuer,
    issuedAtSeconds: claims.issuedAtSeconds,
    expiresAtSeconds: claims.expiresAtSeconds,
  };
}

/** @returns the publish and subscribe allow-lists inside a user JWT, for showing and testing */
export function readUserPermissions(token: string): { publish: string[]; subscribe: string[] } {
  const { pub, sub } = decodeUserClaims(token);
  return { publish: pub?.allow ?? [], subscribe: sub?.allow ?? [] };
}

/** A revoked user: all its JWTs issued up to `revokedAtSeconds` (Unix) are void; later ones count again. */
export interface Revocation {
  readonly userPublicKey: string;
  readonly revokedAtSeconds: number;
}

/**
 * Re-signs the ATOLL account JWT with the whole list of revocations (it replaces the former list); then push it.
 * The latest time wins when a key is listed twice.
 */
export function revokeUsers(
  keys: { operatorSeed: string; accountPublicKey: string },
  revocations: readonly Revocation[],
): Promise<string> {
  const times: Record<string, number> = {};
  for (const { userPublicKey, revokedAtSeconds } of revocations) {
    times[userPublicKey] = Math.max(times[userPublicKey] ?? 0, revokedAtSeconds);
  }
  return signAtollAccount(keys.operatorSeed, keys.accountPublicKey, times);
}

interface ClaimsUpdateAnswer {
  data?: { code?: number; message?: string };
  error?: { code?: number; description?: string };
}

/**
 * Hands a re-signed account JWT to the server, which cuts revoked connections at once.
 *
 * @param systemConnection a connection of the `system` role
 * @throws ClaimsUpdateError when the server refused it; MessagingError when it did not answer within `timeoutMs`
 */
export async function pushAccountJwt(systemConnection: NatsConnection, jwt: string, timeoutMs = 5000): Promise<void> {
  const subject = '$SYS.REQ.CLAIMS.UPDATE';
  const reply = await systemConnection.request(subject, jwt, { timeout: timeoutMs }).catch((cause: unknown) => {
    throw translateNatsError(cause, subject);
  });
  let answer: ClaimsUpdateAnswer;
  try {
    answer = reply.json<ClaimsUpdateAnswer>();
  } catch (cause) {
    throw new ClaimsUpdateError('The NATS server gave an unreadable answer to the claims update.', { cause });
  }
  if (answer.error || answer.data?.code !== 200) {
    const reason = answer.error?.description ?? answer.data?.message ?? 'no reason given';
    throw new ClaimsUpdateError(`The NATS server refused the account JWT: ${reason}`);
  }
}
