/** Admin API: models, versions and their upload. */

import { z } from 'zod';
import { ARTIFACT_PHASES, ARTIFACT_PROFILES, DEFAULT_MODEL_POLICY, VERSION_PHASES } from '#domain';
import {
  cronSchema,
  digestSchema,
  idSchema,
  nameSchema,
  versionFileSchema,
  versionSignatureSchema,
} from '../primitives.ts';

export const VERSION_FILES_MAX = 10_000;
export const FILE_BYTES_MAX = 4 * 1024 ** 4;

export const METADATA_ENTRIES_MAX = 64;

/** See ModelPolicy of the domain. */
export const modelPolicySchema = z.strictObject({
  snapshotCron: cronSchema.default(DEFAULT_MODEL_POLICY.snapshotCron),
  keepVersions: z.int().min(1).max(10_000).default(DEFAULT_MODEL_POLICY.keepVersions),
  keepDays: z.int().min(0).max(36_500).default(DEFAULT_MODEL_POLICY.keepDays),
});

/** `POST /api/v1/models` */
export const createModelSchema = z.strictObject({
  name: nameSchema,
  policy: modelPolicySchema.default(DEFAULT_MODEL_POLICY),
});

/** `PATCH /api/v1/models/{model}`: what is left out stays. */
export const updateModelSchema = z.strictObject({
  policy: z.strictObject({
    snapshotCron: cronSchema.optional(),
    keepVersions: z.int().min(1).max(10_000).optional(),
    keepDays: z.int().min(0).max(36_500).optional(),
  }),
});
export type UpdateModel = z.input<typeof updateModelSchema>;

export const modelSchema = z.object({
  id: idSchema,
  name: nameSchema,
  policy: modelPolicySchema,
  createdAt: z.iso.datetime(),
  revision: z.int(),
});
export type ModelDto = z.infer<typeof modelSchema>;

/** `POST /api/v1/models/{model}/versions`: begins an upload. A given digest is checked when the file is complete. */
export const createVersionSchema = z.strictObject({
  files: z
    .array(
      z.strictObject({
        path: z.string().min(1).max(255),
        sizeBytes: z.int().min(0).max(FILE_BYTES_MAX),
        digest: digestSchema.optional(),
      }),
    )
    .min(1)
    .max(VERSION_FILES_MAX),
  notes: z.string().max(4_000).default(''),
  /** Number of the version that this one was made from; default: the newest published one. */
  parent: z.int().min(1).optional(),
  metadata: z
    .record(z.string().min(1).max(63), z.string().max(1_000))
    .refine((entries) => Object.keys(entries).length <= METADATA_ENTRIES_MAX, `at most ${METADATA_ENTRIES_MAX} entries`)
    .default({}),
});
export type CreateVersion = z.input<typeof createVersionSchema>;

/** `POST /api/v1/models/{model}/versions/{number}/publish`; the body may be left out. */
export const publishVersionSchema = z.strictObject({
  /** Over `signedText` of the digest that the files will have; refused when it does not verify. */
  signature: versionSignatureSchema.optional(),
});
export type PublishVersion = z.input<typeof publishVersionSchema>;

export const versionSchema = z.object({
  id: idSchema,
  model: nameSchema,
  number: z.int(),
  parent: z.int().nullable(),
  metadata: z.record(z.string(), z.string()),
  signature: versionSignatureSchema.nullable(),
  /** Names that point at this version now. */
  aliases: z.array(nameSchema),
  phase: z.enum(VERSION_PHASES),
  digest: digestSchema.nullable(),
  sizeBytes: z.int(),
  /** Digests are null in a file that is not complete yet. */
  files: z.array(versionFileSchema.extend({ digest: digestSchema.nullable(), receivedBytes: z.int() })),
  notes: z.string(),
  createdAt: z.iso.datetime(),
  publishedAt: z.iso.datetime().nullable(),
});
export type VersionDto = z.infer<typeof versionSchema>;

/** `PUT /api/v1/models/{model}/aliases/{alias}` */
export const moveAliasSchema = z.strictObject({ version: z.int().min(1) });

export const aliasSchema = z.object({
  name: nameSchema,
  version: z.int(),
  versionDigest: digestSchema,
  movedAt: z.iso.datetime(),
  /** Newest first, at most 50. `from` null: made; `to` null: removed. */
  history: z.array(
    z.object({ from: z.int().nullable(), to: z.int().nullable(), actor: z.string(), at: z.iso.datetime() }),
  ),
});
export type AliasDto = z.infer<typeof aliasSchema>;

/** `POST /api/v1/models/{model}/artifacts`: have an encoding made now. `base` null: a snapshot. */
export const wantArtifactSchema = z.strictObject({
  version: z.int().min(1),
  base: z.int().min(1).nullable(),
  profile: z.enum(['fast', 'small']).default('fast'),
});
export type WantArtifact = z.input<typeof wantArtifactSchema>;

export const artifactSchema = z.object({
  id: idSchema,
  version: z.int(),
  base: z.int().nullable(),
  profile: z.enum(ARTIFACT_PROFILES),
  phase: z.enum(ARTIFACT_PHASES),
  /** 0 until Ready. */
  bytes: z.int(),
  /** Of the whole version; null until Ready. */
  percent: z.number().nullable(),
  reason: z.string(),
  wantedAt: z.iso.datetime(),
  readyAt: z.iso.datetime().nullable(),
});
export type ArtifactDto = z.infer<typeof artifactSchema>;
