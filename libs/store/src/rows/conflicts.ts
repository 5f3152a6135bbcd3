import { type ClusterConflict, ConflictRows } from '#domain';
import { storableJson } from '../canonical.ts';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { columnParts } from './columns.ts';

const COLUMNS = columnParts<ClusterConflict>({
  id: 'uuid',
  tenantId: 'uuid',
  clusterId: 'uuid',
  kind: 'text',
  subject: 'text',
  message: 'text',
  resolution: 'text',
  revision: 'bigint',
  openedAt: 'timestamptz',
  resolvedAt: 'timestamptz',
});

export class PostgresConflictRows extends ConflictRows {
  constructor(private readonly session: Session) {
    super();
  }

  async open(conflicts: readonly ClusterConflict[]): Promise<ClusterConflict[]> {
    if (conflicts.length === 0) return [];
    const { rows } = await this.session.write<{ id: string }>(OPEN_ALL, [storableJson(conflicts)]);
    const opened = new Set(rows.map(({ id }) => id));
    return conflicts.filter(({ id }) => opened.has(id));
  }

  async resolve(id: string, resolution: string, at: Date): Promise<boolean> {
    return (await this.session.write(RESOLVE, [id, resolution, at])).affected === 1;
  }

  async drop(id: string): Promise<void> {
    await this.session.write('DELETE FROM cluster_conflicts WHERE id = $1', [id]);
  }

  async allOpen(): Promise<ClusterConflict[]> {
    return this.session.rows<ClusterConflict>(ALL_OPEN);
  }

  async ofCluster(clusterId: string, limit: number): Promise<ClusterConflict[]> {
    return isId(clusterId) ? this.session.rows<ClusterConflict>(OF_CLUSTER, [clusterId, limit]) : [];
  }

  async removeResolvedBefore(before: Date): Promise<number> {
    return (await this.session.write(REMOVE_OVER, [before])).affected;
  }
}

const OPEN_ALL = `
  INSERT INTO cluster_conflicts (${COLUMNS.names})
  SELECT ${COLUMNS.given} FROM jsonb_to_recordset($1::jsonb) AS conflict (${COLUMNS.recordset})
  ON CONFLICT (cluster_id, kind, subject) WHERE resolved_at IS NULL DO NOTHING
  RETURNING id`;

const RESOLVE = `
  UPDATE cluster_conflicts SET resolution = $2, resolved_at = $3 WHERE id = $1 AND resolved_at IS NULL`;

const REMOVE_OVER = `
  DELETE FROM cluster_conflicts
  WHERE resolved_at < $1 OR cluster_id IN (SELECT id FROM clusters WHERE phase = 'Left')`;

const ALL_OPEN = `
  SELECT ${COLUMNS.selected} FROM cluster_conflicts
  WHERE resolved_at IS NULL AND cluster_id IN (SELECT id FROM clusters WHERE phase <> 'Left') ORDER BY id`;

const OF_CLUSTER = `
  SELECT ${COLUMNS.selected} FROM cluster_conflicts WHERE cluster_id = $1
  ORDER BY resolved_at DESC NULLS FIRST, id DESC LIMIT $2`;
