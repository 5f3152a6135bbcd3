import { DesiredRows, type DesiredState, StaleEpochError } from '#domain';
import { contentHash } from '../canonical.ts';
import { DesiredStateRow } from '../entities/observed.ts';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { mustHaveWritten } from './written.ts';

export class PostgresDesiredRows extends DesiredRows {
  constructor(private readonly session: Session) {
    super();
  }

  async find(clusterId: string): Promise<DesiredState | null> {
    if (!isId(clusterId)) return null;
    const row = await this.session.findOne(DesiredStateRow, { clusterId });
    return row === null ? null : fromRow(row);
  }

  async revisions(): Promise<{ clusterId: string; epoch: number; revision: number }[]> {
    const rows = await this.session.rows<{ cluster_id: string; epoch: string; revision: string }>(REVISIONS_PRESENT);
    return rows.map((row) => ({
      clusterId: row.cluster_id,
      epoch: Number(row.epoch),
      revision: Number(row.revision),
    }));
  }

  /** Throws StaleEpochError when the stored document is of a newer epoch; the order of the arrays does not count. */
  async put(
    clusterId: string,
    epoch: number,
    content: Pick<DesiredState, 'versions' | 'replicas' | 'tasks'>,
  ): Promise<{ state: DesiredState; changed: boolean }> {
    const versions = [...content.versions].sort((left, right) => (left.versionId < right.versionId ? -1 : 1));
    const replicas = [...content.replicas].sort((left, right) => (left.replicaId < right.replicaId ? -1 : 1));
    const tasks = [...content.tasks].sort((left, right) => (left.taskId < right.taskId ? -1 : 1));
    // Without tasks the hash is that of a document from before there were any: an upgrade changes no document.
    const hash = contentHash({ versions, replicas, tasks: tasks.length === 0 ? undefined : tasks });
    const { rows } = await this.session.write<{ revision: string }>(PUT_IF_CHANGED, [
      clusterId,
      epoch,
      hash,
      JSON.stringify(versions),
      JSON.stringify(replicas),
      JSON.stringify(tasks),
    ]);
    if (rows[0] !== undefined) {
      const revision = Number(rows[0].revision);
      return { state: { clusterId, epoch, revision, versions, replicas, tasks }, changed: true };
    }
    const stored = await this.session.findOne(DesiredStateRow, { clusterId });
    if (stored === null) mustHaveWritten({ rows: [], affected: 0 }, 'cluster', clusterId);
    if (stored!.epoch > epoch) throw new StaleEpochError(epoch, stored!.epoch);
    return { state: fromRow(stored!), changed: false };
  }

  async raise(clusterId: string, revision: number): Promise<void> {
    mustHaveWritten(await this.session.write(RAISE, [clusterId, revision]), 'cluster', clusterId);
  }
}

// No content has an empty hash: what is put next differs from it.
const RAISE = `
  INSERT INTO desired_states
    (cluster_id, tenant_id, epoch, revision, content_hash, versions, replicas, tasks, updated_at)
  SELECT id, tenant_id, 0, $2, '', '[]', '[]', '[]', now() FROM clusters WHERE id = $1
  ON CONFLICT (cluster_id) DO UPDATE SET
    revision = greatest(desired_states.revision, excluded.revision), content_hash = ''`;

const REVISIONS_PRESENT = `
  SELECT cluster_id, epoch, desired_states.revision FROM desired_states JOIN clusters ON clusters.id = cluster_id
  WHERE clusters.phase <> 'Left' ORDER BY cluster_id`;

const PUT_IF_CHANGED = `
  INSERT INTO desired_states
    (cluster_id, tenant_id, epoch, revision, content_hash, versions, replicas, tasks, updated_at)
  SELECT id, tenant_id, $2, 1, $3, $4::jsonb, $5::jsonb, $6::jsonb, now() FROM clusters WHERE id = $1
  ON CONFLICT (cluster_id) DO UPDATE SET
    epoch = excluded.epoch, revision = desired_states.revision + 1, content_hash = excluded.content_hash,
    versions = excluded.versions, replicas = excluded.replicas, tasks = excluded.tasks,
    updated_at = excluded.updated_at
  WHERE desired_states.content_hash <> excluded.content_hash AND desired_states.epoch <= excluded.epoch
  RETURNING revision`;

function fromRow(row: DesiredStateRow): DesiredState {
  const { clusterId, epoch, revision, versions, replicas, tasks } = row;
  return { clusterId, epoch, revision, versions, replicas, tasks };
}
