import { type AuditEntry, AuditRows, type PageRequest } from '#domain';
import { storableJson } from '../canonical.ts';
import { AuditRow } from '../entities/history.ts';
import { pageWhere } from '../paging.ts';
import type { Session } from '../session.ts';
import { INSTALLATION_NOW, timedId, untimedId } from '../timed-ids.ts';

export class PostgresAuditRows extends AuditRows {
  constructor(private readonly session: Session) {
    super();
  }

  async add(entry: Omit<AuditEntry, 'id' | 'at'>): Promise<void> {
    await this.session.write(INSERT, [
      untimedId(),
      entry.tenantId,
      entry.actor,
      entry.action,
      entry.targetKind,
      entry.targetId,
      // Other machines' words are in it: one odd character must not make an event come back for ever.
      storableJson(entry.detail),
    ]);
  }

  async list(page: PageRequest): Promise<AuditEntry[]> {
    const rows = await this.session.find(AuditRow, pageWhere<AuditRow>(page, 'descending'), {
      order: { id: 'DESC' },
      limit: page.limit,
    });
    return rows.map((row) => ({ ...row }));
  }
}

const INSERT = `
  INSERT INTO audit_entries (id, tenant_id, actor, action, target_kind, target_id, detail, at)
  SELECT ${timedId('$1', 'clock.now')}, $2, $3, $4, $5, $6, $7::jsonb, clock.now FROM (SELECT ${INSTALLATION_NOW} AS now) clock`;
