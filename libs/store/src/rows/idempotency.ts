import { IdempotencyRows } from '#domain';
import type { Session } from '../session.ts';

interface StoredAnswer {
  readonly requestHash: string;
  readonly status: number;
  readonly body: unknown;
}

export class PostgresIdempotencyRows extends IdempotencyRows {
  constructor(private readonly session: Session) {
    super();
  }

  async begin(tenantId: string, key: string, requestHash: string): Promise<StoredAnswer | null> {
    // The second of two at once waits here until the first has committed, and then finds its answer.
    await this.session.write(LOCK_KEY, [tenantId, key]);
    const [stored] = await this.session.rows<StoredAnswer>(FIND_ANSWER, [tenantId, key]);
    if (stored !== undefined) return stored;
    await this.session.write(HOLD_KEY, [tenantId, key, requestHash]);
    return null;
  }

  async finish(tenantId: string, key: string, status: number, body: unknown): Promise<void> {
    await this.session.write(
      'UPDATE idempotency_answers SET status = $3, body = $4::jsonb WHERE tenant_id = $1 AND key = $2',
      [tenantId, key, status, JSON.stringify(body ?? null)],
    );
  }

  async removeOlderThan(before: Date): Promise<number> {
    return (await this.session.write('DELETE FROM idempotency_answers WHERE created_at < $1', [before])).affected;
  }
}

const LOCK_KEY = `SELECT pg_advisory_xact_lock(hashtextextended('idempotency ' || $1 || ' ' || $2, 0))`;

const FIND_ANSWER = `
  SELECT request_hash AS "requestHash", status, body FROM idempotency_answers
  WHERE tenant_id = $1 AND key = $2 AND status IS NOT NULL`;

// A transaction that began and committed without finishing answered nothing: its row is taken over.
const HOLD_KEY = `
  INSERT INTO idempotency_answers (tenant_id, key, request_hash, created_at) VALUES ($1, $2, $3, now())
  ON CONFLICT (tenant_id, key) DO UPDATE SET request_hash = excluded.request_hash, created_at = excluded.created_at`;
