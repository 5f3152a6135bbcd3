import { type OutboxMessage, OutboxRows } from '#domain';
import type { Session } from '../session.ts';

export class PostgresOutboxRows extends OutboxRows {
  constructor(private readonly session: Session) {
    super();
  }

  async add(subject: string, body: unknown): Promise<void> {
    await this.session.write('INSERT INTO outbox (subject, body) VALUES ($1, $2::jsonb)', [
      subject,
      JSON.stringify(body ?? null),
    ]);
  }

  async take(limit: number): Promise<OutboxMessage[]> {
    return (await this.session.write<OutboxMessage>(TAKE_OLDEST, [limit])).rows;
  }

  /** Deletes them: what was sent is of no more use. */
  async done(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.session.write('DELETE FROM outbox WHERE id = ANY ($1::bigint[])', [[...ids]]);
  }

  async pending(): Promise<number> {
    const [row] = await this.session.rows<{ count: number }>('SELECT count(*)::integer AS count FROM outbox');
    return row!.count;
  }
}

// Messages behind one that another relay holds are left to a later call, or a subject's order could break.
const TAKE_OLDEST = `
  WITH taken AS (
    SELECT id, subject, body FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
  )
  SELECT id::text, subject, body FROM taken
  WHERE NOT EXISTS (
    SELECT FROM outbox earlier
    WHERE earlier.subject = taken.subject AND earlier.id < taken.id AND earlier.id NOT IN (SELECT id FROM taken)
  )
  ORDER BY taken.id`;
