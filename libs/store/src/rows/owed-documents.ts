import { OwedDocumentRows } from '#domain';
import type { Session } from '../session.ts';

export class PostgresOwedDocumentRows extends OwedDocumentRows {
  constructor(private readonly session: Session) {
    super();
  }

  async add(clusterIds: readonly string[]): Promise<void> {
    if (clusterIds.length === 0) return;
    await this.session.write('INSERT INTO owed_documents (cluster_id) SELECT DISTINCT unnest($1::uuid[])', [
      [...clusterIds],
    ]);
  }

  async take(limit: number, except: readonly string[] = []): Promise<string[]> {
    const { rows } = await this.session.write<{ cluster_id: string }>(TAKE, [limit, [...except]]);
    return rows.map(({ cluster_id }) => cluster_id);
  }
}

// Debts that are not committed yet are not seen and stay: their documents are written after them.
const TAKE = `
  WITH oldest AS (
    SELECT cluster_id FROM owed_documents WHERE cluster_id <> ALL ($2::uuid[])
    GROUP BY cluster_id ORDER BY min(id) LIMIT $1
  ),
  taken AS (
    DELETE FROM owed_documents WHERE cluster_id IN (SELECT cluster_id FROM oldest) RETURNING id, cluster_id
  )
  SELECT cluster_id FROM taken GROUP BY cluster_id ORDER BY min(id)`;
