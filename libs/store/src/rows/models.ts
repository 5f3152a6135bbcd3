import { In } from 'typeorm';
import { type Model, ModelRows, type PageRequest, RefusedError, refuse } from '#domain';
import { ModelRow } from '../entities/models.ts';
import { isId, pageWhere } from '../paging.ts';
import type { Session } from '../session.ts';

export class PostgresModelRows extends ModelRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(model: Model): Promise<void> {
    await this.session.insert(ModelRow, model);
  }

  async find(by: { id: string } | { tenantId: string; name: string }): Promise<Model | null> {
    if ('id' in by && !isId(by.id)) return null;
    const row = await this.session.findOne(ModelRow, by);
    return row === null ? null : { ...row };
  }

  async list(page: PageRequest): Promise<Model[]> {
    const rows = await this.session.find(ModelRow, pageWhere<ModelRow>(page), {
      order: { id: 'ASC' },
      limit: page.limit,
    });
    return rows.map((row) => ({ ...row }));
  }

  async findAll(ids: readonly string[]): Promise<Model[]> {
    if (ids.length === 0) return [];
    return (await this.session.find(ModelRow, { id: In([...ids]) })).map((row) => ({ ...row }));
  }

  async all(): Promise<Model[]> {
    return (await this.session.find(ModelRow, {}, { order: { id: 'ASC' } })).map((row) => ({ ...row }));
  }

  async update(id: string, revision: number, change: Pick<Model, 'policy'>): Promise<boolean> {
    const { affected } = await this.session.write(UPDATE_IF_REVISION, [id, revision, JSON.stringify(change.policy)]);
    return affected === 1;
  }

  async remove(id: string): Promise<boolean> {
    if (!isId(id)) return false;
    // Waits for a job that mounts one of them and is being inserted, and so sees it below.
    await this.session.write('SELECT FROM model_versions WHERE model_id = $1 ORDER BY id FOR UPDATE', [id]);
    const [job] = await this.session.rows<{ name: string }>(ACTIVE_JOB_OF_MODEL, [id]);
    if (job !== undefined) {
      throw new RefusedError(
        refuse.conflict(`the model is used by job "${job.name}"; wait until that is over or cancel it`),
      );
    }
    return (await this.session.write('DELETE FROM models WHERE id = $1', [id])).affected === 1;
  }
}

const UPDATE_IF_REVISION = `
  UPDATE models SET policy = $3::jsonb, revision = revision + 1 WHERE id = $1 AND revision = $2`;

const ACTIVE_JOB_OF_MODEL = `
  SELECT job.name FROM job_mounts mount
  JOIN model_versions version ON version.id = mount.version_id
  JOIN jobs job ON job.id = mount.job_id
  WHERE version.model_id = $1 AND job.expires_at IS NULL
  ORDER BY job.name LIMIT 1`;
