// The right of a neighbour to fetch the files of some versions from this cluster: a compact JWS (EdDSA) that the control
// plane signs for at most 15 minutes, naming this cluster in its audience, the asker as subject and the versions in `ver`.
import { createPublicKey, type KeyObject } from 'node:crypto';
import { errors, jwtVerify } from 'jose';
import { z } from 'zod';
import { digestSchema, idSchema } from '#contracts';

/** R22: clocks may be ten minutes apart, so a token lives so much longer here than by the clock that made it. */
export const CLOCK_TOLERANCE_SECONDS = 600;
const TOKEN_CHARACTERS_MAX = 12_288;
const VERSIONS_MAX = 64;

const claimsSchema = z.object({ sub: idSchema, ver: z.array(digestSchema).min(1).max(VERSIONS_MAX) });

export type NeighbourVerdict =
  | { readonly verdict: 'granted'; readonly clusterId: string; readonly versionDigests: ReadonlySet<string> }
  /** No token, or none that the key proves. `isForged`: it was one, of another key, which may be a newer one than ours. */
  | { readonly verdict: 'unknown'; readonly isForged: boolean }
  /** Of the right key, but not for this: why, in words. */
  | { readonly verdict: 'refused'; readonly reason: string };

export function audienceOf(servingClusterId: string): string {
  return `atoll-neighbour:${servingClusterId}`;
}

/** The token of an Authorization header; undefined when it holds none that could be one. */
export function bearerOf(header: string | undefined): string | undefined {
  const token = /^bearer +([\w-]+\.[\w-]+\.[\w-]+) *$/i.exec(header ?? '')?.[1];
  return token !== undefined && token.length <= TOKEN_CHARACTERS_MAX ? token : undefined;
}

/** @returns null when the text is no Ed25519 public key (SPKI, PEM) */
export function readVerifyingKey(pem: string): KeyObject | null {
  try {
    const key = createPublicKey(pem);
    return key.asymmetricKeyType === 'ed25519' ? key : null;
  } catch {
    return null;
  }
}

/** @param now the agent's wall clock */
export async function judgeNeighbourToken(
  token: string,
  key: KeyObject,
  servingClusterId: string,
  now: Date,
): Promise<NeighbourVerdict> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['EdDSA'],
      audience: audienceOf(servingClusterId),
      requiredClaims: ['exp', 'sub', 'ver'],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: now,
    });
    const claims = claimsSchema.safeParse(payload);
    if (!claims.success) return { verdict: 'refused', reason: 'its claims are not those of a neighbour' };
    return { verdict: 'granted', clusterId: claims.data.sub, versionDigests: new Set(claims.data.ver) };
  } catch (cause) {
    // The signature is checked before the claims, so these two were signed by the control plane.
    if (cause instanceof errors.JWTExpired) return { verdict: 'refused', reason: 'it has expired' };
    if (cause instanceof errors.JWTClaimValidationFailed) {
      return { verdict: 'refused', reason: `its claim "${cause.claim}" is not for this cluster` };
    }
    return { verdict: 'unknown', isForged: cause instanceof errors.JWSSignatureVerificationFailed };
  }
}
