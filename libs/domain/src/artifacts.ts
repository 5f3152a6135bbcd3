/**
 * Encodings of versions, kept in the registry so that clusters need not fetch whole files.
 *
 * An artifact makes version `versionId` from `baseVersionId` (a diff), or from nothing (a snapshot). It lists one entry
 * for each file of the version that its base does not have already; a file that no codec makes smaller is its own
 * encoding (`whole`). Artifacts can always be made again: losing one costs time, never truth.
 */

/** fast: grouped, for fast links; small: coded and predicted, for slow ones; snapshot: needs no base. */
export const ARTIFACT_PROFILES = ['fast', 'small', 'snapshot'] as const;
export type ArtifactProfile = (typeof ARTIFACT_PROFILES)[number];

/** Wanted → Making → Ready | Failed. A Making one whose maker died is Wanted again. */
export const ARTIFACT_PHASES = ['Wanted', 'Making', 'Ready', 'Failed'] as const;
export type ArtifactPhase = (typeof ARTIFACT_PHASES)[number];

export const FILE_ENCODINGS = ['diff', 'snapshot', 'whole'] as const;
export type FileEncoding = (typeof FILE_ENCODINGS)[number];

export interface ArtifactFile {
  /** SHA-256 of the file that it makes. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly encoding: FileEncoding;
  /** SHA-256 of the file that a `diff` is applied to; null for the others. */
  readonly baseDigest: string | null;
  /** The blob to fetch: for `whole` the file itself. */
  readonly blobDigest: string;
  readonly blobBytes: number;
}

export interface VersionArtifact {
  readonly id: string;
  readonly tenantId: string;
  readonly modelId: string;
  readonly versionId: string;
  /** Null for a snapshot. */
  readonly baseVersionId: string | null;
  readonly profile: ArtifactProfile;
  readonly phase: ArtifactPhase;
  /** Empty until Ready. */
  readonly files: readonly ArtifactFile[];
  /** Bytes to transfer: the sum of `blobBytes`; 0 until Ready. */
  readonly bytes: number;
  /** Why it Failed; empty otherwise. */
  readonly reason: string;
  readonly wantedAt: Date;
  readonly readyAt: Date | null;
  /** When a plan last used it; retention removes those unused for long. */
  readonly usedAt: Date;
}
