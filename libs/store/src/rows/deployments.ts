import { type Deployment, DeploymentRows, type PageRequest, RefusedError, refuse } from '#domain';
import { DeploymentRow } from '../entities/deployments.ts';
import { isId, pageWhere } from '../paging.ts';
import type { Session } from '../session.ts';

type Change = Parameters<DeploymentRows['update']>[2];

export class PostgresDeploymentRows extends DeploymentRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(deployment: Deployment): Promise<void> {
    await this.session.insert(DeploymentRow, deployment);
  }

  async find(by: { id: string } | { tenantId: string; name: string }, forUpdate = false): Promise<Deployment | null> {
    if ('id' in by && !isId(by.id)) return null;
    const row = await this.session.findOne(DeploymentRow, by, forUpdate);
    return row === null ? null : { ...row };
  }

  async list(page: PageRequest): Promise<Deployment[]> {
    const rows = await this.session.find(DeploymentRow, pageWhere<DeploymentRow>(page), {
      order: { id: 'ASC' },
      limit: page.limit,
    });
    return rows.map((row) => ({ ...row }));
  }

  async all(): Promise<Deployment[]> {
    return (await this.session.find(DeploymentRow, {}, { order: { id: 'ASC' } })).map((row) => ({ ...row }));
  }

  async update(id: string, revision: number, change: Change): Promise<boolean> {
    const { affected } = await this.session.write(UPDATE_IF_REVISION, [
      id,
      revision,
      change.replicas ?? null,
      change.versionId ?? null,
      change.selector === undefined ? null : JSON.stringify(change.selector),
      change.disconnect === undefined ? null : JSON.stringify(change.disconnect),
      change.deletedAt !== undefined,
      change.deletedAt ?? null,
      change.alias !== undefined,
      change.alias ?? null,
      change.rollout === undefined ? null : JSON.stringify(change.rollout),
      change.queueId ?? null,
      change.priorityClass ?? null,
      change.priority ?? null,
      change.serving === undefined ? null : JSON.stringify(change.serving),
      change.spread !== undefined,
      change.spread == null ? null : JSON.stringify(change.spread),
    ]);
    return affected === 1;
  }

  async remove(id: string): Promise<void> {
    await this.session.write('SELECT FROM deployments WHERE id = $1 FOR UPDATE', [id]);
    const [live] = await this.session.rows<{ count: number }>(COUNT_LIVE, [id]);
    if (live!.count > 0) {
      throw new RefusedError(refuse.conflict(`${live!.count} replica(s) of the deployment are not removed yet`));
    }
    await this.session.write('DELETE FROM decisions WHERE subject_id = $1', [id]);
    await this.session.write('DELETE FROM deployments WHERE id = $1', [id]);
  }
}

// $7, $9 and $16 tell "set to null" from "leave alone", which only these columns need.
const UPDATE_IF_REVISION = `
  UPDATE deployments SET
    replicas = coalesce($3, replicas),
    version_id = coalesce($4, version_id),
    selector = coalesce($5::jsonb, selector),
    disconnect = coalesce($6::jsonb, disconnect),
    deleted_at = CASE WHEN $7 THEN $8::timestamptz ELSE deleted_at END,
    alias = CASE WHEN $9 THEN $10 ELSE alias END,
    rollout = coalesce($11::jsonb, rollout),
    queue_id = coalesce($12, queue_id),
    priority_class = coalesce($13, priority_class),
    priority = coalesce($14, priority),
    serving = coalesce($15::jsonb, serving),
    spread = CASE WHEN $16 THEN $17::jsonb ELSE spread END,
    revision = revision + 1
  WHERE id = $1 AND revision = $2`;

const COUNT_LIVE = `
  SELECT count(*)::integer AS count FROM placements WHERE deployment_id = $1 AND phase <> 'Removed'`;
