import { type Placement, type PlacementPhase, PlacementRows } from '#domain';
import type { Session } from '../session.ts';

type StoredPlacement = Omit<Placement, 'epoch'> & { readonly epoch: string };

export class PostgresPlacementRows extends PlacementRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(placements: readonly Placement[]): Promise<void> {
    if (placements.length > 0) await this.session.write(INSERT_ALL, [JSON.stringify(placements)]);
  }

  async move(ids: readonly string[], phase: PlacementPhase, reason: string): Promise<void> {
    if (ids.length > 0) await this.session.write(MOVE_ALL, [[...ids], phase, reason]);
  }

  async live(by?: { deploymentId: string } | { clusterId: string }): Promise<Placement[]> {
    const deploymentId = by !== undefined && 'deploymentId' in by ? by.deploymentId : null;
    const clusterId = by !== undefined && 'clusterId' in by ? by.clusterId : null;
    const rows = await this.session.rows<StoredPlacement>(LIVE, [deploymentId, clusterId]);
    return rows.map((row) => ({ ...row, epoch: Number(row.epoch) }));
  }
}

// Not through the entity: the leader reads all of them at every turn, and hydration would double what that costs.
const LIVE = `
  SELECT id, tenant_id AS "tenantId", deployment_id AS "deploymentId", cluster_id AS "clusterId",
    version_id AS "versionId", claim, devices, phase, epoch, reason, created_at AS "createdAt", phase_since AS "phaseSince"
  FROM placements
  WHERE phase <> 'Removed' AND ($1::uuid IS NULL OR deployment_id = $1) AND ($2::uuid IS NULL OR cluster_id = $2)
  ORDER BY id`;

// One parameter whatever the number of rows: a row's columns as parameters end at 65,535 of them.
const INSERT_ALL = `
  INSERT INTO placements (id, tenant_id, deployment_id, cluster_id, version_id, claim, devices, phase, epoch, reason,
    created_at, phase_since)
  SELECT id, "tenantId", "deploymentId", "clusterId", "versionId", claim, nullif(devices, 'null'), phase, epoch, reason,
    "createdAt", "phaseSince"
  FROM jsonb_to_recordset($1::jsonb) AS placement (id uuid, "tenantId" uuid, "deploymentId" uuid, "clusterId" uuid,
    "versionId" uuid, claim jsonb, devices jsonb, phase text, epoch bigint, reason text, "createdAt" timestamptz,
    "phaseSince" timestamptz)`;

const MOVE_ALL = `
  WITH moved AS (
    UPDATE placements
    SET phase = $2, reason = $3, phase_since = CASE WHEN phase = $2 THEN phase_since ELSE now() END
    WHERE id = ANY ($1::uuid[]) AND phase <> 'Removed' AND (phase, reason) IS DISTINCT FROM ($2, $3)
    RETURNING id
  )
  DELETE FROM device_holds WHERE $2 = 'Removed' AND holder_id IN (SELECT id FROM moved)`;
