// The right of one cluster to fetch the files of some versions, for a quarter of an hour by the installation's clock
// (ADR 25): whoever signed it, all control planes agree. Compact JWS, EdDSA.
// That of a desired document is also the right to fetch the checkpoints that its tasks resume from, and to upload what
// its attempts save, for as long as they run.
// A token alone is not enough: the versions must still be in the cluster's desired document when it asks, so leaving the
// fleet or a changed mind takes the right away at once. A token of a sync plan also names the artifacts that lead to its
// version: diffs of older versions on the way, snapshots. Their right ends with that of the version.
//
// What neighbours show each other has another audience: it is no right here, nor at any other neighbour. They verify it
// with `verifyingKey` of their desired-fetch reply and cannot ask Postgres, so that one lives on its short time alone.

import { Injectable } from '@nestjs/common';
import { jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { digestSchema, idSchema } from '#contracts';
import { isMember, Store } from '#domain';
import { PublicAddress } from '../installation/settings.ts';
import { readManifest } from '../jobs/stored-manifests.ts';
import { Secrets } from '../secrets/secrets.ts';
import { BlobStore } from './blob-store.ts';

export const BLOB_TOKEN_SECONDS = 900;

/** More would not fit a header; then the token stands for whatever the desired document names. */
const LISTED_VERSIONS_MAX = 64;
const TOKEN_CHARACTERS_MAX = 12_288;

const AUDIENCE = 'atoll-blobs';
/** A plan has at most as many steps. */
const LISTED_ARTIFACTS_MAX = 64;

const claimsSchema = z.object({
  sub: idSchema,
  /** Digests of versions; absent: all of the desired document. */
  ver: z.array(digestSchema).max(LISTED_VERSIONS_MAX).optional(),
  /** Ids of artifacts that lead to a version of `ver`. */
  art: z.array(idSchema).max(LISTED_ARTIFACTS_MAX).optional(),
});
type Claims = z.infer<typeof claimsSchema>;

export interface BlobGrant {
  /** Blobs are at `<url>/<sha256 hex>`. */
  readonly url: string;
  readonly token: string;
  readonly expiresInSeconds: number;
  /** SPKI, PEM. */
  readonly verifyingKey: string;
}

/** Whom a token for a neighbour's blob server is for. */
export function neighbourAudience(servingClusterId: string): string {
  return `atoll-neighbour:${servingClusterId}`;
}

/** Manifests of checkpoints that are being fetched just now, by digest. */
const MANIFESTS_REMEMBERED_MAX = 16;

@Injectable()
export class BlobTokens {
  readonly #filesOfCheckpoint = new Map<string, ReadonlySet<string>>();

  constructor(
    private readonly secrets: Secrets,
    private readonly store: Store,
    private readonly address: PublicAddress,
    private readonly blobs: BlobStore,
  ) {}

  /** For whole files of these versions, as long as the cluster's desired document names them. */
  issue(clusterId: string, versionDigests: readonly string[]): Promise<BlobGrant> {
    const listed = versionDigests.length <= LISTED_VERSIONS_MAX ? { ver: [...versionDigests] } : {};
    return this.#grant(clusterId, listed);
  }

  /** For one planned fetch: the version's files, and the artifacts that make it. */
  issueForPlan(clusterId: string, versionDigest: string, artifactIds: readonly string[]): Promise<BlobGrant> {
    return this.#grant(clusterId, { ver: [versionDigest], art: [...artifactIds] });
  }

  /** For the blob server of one neighbour. @returns the token */
  issueForNeighbour(clusterId: string, servingClusterId: string, versionDigests: readonly string[]): Promise<string> {
    return this.#sign(clusterId, neighbourAudience(servingClusterId), { ver: [...versionDigests] });
  }

  /** Whether the Authorization header gives the right to this blob; `unknown` for everything that is no token of ours. */
  async judge(header: string | undefined, digest: string): Promise<'granted' | 'not-granted' | 'unknown'> {
    const claims = await this.#claimsOf(header);
    if (claims === null) return 'unknown';
    const desired = await this.store.read.desired.find(claims.sub);
    const versions = (desired?.versions ?? []).filter(
      (version) => claims.ver === undefined || claims.ver.includes(version.digest),
    );
    if (versions.some((version) => version.files.some((file) => file.digest === digest))) return 'granted';
    if (versions.length > 0 && (await this.#isOfArtifact(claims, digest))) return 'granted';
    const resumed = (desired?.tasks ?? []).flatMap(({ resumeFrom }) => resumeFrom?.manifestDigest ?? []);
    return isForFetch(claims) || !(await this.#isOfCheckpoint(resumed, digest)) ? 'not-granted' : 'granted';
  }

  /**
   * Whether the header gives the right to upload for this attempt: it runs, and a member of it in that very cluster. An
   * attempt that was lost or that has ended takes nothing more, so what an older epoch began is refused with it.
   */
  async judgeUpload(header: string | undefined, attemptId: string): Promise<'granted' | 'not-granted' | 'unknown'> {
    const claims = await this.#claimsOf(header);
    if (claims === null) return 'unknown';
    const attempt = await this.store.read.attempts.find(attemptId);
    const isMemberThere = attempt?.tasks.some(({ clusterId }) => clusterId === claims.sub) === true;
    const isOpen = attempt !== null && attempt.phase !== 'Ended';
    return isOpen && isMemberThere && !isForFetch(claims) ? 'granted' : 'not-granted';
  }

  /** The manifests themselves, and the files that they list. */
  async #isOfCheckpoint(manifestDigests: readonly string[], digest: string): Promise<boolean> {
    if (manifestDigests.includes(digest)) return true;
    for (const manifestDigest of manifestDigests) {
      if ((await this.#filesOf(manifestDigest)).has(digest)) return true;
    }
    return false;
  }

  async #filesOf(manifestDigest: string): Promise<ReadonlySet<string>> {
    const known = this.#filesOfCheckpoint.get(manifestDigest);
    if (known !== undefined) return known;
    const listed = await readManifest(this.blobs, manifestDigest);
    if (listed === null) return new Set();
    const files = new Set(listed.map((file) => file.digest));
    this.#filesOfCheckpoint.set(manifestDigest, files);
    if (this.#filesOfCheckpoint.size > MANIFESTS_REMEMBERED_MAX) {
      this.#filesOfCheckpoint.delete(this.#filesOfCheckpoint.keys().next().value!);
    }
    return files;
  }

  /** Null for everything that is no token of a member of the fleet. */
  async #claimsOf(header: string | undefined): Promise<Claims | null> {
    const match = /^bearer +([\w.-]+) *$/i.exec(header ?? '');
    if (match === null || match[1]!.length > TOKEN_CHARACTERS_MAX) return null;
    const claims = await this.#verify(match[1]!);
    if (claims === null) return null;
    const cluster = await this.store.read.clusters.find({ id: claims.sub });
    return cluster !== null && isMember(cluster.phase) ? claims : null;
  }

  /** Which artifacts lead to the version was decided when the token was signed, and never changes. */
  async #isOfArtifact({ art = [] }: Claims, digest: string): Promise<boolean> {
    for (const id of art) {
      const artifact = await this.store.read.artifacts.find(id);
      if (artifact?.phase === 'Ready' && artifact.files.some(({ blobDigest }) => blobDigest === digest)) return true;
    }
    return false;
  }

  async #grant(clusterId: string, listed: Pick<Claims, 'ver' | 'art'>): Promise<BlobGrant> {
    return {
      url: `${this.address.url}/api/v1/blobs`,
      token: await this.#sign(clusterId, AUDIENCE, listed),
      expiresInSeconds: BLOB_TOKEN_SECONDS,
      verifyingKey: this.secrets.blobVerifyingKey.export({ type: 'spki', format: 'pem' }).toString(),
    };
  }

  async #sign(clusterId: string, audience: string, listed: Pick<Claims, 'ver' | 'art'>): Promise<string> {
    const nowSeconds = Math.floor((await this.store.read.clock.nowMs()) / 1_000);
    return new SignJWT(listed)
      .setProtectedHeader({ alg: 'EdDSA' })
      .setSubject(clusterId)
      .setAudience(audience)
      .setIssuedAt(nowSeconds)
      .setExpirationTime(nowSeconds + BLOB_TOKEN_SECONDS)
      .sign(this.secrets.blobSigningKey);
  }

  async #verify(token: string): Promise<Claims | null> {
    const currentDate = await this.store.read.clock.now();
    try {
      const options = { algorithms: ['EdDSA'], audience: AUDIENCE, requiredClaims: ['exp', 'sub'], currentDate };
      const { payload } = await jwtVerify(token, this.secrets.blobVerifyingKey, options);
      return claimsSchema.safeParse(payload).data ?? null;
    } catch {
      return null; // malformed, foreign, expired: all the same to the caller
    }
  }
}

/** A token of a sync plan is for what it names, and nothing else. */
function isForFetch({ art }: Claims): boolean {
  return art !== undefined;
}
