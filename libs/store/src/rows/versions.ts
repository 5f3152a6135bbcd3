import { In } from 'typeorm';
import { type ModelVersion, RefusedError, refuse, type VersionFile, VersionRows, type VersionSignature } from '#domain';
import { ModelVersionRow } from '../entities/models.ts';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { mustHaveWritten } from './written.ts';

export class PostgresVersionRows extends VersionRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(version: Omit<ModelVersion, 'number'>): Promise<ModelVersion> {
    // A statement of its own: the number below must be read after the lock was waited for.
    const locked = await this.session.write('SELECT FROM models WHERE id = $1 FOR UPDATE', [version.modelId]);
    mustHaveWritten(locked, 'model', version.modelId);
    const [next] = await this.session.rows<{ number: number }>(NEXT_NUMBER, [version.modelId]);
    const numbered = { ...version, number: next!.number };
    await this.session.insert(ModelVersionRow, {
      ...numbered,
      files: [...version.files],
      metadata: { ...version.metadata },
    });
    return numbered;
  }

  async find(
    by: { id: string } | { modelId: string; number: number },
    forUpdate = false,
  ): Promise<ModelVersion | null> {
    if (!isId('id' in by ? by.id : by.modelId)) return null;
    const row = await this.session.findOne(ModelVersionRow, by, forUpdate);
    return row === null ? null : { ...row };
  }

  async findAll(ids: readonly string[]): Promise<ModelVersion[]> {
    if (ids.length === 0) return [];
    return (await this.session.find(ModelVersionRow, { id: In([...ids]) })).map((row) => ({ ...row }));
  }

  async ofModels(modelIds: readonly string[]): Promise<ModelVersion[]> {
    if (modelIds.length === 0) return [];
    return (await this.session.find(ModelVersionRow, { modelId: In([...modelIds]) })).map((row) => ({ ...row }));
  }

  async listOfModel(modelId: string): Promise<ModelVersion[]> {
    if (!isId(modelId)) return [];
    const rows = await this.session.find(ModelVersionRow, { modelId }, { order: { number: 'DESC' } });
    return rows.map((row) => ({ ...row }));
  }

  async publish(
    id: string,
    digest: string,
    files: readonly VersionFile[],
    signature: VersionSignature | null,
  ): Promise<void> {
    const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    const { affected } = await this.session.write(PUBLISH, [
      id,
      digest,
      sizeBytes,
      JSON.stringify(files),
      signature === null ? null : JSON.stringify(signature),
    ]);
    if (affected === 0)
      throw new RefusedError(refuse.conflict('only a version that is being uploaded can be published'));
  }

  async abandon(id: string): Promise<boolean> {
    if (!isId(id)) return false;
    // Waits for a deployment of this version that is being inserted (its foreign key holds a share lock on this row).
    await this.session.write('SELECT FROM model_versions WHERE id = $1 FOR UPDATE', [id]);
    const reason = inUseWords(await this.session.rows<VersionUser>(USERS_OF_VERSION, [id]));
    if (reason !== null) throw new RefusedError(refuse.conflict(reason));
    const { affected } = await this.session.write(
      `UPDATE model_versions SET phase = 'Abandoned' WHERE id = $1 AND phase <> 'Abandoned'`,
      [id],
    );
    return affected === 1;
  }

  async retireUnused(ids: readonly string[]): Promise<string[]> {
    // Waits for a deployment of one of them that is being inserted, and so sees it below.
    await this.session.write('SELECT FROM model_versions WHERE id = ANY($1) ORDER BY id FOR UPDATE', [[...ids]]);
    const { rows } = await this.session.write<{ id: string }>(RETIRE_UNUSED, [[...ids]]);
    return rows.map((row) => row.id);
  }

  async blobDigestsInUse(): Promise<Set<string>> {
    const rows = await this.session.rows<{ digest: string }>(BLOB_DIGESTS_IN_USE);
    return new Set(rows.map((row) => row.digest));
  }

  async abandonUploads(before: Date): Promise<string[]> {
    const { rows } = await this.session.write<{ id: string }>(ABANDON_UPLOADS, [before]);
    return rows.map((row) => row.id);
  }
}

const NEXT_NUMBER = 'SELECT coalesce(max(number), 0) + 1 AS number FROM model_versions WHERE model_id = $1';

const PUBLISH = `
  UPDATE model_versions
  SET phase = 'Published', digest = $2, size_bytes = $3, files = $4::jsonb, signature = $5::jsonb,
    published_at = now()
  WHERE id = $1 AND phase = 'Uploading'`;

interface VersionUser {
  readonly name: string;
  readonly use: 'serves' | 'rollout' | 'job' | 'adapter' | 'rollback';
}

const USE_WORDS: Readonly<Record<VersionUser['use'], (names: string) => string>> = {
  serves: (names) => `the version is used by deployment ${names}; move or delete it first`,
  rollout: (names) => `the version is in the rollout of deployment ${names}; wait until that is over`,
  job: (names) => `the version is mounted by job ${names}; wait until that is over or cancel it`,
  adapter: (names) => `the version is an adapter of deployment ${names}; take it away there first`,
  rollback: (names) =>
    `the version is what deployment ${names} would be rolled back to; bring it to another version or delete it first`,
};

/** Null: nobody uses it. What stands most in the way is named first. */
function inUseWords(users: readonly VersionUser[]): string | null {
  const [first] = users;
  if (first === undefined) return null;
  const names = users.filter(({ use }) => use === first.use).map(({ name }) => `"${name}"`);
  return USE_WORDS[first.use](names.join(', '));
}

/** Rollouts `rollout` of whose deployment a rollback, asked for without a number, goes to their `from_version_id`. */
const LED_TO_THE_PRESENT = `
  rollout.phase = 'Completed'
  AND EXISTS (
    SELECT FROM deployments led WHERE led.id = rollout.deployment_id AND led.version_id = rollout.to_version_id)
  AND NOT EXISTS (
    SELECT FROM rollouts newer
    WHERE newer.deployment_id = rollout.deployment_id AND newer.to_version_id = rollout.to_version_id
      AND newer.phase = 'Completed' AND newer.id > rollout.id)`;

const HAS_ADAPTER = (versionId: string) =>
  `serving -> 'adapters' @> jsonb_build_array(jsonb_build_object('versionId', ${versionId}::uuid))`;

const USERS_OF_VERSION = `
  SELECT name, use FROM (
    SELECT name, CASE
      WHEN version_id = $1 OR EXISTS (
        SELECT FROM placements p WHERE p.deployment_id = d.id AND p.version_id = $1 AND p.phase <> 'Removed')
        THEN 'serves'
      WHEN EXISTS (
        SELECT FROM rollouts rollout
        WHERE rollout.deployment_id = d.id AND rollout.phase IN ('Progressing', 'Paused')
          AND $1 IN (rollout.from_version_id, rollout.to_version_id))
        THEN 'rollout'
      WHEN deleted_at IS NULL AND EXISTS (
        SELECT FROM rollouts rollout
        WHERE rollout.deployment_id = d.id AND rollout.from_version_id = $1 AND ${LED_TO_THE_PRESENT})
        THEN 'rollback'
    END AS use
    FROM deployments d WHERE model_id = (SELECT model_id FROM model_versions WHERE id = $1)
    UNION ALL
    SELECT job.name, 'job' FROM job_mounts mount JOIN jobs job ON job.id = mount.job_id
    WHERE mount.version_id = $1 AND job.expires_at IS NULL
    UNION ALL
    SELECT name, 'adapter' FROM deployments WHERE ${HAS_ADAPTER('$1')}
  ) users
  WHERE use IS NOT NULL
  ORDER BY array_position(ARRAY['serves', 'rollout', 'job', 'adapter', 'rollback'], use), name LIMIT 20`;

const ABANDON_UPLOADS = `
  UPDATE model_versions SET phase = 'Abandoned' WHERE phase = 'Uploading' AND created_at < $1 RETURNING id`;

const RETIRE_UNUSED = `
  UPDATE model_versions version SET phase = 'Retired'
  WHERE id = ANY($1) AND phase = 'Published'
    AND NOT EXISTS (
      SELECT FROM deployments deployment
      WHERE deployment.version_id = version.id OR ${HAS_ADAPTER('version.id')})
    AND NOT EXISTS (
      SELECT FROM placements placement WHERE placement.version_id = version.id AND placement.phase <> 'Removed')
    AND NOT EXISTS (
      SELECT FROM job_mounts mount JOIN jobs job ON job.id = mount.job_id
      WHERE mount.version_id = version.id AND job.expires_at IS NULL)
    AND NOT EXISTS (SELECT FROM model_aliases alias WHERE alias.version_id = version.id)
    AND NOT EXISTS (
      SELECT FROM rollouts rollout
      WHERE version.id IN (rollout.from_version_id, rollout.to_version_id)
        AND NOT EXISTS (
          SELECT FROM rollouts newer WHERE newer.deployment_id = rollout.deployment_id AND newer.id > rollout.id))
    AND NOT EXISTS (
      SELECT FROM rollouts rollout WHERE version.id = rollout.from_version_id AND ${LED_TO_THE_PRESENT})
    AND NOT EXISTS (
      SELECT FROM observations observation
      JOIN clusters cluster ON cluster.id = observation.cluster_id AND cluster.phase <> 'Left',
        jsonb_array_elements(observation.report -> 'versions') held
      WHERE held ->> 'digest' = version.digest)
    AND NOT EXISTS (
      SELECT FROM desired_states desired
      JOIN clusters cluster ON cluster.id = desired.cluster_id AND cluster.phase <> 'Left',
        jsonb_array_elements(desired.versions) wanted
      WHERE wanted ->> 'digest' = version.digest)
  RETURNING id`;

const BLOB_DIGESTS_IN_USE = `
  SELECT file ->> 'digest' AS digest
  FROM model_versions, jsonb_array_elements(files) file WHERE phase IN ('Uploading', 'Published')
  UNION
  SELECT file ->> 'blobDigest' FROM version_artifacts, jsonb_array_elements(files) file
  UNION
  SELECT digest FROM job_blobs
  UNION
  SELECT manifest.digest
  FROM jobs, LATERAL (VALUES (checkpoint ->> 'manifestDigest'), (output_digest)) manifest (digest)
  WHERE manifest.digest IS NOT NULL`;
