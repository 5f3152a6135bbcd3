import { type PageRequest, type Queue, QueueRows } from '#domain';
import { QueueRow } from '../entities/queues.ts';
import { isId, pageWhere } from '../paging.ts';
import type { Session } from '../session.ts';
import { setChanged } from './columns.ts';

type Change = Parameters<QueueRows['update']>[2];

export class PostgresQueueRows extends QueueRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(queue: Queue): Promise<void> {
    await this.session.insert(QueueRow, queue);
  }

  async find(by: { id: string } | { tenantId: string; name: string }, forUpdate = false): Promise<Queue | null> {
    if ('id' in by && !isId(by.id)) return null;
    const row = await this.session.findOne(QueueRow, by, forUpdate);
    return row === null ? null : { ...row };
  }

  async list(page: PageRequest): Promise<Queue[]> {
    const rows = await this.session.find(QueueRow, pageWhere<QueueRow>(page), {
      order: { id: 'ASC' },
      limit: page.limit,
    });
    return rows.map((row) => ({ ...row }));
  }

  async all(): Promise<Queue[]> {
    return (await this.session.find(QueueRow, {}, { order: { id: 'ASC' } })).map((row) => ({ ...row }));
  }

  async update(id: string, revision: number, { order, ...change }: Change): Promise<boolean> {
    const written = await this.session.write(UPDATE_IF_REVISION, [
      id,
      revision,
      JSON.stringify({ ...change, ordering: order }),
    ]);
    return written.affected === 1;
  }

  /** What names it stands against it by foreign keys. */
  async remove(id: string): Promise<void> {
    if (isId(id)) await this.session.write(REMOVE_QUEUES('id = $1'), [id]);
  }

  async removed(tenantId: string): Promise<Pick<Queue, 'id' | 'name'>[]> {
    if (!isId(tenantId)) return [];
    return this.session.rows('SELECT id, name FROM removed_queues WHERE tenant_id = $1 ORDER BY id', [tenantId]);
  }
}

/** Keeps the names of those of which there is usage. */
export const REMOVE_QUEUES = (which: string) => `
  WITH gone AS (DELETE FROM queues WHERE ${which} RETURNING id, tenant_id, name)
  INSERT INTO removed_queues (id, tenant_id, name)
  SELECT id, tenant_id, name FROM gone
  WHERE EXISTS (SELECT FROM queue_usage used WHERE used.tenant_id = gone.tenant_id AND used.queue_id = gone.id)`;

const UPDATE_IF_REVISION = `
  UPDATE queues SET ${setChanged<Omit<Change, 'order'> & { ordering: string }>('queues', {
    weight: 'double precision',
    quota: 'jsonb',
    borrowingLimit: 'jsonb',
    lendingLimit: 'jsonb',
    ordering: 'text',
    paused: 'boolean',
  })}, revision = revision + 1
  FROM (SELECT $3::jsonb AS change) given
  WHERE id = $1 AND revision = $2`;
