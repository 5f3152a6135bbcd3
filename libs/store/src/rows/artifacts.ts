import { v7 as uuidv7 } from 'uuid';
import { ArtifactRows, type VersionArtifact } from '#domain';
import { VersionArtifactRow } from '../entities/artifacts.ts';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';

export class PostgresArtifactRows extends ArtifactRows {
  constructor(private readonly session: Session) {
    super();
  }

  async want(
    artifact: Pick<VersionArtifact, 'tenantId' | 'modelId' | 'versionId' | 'baseVersionId' | 'profile'>,
  ): Promise<VersionArtifact> {
    const { tenantId, modelId, versionId, baseVersionId, profile } = artifact;
    const key = [versionId, baseVersionId, profile];
    await this.session.write(WANT, [uuidv7(), tenantId, modelId, ...key]);
    await this.session.write(WANT_AGAIN, key);
    const { rows } = await this.session.write<{ id: string }>(FIND_BY_KEY, key);
    return (await this.find(rows[0]!.id))!;
  }

  async take(): Promise<VersionArtifact | null> {
    const { rows } = await this.session.write<{ id: string }>(TAKE);
    return rows[0] === undefined ? null : this.find(rows[0].id);
  }

  async finish(id: string, files: VersionArtifact['files']): Promise<boolean> {
    const bytes = files.reduce((sum, file) => sum + file.blobBytes, 0);
    return (await this.session.write(FINISH, [id, JSON.stringify(files), bytes])).affected === 1;
  }

  async fail(id: string, reason: string): Promise<void> {
    await this.session.write(FAIL, [id, reason]);
  }

  async giveBack(before: Date): Promise<number> {
    return (await this.session.write(GIVE_BACK, [before])).affected;
  }

  async find(id: string): Promise<VersionArtifact | null> {
    if (!isId(id)) return null;
    const row = await this.session.findOne(VersionArtifactRow, { id });
    return row === null ? null : fromRow(row);
  }

  async ofModel(modelId: string): Promise<VersionArtifact[]> {
    if (!isId(modelId)) return [];
    return (await this.session.find(VersionArtifactRow, { modelId })).map(fromRow);
  }

  async touch(ids: readonly string[]): Promise<void> {
    await this.session.write('UPDATE version_artifacts SET used_at = now() WHERE id = ANY($1)', [[...ids]]);
  }

  async removeStale(before: Date): Promise<number> {
    return (await this.session.write(REMOVE_STALE, [before])).affected;
  }
}

function fromRow({ makingSince: _, ...row }: VersionArtifactRow): VersionArtifact {
  return { ...row };
}

const WANT = `
  INSERT INTO version_artifacts
    (id, tenant_id, model_id, version_id, base_version_id, profile, phase, files, bytes, reason, wanted_at, used_at)
  VALUES ($1, $2, $3, $4, $5, $6, 'Wanted', '[]', 0, '', now(), now())
  ON CONFLICT DO NOTHING`;

const SAME_KEY = 'version_id = $1 AND base_version_id IS NOT DISTINCT FROM $2::uuid AND profile = $3';

const WANT_AGAIN = `
  UPDATE version_artifacts SET phase = 'Wanted', reason = '', wanted_at = now()
  WHERE ${SAME_KEY} AND phase = 'Failed'`;

const FIND_BY_KEY = `SELECT id FROM version_artifacts WHERE ${SAME_KEY}`;

// The id breaks ties: those wanted in one transaction have one time, and were made in the order of their ids.
const TAKE = `
  UPDATE version_artifacts SET phase = 'Making', making_since = now()
  WHERE id = (
    SELECT id FROM version_artifacts WHERE phase = 'Wanted'
    ORDER BY wanted_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
  RETURNING id`;

const FINISH = `
  UPDATE version_artifacts
  SET phase = 'Ready', files = $2::jsonb, bytes = $3, ready_at = now(), used_at = now(), making_since = NULL
  WHERE id = $1 AND phase = 'Making'`;

const FAIL = `
  UPDATE version_artifacts SET phase = 'Failed', reason = $2, making_since = NULL WHERE id = $1 AND phase = 'Making'`;

const GIVE_BACK = `
  UPDATE version_artifacts SET phase = 'Wanted', making_since = NULL WHERE phase = 'Making' AND making_since < $1`;

const REMOVE_STALE = `
  DELETE FROM version_artifacts artifact
  WHERE NOT EXISTS (SELECT FROM model_versions version WHERE version.id = artifact.version_id AND phase = 'Published')
    OR (base_version_id IS NOT NULL AND (
      used_at < $1
      OR NOT EXISTS (
        SELECT FROM model_versions base WHERE base.id = artifact.base_version_id AND base.phase = 'Published')))`;
