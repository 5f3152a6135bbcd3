import { In, Not, Raw } from 'typeorm';
import { type Cluster, ClusterRows, type PageRequest, SITE_GROUP_LABEL } from '#domain';
import { ClusterRow } from '../entities/clusters.ts';
import { isId, pageWhere } from '../paging.ts';
import type { Session } from '../session.ts';

export class PostgresClusterRows extends ClusterRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(cluster: Cluster): Promise<void> {
    await this.session.insert(ClusterRow, cluster);
  }

  async find(
    by: { id: string } | { tenantId: string; name: string } | { publicKey: string },
    forUpdate = false,
  ): Promise<Cluster | null> {
    if ('id' in by) return isId(by.id) ? this.one({ id: by.id }, forUpdate) : null;
    if ('name' in by) return this.one({ tenantId: by.tenantId, name: by.name, phase: Not('Left') }, forUpdate);
    const present = await this.one({ publicKey: by.publicKey, phase: Not('Left') }, forUpdate);
    return present ?? this.one({ publicKey: by.publicKey, phase: 'Left' }, forUpdate);
  }

  async findAll(ids: readonly string[]): Promise<Cluster[]> {
    if (ids.length === 0) return [];
    return (await this.session.find(ClusterRow, { id: In([...ids]) })).map(fromRow);
  }

  async lock(ids: readonly string[], how: 'alone' | 'shared'): Promise<Cluster[]> {
    return ids.length === 0 ? [] : (await this.session.write<Cluster>(LOCK_ALL[how], [[...ids]])).rows;
  }

  async list(page: PageRequest): Promise<Cluster[]> {
    const where = { ...pageWhere<ClusterRow>(page), phase: Not<'Left'>('Left') };
    return (await this.session.find(ClusterRow, where, { order: { id: 'ASC' }, limit: page.limit })).map(fromRow);
  }

  async update(id: string, revision: number, change: Parameters<ClusterRows['update']>[2]): Promise<boolean> {
    const { affected } = await this.session.write(UPDATE_IF_REVISION, [
      id,
      revision,
      change.phase ?? null,
      change.cordoned ?? null,
      change.labels === undefined ? null : JSON.stringify(change.labels),
      change.region ?? null,
      change.zone ?? null,
      change.sync === undefined ? null : JSON.stringify(change.sync),
      change.drain !== undefined,
      jsonOrNull(change.drain),
      change.ahead !== undefined,
      jsonOrNull(change.ahead),
    ]);
    return affected === 1;
  }

  async all(): Promise<Cluster[]> {
    return (await this.session.find(ClusterRow, { phase: Not('Left') }, { order: { id: 'ASC' } })).map(fromRow);
  }

  async ofSiteGroup(tenantId: string, siteGroup: string): Promise<Cluster[]> {
    const labels = Raw((column) => `${column} ->> :label = :siteGroup`, { label: SITE_GROUP_LABEL, siteGroup });
    const where = { tenantId, phase: Not<'Left'>('Left'), labels };
    return (await this.session.find(ClusterRow, where, { order: { id: 'ASC' } })).map(fromRow);
  }

  private async one(where: Parameters<typeof this.session.findOne<ClusterRow>>[1], forUpdate: boolean) {
    const row = await this.session.findOne(ClusterRow, where, forUpdate, { createdAt: 'DESC' });
    return row === null ? null : fromRow(row);
  }
}

const SELECT_ALL = `
  SELECT id, tenant_id AS "tenantId", name, kind, region, zone, labels, sync, public_key AS "publicKey", phase, cordoned,
    drain, ahead, phase_since AS "phaseSince", created_at AS "createdAt", revision
  FROM clusters WHERE id = ANY ($1::uuid[]) ORDER BY id`;

// Neither is against what only refers to the row.
const LOCK_ALL = { alone: `${SELECT_ALL} FOR NO KEY UPDATE`, shared: `${SELECT_ALL} FOR SHARE` } as const;

// $9 and $11 tell "set to null" from "leave alone".
const UPDATE_IF_REVISION = `
  UPDATE clusters SET
    phase = coalesce($3, phase),
    phase_since = CASE WHEN $3 <> phase THEN now() ELSE phase_since END,
    cordoned = coalesce($4, cordoned),
    labels = coalesce($5::jsonb, labels),
    region = coalesce($6, region),
    zone = coalesce($7, zone),
    sync = coalesce($8::jsonb, sync),
    drain = CASE WHEN $9 THEN $10::jsonb ELSE drain END,
    ahead = CASE WHEN $11 THEN $12::jsonb ELSE ahead END,
    revision = revision + 1
  WHERE id = $1 AND revision = $2`;

function jsonOrNull(value: object | null | undefined): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}

function fromRow(row: ClusterRow): Cluster {
  return { ...row };
}
