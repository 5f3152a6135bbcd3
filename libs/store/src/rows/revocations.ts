import { RevocationRows } from '#domain';
import type { Session } from '../session.ts';
import { mustHaveWritten } from './written.ts';

export class PostgresRevocationRows extends RevocationRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(publicKey: string, clusterId: string): Promise<void> {
    mustHaveWritten(await this.session.write(REVOKE, [publicKey, clusterId]), 'cluster', clusterId);
  }

  async all(): Promise<{ publicKey: string; revokedAtSeconds: number }[]> {
    const rows = await this.session.rows<{ public_key: string; revoked_at: Date }>(
      'SELECT public_key, revoked_at FROM revocations ORDER BY public_key',
    );
    return rows.map((row) => ({
      publicKey: row.public_key,
      revokedAtSeconds: Math.ceil(row.revoked_at.getTime() / 1000),
    }));
  }
}

// A key revoked again is revoked from the later moment on.
const REVOKE = `
  INSERT INTO revocations (public_key, tenant_id, cluster_id, revoked_at)
  SELECT $1, tenant_id, id, now() FROM clusters WHERE id = $2
  ON CONFLICT (public_key) DO UPDATE SET revoked_at = excluded.revoked_at`;
