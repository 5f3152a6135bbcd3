import { SyncClaimRows } from '#domain';
import type { Session } from '../session.ts';

type Key = Parameters<SyncClaimRows['claim']>[0];

interface Held {
  readonly cluster_id: string;
  readonly bytes_have: string;
  readonly is_stalled: boolean;
}

export class PostgresSyncClaimRows extends SyncClaimRows {
  constructor(private readonly session: Session) {
    super();
  }

  async claim(
    key: Key,
    clusterId: string,
    { holderBytes }: { holderBytes: (clusterId: string) => number },
    stallSeconds: number,
  ): Promise<string> {
    const of = [key.tenantId, key.siteGroup, key.versionDigest];
    await this.session.write(BEGIN, [...of, clusterId]);
    const { rows } = await this.session.write<Held>(LOCK, [...of, stallSeconds]);
    const held = rows[0]!;
    const bytes = holderBytes(held.cluster_id);
    const isMoving = bytes > Number(held.bytes_have);
    if (held.is_stalled && !isMoving && held.cluster_id !== clusterId) {
      await this.session.write(HOLD, [...of, clusterId, holderBytes(clusterId), true]);
      return clusterId;
    }
    if (bytes !== Number(held.bytes_have)) await this.session.write(HOLD, [...of, held.cluster_id, bytes, isMoving]);
    return held.cluster_id;
  }

  async release(tenantId: string, versionDigest: string, clusterId: string): Promise<void> {
    await this.session.write(RELEASE, [tenantId, versionDigest, clusterId]);
  }

  async removeOlderThan(before: Date): Promise<number> {
    return (await this.session.write('DELETE FROM sync_claims WHERE progressed_at < $1', [before])).affected;
  }
}

const BEGIN = `
  INSERT INTO sync_claims (tenant_id, site_group, version_digest, cluster_id, bytes_have, progressed_at)
  VALUES ($1, $2, $3, $4, 0, now()) ON CONFLICT DO NOTHING`;

const LOCK = `
  SELECT cluster_id, bytes_have, progressed_at < now() - make_interval(secs => $4) AS is_stalled
  FROM sync_claims WHERE tenant_id = $1 AND site_group = $2 AND version_digest = $3 FOR UPDATE`;

const HOLD = `
  UPDATE sync_claims
  SET cluster_id = $4, bytes_have = $5, progressed_at = CASE WHEN $6 THEN now() ELSE progressed_at END
  WHERE tenant_id = $1 AND site_group = $2 AND version_digest = $3`;

const RELEASE = 'DELETE FROM sync_claims WHERE tenant_id = $1 AND version_digest = $2 AND cluster_id = $3';
