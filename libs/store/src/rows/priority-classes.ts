import { type PageRequest, type PriorityClass, PriorityClassRows } from '#domain';
import { PriorityClassRow } from '../entities/queues.ts';
import { isId, pageWhere } from '../paging.ts';
import type { Session } from '../session.ts';

export class PostgresPriorityClassRows extends PriorityClassRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(priorityClass: PriorityClass): Promise<void> {
    await this.session.insert(PriorityClassRow, priorityClass);
  }

  async find(by: { tenantId: string; name: string }): Promise<PriorityClass | null> {
    const row = await this.session.findOne(PriorityClassRow, by);
    return row === null ? null : { ...row };
  }

  async list(page: PageRequest): Promise<PriorityClass[]> {
    const rows = await this.session.find(PriorityClassRow, pageWhere<PriorityClassRow>(page), {
      order: { id: 'ASC' },
      limit: page.limit,
    });
    return rows.map((row) => ({ ...row }));
  }

  async update(id: string, revision: number, change: Parameters<PriorityClassRows['update']>[2]): Promise<boolean> {
    const { affected } = await this.session.write(UPDATE_IF_REVISION, [
      id,
      revision,
      change.priority ?? null,
      change.preemption ?? null,
      change.preemptible ?? null,
    ]);
    return affected === 1;
  }

  async remove(id: string): Promise<void> {
    if (isId(id)) await this.session.write('DELETE FROM priority_classes WHERE id = $1', [id]);
  }
}

const UPDATE_IF_REVISION = `
  UPDATE priority_classes SET
    priority = coalesce($3, priority),
    preemption = coalesce($4, preemption),
    preemptible = coalesce($5, preemptible),
    revision = revision + 1
  WHERE id = $1 AND revision = $2`;
