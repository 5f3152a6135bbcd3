import { In } from 'typeorm';
import { type ClusterReport, type NewObservation, type Observation, ObservationRows } from '#domain';
import { contentHash, storableJson } from '../canonical.ts';
import { ObservationRow } from '../entities/observed.ts';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { INSTALLATION_NOW } from '../timed-ids.ts';
import { mustHaveWritten } from './written.ts';

export class PostgresObservationRows extends ObservationRows {
  constructor(private readonly session: Session) {
    super();
  }

  async find(clusterId: string, forUpdate = false): Promise<Observation | null> {
    if (!isId(clusterId)) return null;
    // Before the first report there is no row to lock.
    if (forUpdate) await this.session.write(LOCK_CLUSTER_REPORTS, [clusterId]);
    const row = await this.session.findOne(ObservationRow, { clusterId });
    return row === null ? null : fromRow(row);
  }

  async upsert(observation: NewObservation): Promise<void> {
    const written = await this.session.write(UPSERT, [
      observation.clusterId,
      storableJson(observation.report),
      contentHash(contentOf(observation.report)),
      JSON.stringify(observation.replacedBoots),
      observation.receivedAt ?? null,
    ]);
    mustHaveWritten(written, 'cluster', observation.clusterId);
  }

  async findAll(clusterIds: readonly string[], parts: 'all' | 'without-tasks' = 'all'): Promise<Observation[]> {
    if (clusterIds.length === 0) return [];
    if (parts === 'without-tasks') return this.session.rows<Observation>(WITHOUT_TASKS, [[...clusterIds]]);
    return (await this.session.find(ObservationRow, { clusterId: In([...clusterIds]) })).map(fromRow);
  }

  async receivedAt(clusterIds: readonly string[]): Promise<Map<string, Date>> {
    const rows = await this.session.rows<{ id: string; at: Date }>(RECEIVED_AT, [[...clusterIds]]);
    return new Map(rows.map(({ id, at }) => [id, at]));
  }

  async all(): Promise<Observation[]> {
    return this.session.rows<Observation>(ALL_PRESENT);
  }
}

const LOCK_CLUSTER_REPORTS = `SELECT pg_advisory_xact_lock(hashtextextended('observation ' || $1, 0))`;

const RECEIVED_AT = `SELECT cluster_id AS id, received_at AS at FROM observations WHERE cluster_id = ANY ($1::uuid[])`;

const WITHOUT_TASKS = `
  SELECT cluster_id AS "clusterId", report - 'tasks' AS report, replaced_boots AS "replacedBoots",
    received_at AS "receivedAt"
  FROM observations WHERE cluster_id = ANY ($1::uuid[])`;

const ALL_PRESENT = `
  SELECT cluster_id AS "clusterId", report, replaced_boots AS "replacedBoots", received_at AS "receivedAt"
  FROM observations JOIN clusters ON clusters.id = cluster_id
  WHERE clusters.phase <> 'Left' ORDER BY cluster_id`;

const UPSERT = `
  INSERT INTO observations (cluster_id, tenant_id, report, content_hash, replaced_boots, received_at)
  SELECT id, tenant_id, $2::jsonb, $3, $4::jsonb, coalesce($5, ${INSTALLATION_NOW}) FROM clusters WHERE id = $1
  ON CONFLICT (cluster_id) DO UPDATE SET
    report = excluded.report, content_hash = excluded.content_hash,
    replaced_boots = excluded.replaced_boots, received_at = excluded.received_at`;

/** What wakes listeners when it changes: all of a report but its sequence and what ever moves while all is well. */
function contentOf(report: ClusterReport): unknown {
  const nodes = report.nodes.map((node) => ({
    ...node,
    devices: node.devices.map((device) => ({ ...device, utilisation: undefined })),
  }));
  const tasks = report.tasks?.map((task) => ({ ...task, ranSeconds: undefined, progress: undefined }));
  return { ...report, sequence: undefined, nodes, tasks };
}

function fromRow(row: ObservationRow): Observation {
  const { clusterId, report, replacedBoots, receivedAt } = row;
  return { clusterId, report, replacedBoots, receivedAt };
}
