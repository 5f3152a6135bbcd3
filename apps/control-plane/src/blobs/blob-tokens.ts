// The right of one cluster to fetch the files of some versions, for a quarter of an hour. Compact JWS, EdDSA.
// A token alone is not enough: the versions must still be in the cluster's desired document when it asks, so leaving the
// fleet or a changed mind takes the right away at once.

import { Injectable } from '@nestjs/common';
import { jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { digestSchema, idSchema } from '#contracts';
import { isMember, Store } from '#domain';
import { PublicAddress } from '../installation/settings.ts';
import { Secrets } from '../secrets/secrets.ts';

export const BLOB_TOKEN_SECONDS = 900;

/** More would not fit a header; then the token stands for whatever the desired document names. */
const LISTED_VERSIONS_MAX = 64;
const TOKEN_CHARACTERS_MAX = 12_288;

const AUDIENCE = 'atoll-blobs';

const claimsSchema = z.object({ sub: idSchema, ver: z.array(digestSchema).max(LISTED_VERSIONS_MAX).optional() });

export interface BlobGrant {
  /** Blobs are at `<url>/<sha256 hex>`. */
  readonly url: string;
  readonly token: string;
  readonly expiresInSeconds: number;
}

@Injectable()
export class BlobTokens {
  constructor(
    private readonly secrets: Secrets,
    private readonly store: Store,
    private readonly address: PublicAddress,
  ) {}

  async issue(clusterId: string, versionDigests: readonly string[]): Promise<BlobGrant> {
    const listed = versionDigests.length <= LISTED_VERSIONS_MAX ? { ver: [...versionDigests] } : {};
    const token = await new SignJWT(listed)
      .setProtectedHeader({ alg: 'EdDSA' })
      .setSubject(clusterId)
      .setAudience(AUDIENCE)
      .setIssuedAt()
      .setExpirationTime(`${BLOB_TOKEN_SECONDS}s`)
      .sign(this.secrets.blobSigningKey);
    return { url: `${this.address.url}/api/v1/blobs`, token, expiresInSeconds: BLOB_TOKEN_SECONDS };
  }

  /** Whether the Authorization header gives the right to this blob; `unknown` for everything that is no token of ours. */
  async judge(header: string | undefined, digest: string): Promise<'granted' | 'not-granted' | 'unknown'> {
    const match = /^bearer +([\w.-]+) *$/i.exec(header ?? '');
    if (match === null || match[1]!.length > TOKEN_CHARACTERS_MAX) return 'unknown';
    const claims = await this.#verify(match[1]!);
    if (claims === null) return 'unknown';
    const cluster = await this.store.read.clusters.find({ id: claims.sub });
    if (cluster === null || !isMember(cluster.phase)) return 'unknown';
    const desired = await this.store.read.desired.find(claims.sub);
    const isNamed = (desired?.versions ?? [])
      .filter((version) => claims.ver === undefined || claims.ver.includes(version.digest))
      .some((version) => version.files.some((file) => file.digest === digest));
    return isNamed ? 'granted' : 'not-granted';
  }

  async #verify(token: string): Promise<z.infer<typeof claimsSchema> | null> {
    try {
      const options = { algorithms: ['EdDSA'], audience: AUDIENCE, requiredClaims: ['exp', 'sub'] };
      const { payload } = await jwtVerify(token, this.secrets.blobVerifyingKey, options);
      return claimsSchema.safeParse(payload).data ?? null;
    } catch {
      return null; // malformed, foreign, expired: all the same to the caller
    }
  }
}
