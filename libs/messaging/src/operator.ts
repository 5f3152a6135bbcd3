// An operator-mode NATS installation from nothing: one operator, the system account SYS and the account ATOLL.
// Invariant: every limit is explicit, because @nats-io/jwt 0.0.11's defaults allow no connection at all.

import { CredentialError } from './errors.ts';
import { type AccountClaims, createKey, encodeAccountJwt, encodeOperatorJwt, type NatsKey } from './nats-jwt.ts';

/** Everything that makes an installation; the seeds are secrets. */
export interface NatsOperator {
  readonly operator: NatsKey & { readonly jwt: string };
  readonly systemAccount: NatsKey & { readonly jwt: string };
  readonly atollAccount: NatsKey & { readonly jwt: string };
}

const UNLIMITED = -1;

/** Bounds of the ATOLL account; -1 is NATS' word for unlimited. */
const atollLimits = {
  subs: UNLIMITED,
  data: UNLIMITED,
  payload: UNLIMITED, // the server's max_payload is the bound
  conn: 20_000, // two connections a cluster (work, heartbeat) at 3,500 clusters, and room
  leaf: 0,
  imports: 0,
  exports: 0,
  wildcards: false,
  disallow_bearer: true,
  mem_storage: 64 * 1024 * 1024,
  disk_storage: UNLIMITED, // streams carry their own max_bytes; a number here would be reserved at once
  streams: 16,
  consumer: 64,
} satisfies NonNullable<AccountClaims['limits']>;

/** SYS carries requests to the server and advisories only: no JetStream. */
const systemLimits = {
  subs: UNLIMITED,
  data: UNLIMITED,
  payload: UNLIMITED,
  conn: 100,
  leaf: 0,
  imports: 0,
  exports: 0,
  wildcards: false,
  disallow_bearer: true,
} satisfies NonNullable<AccountClaims['limits']>;

/**
 * Signs the ATOLL account's JWT; again at every change of its revocations.
 *
 * @param revocations public user key → Unix seconds; JWTs of that user issued up to then are void
 * @throws CredentialError when the seed is not an operator's
 */
export async function signAtollAccount(
  operatorSeed: string,
  accountPublicKey: string,
  revocations: Readonly<Record<string, number>> = {},
): Promise<string> {
  // The server stores a self-signed account without complaint, and then trusts nobody in it.
  if (!operatorSeed.startsWith('SO')) throw new CredentialError('Only the operator signs accounts.');
  return encodeAccountJwt('ATOLL', accountPublicKey, { limits: atollLimits, revocations }, operatorSeed);
}

/** Makes keys and JWTs of a new installation. Nothing is written; see `writeOperatorFiles`. */
export async function createNatsOperator(name = 'atoll'): Promise<NatsOperator> {
  const operator = createKey('operator');
  const system = createKey('account');
  const atoll = createKey('account');
  return {
    operator: { ...operator, jwt: await encodeOperatorJwt(name, operator.seed, system.publicKey) },
    systemAccount: { ...system, jwt: await encodeAccountJwt('SYS', system, { limits: systemLimits }, operator.seed) },
    atollAccount: { ...atoll, jwt: await signAtollAccount(operator.seed, atoll.publicKey) },
  };
}
