import { type Budget, type BudgetPeriodStanding, BudgetRows, type PageRequest, standingOf } from '#domain';
import { BudgetRow } from '../entities/budgets.ts';
import { isId, pageWhere } from '../paging.ts';
import type { Session } from '../session.ts';
import { columnParts } from './columns.ts';

type Change = Parameters<BudgetRows['update']>[2];

export const BUDGET_COLUMNS = columnParts<Budget>({
  id: 'uuid',
  tenantId: 'uuid',
  name: 'text',
  keyPublicId: 'text',
  limitTokens: 'bigint',
  period: 'text',
  createdAt: 'timestamptz',
  revision: 'integer',
});

export class PostgresBudgetRows extends BudgetRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(budget: Budget): Promise<void> {
    await this.session.insert(BudgetRow, { ...budget });
  }

  async find(by: { tenantId: string; name: string }, forUpdate = false): Promise<Budget | null> {
    const row = await this.session.findOne(BudgetRow, by, forUpdate);
    return row === null ? null : { ...row };
  }

  async list(page: PageRequest): Promise<Budget[]> {
    const rows = await this.session.find(BudgetRow, pageWhere<BudgetRow>(page), {
      order: { id: 'ASC' },
      limit: page.limit,
    });
    return rows.map((row) => ({ ...row }));
  }

  async countForInsert(tenantId: string, keyPublicId: string | null): Promise<{ tenant: number; scope: number }> {
    await this.session.write(LOCK_COUNT, [tenantId]);
    const [counted] = await this.session.rows<{ tenant: number; scope: number }>(COUNT, [tenantId, keyPublicId]);
    return counted!;
  }

  async update(id: string, revision: number, { limitTokens }: Change): Promise<boolean> {
    return (await this.session.write(UPDATE_IF_REVISION, [id, revision, limitTokens])).affected === 1;
  }

  async remove(id: string): Promise<void> {
    if (isId(id)) await this.session.write('DELETE FROM budgets WHERE id = $1', [id]);
  }

  async standings(budgets: readonly Budget[]): Promise<BudgetPeriodStanding[]> {
    if (budgets.length === 0) return [];
    const rows = await this.session.rows<StandingRow>(STANDINGS, [budgets.map(({ id }) => id)]);
    const byId = new Map(rows.map((row) => [row.budgetId, row]));
    return budgets.flatMap((budget) => {
      const row = byId.get(budget.id);
      return row === undefined ? [] : [{ ...row, ...standingOf({ budget, ...row }) }];
    });
  }
}

interface StandingRow {
  readonly budgetId: string;
  readonly periodKey: string;
  readonly spentTokens: number;
  readonly overdraftTokens: number;
  readonly outTokens: number;
}

const LOCK_COUNT = `SELECT pg_advisory_xact_lock(hashtextextended('budgets ' || $1, 0))`;

const COUNT = `
  SELECT count(*)::integer AS tenant,
    count(*) FILTER (WHERE key_public_id IS NOT DISTINCT FROM $2)::integer AS scope
  FROM budgets WHERE tenant_id = $1`;

const UPDATE_IF_REVISION = `
  UPDATE budgets SET limit_tokens = $3, revision = revision + 1 WHERE id = $1 AND revision = $2`;

// The same keys as `periodKeyOf` of the domain gives, by the clock that leases are granted by.
const STANDINGS = `
  WITH periods AS (
    SELECT id, CASE period
      WHEN 'day' THEN to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')
      WHEN 'month' THEN to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')
      ELSE 'total' END AS period_key
    FROM budgets WHERE id = ANY ($1::uuid[])
  )
  SELECT periods.id AS "budgetId", periods.period_key AS "periodKey",
    coalesce(account.spent_tokens, 0)::double precision AS "spentTokens",
    coalesce(account.overdraft_tokens, 0)::double precision AS "overdraftTokens",
    coalesce((
      SELECT sum(greatest(0, granted_tokens - spent_tokens)) FROM budget_leases lease
      WHERE lease.budget_id = periods.id AND lease.period_key = periods.period_key AND lease.phase <> 'Ended'
    ), 0)::double precision AS "outTokens"
  FROM periods
  LEFT JOIN budget_accounts account ON account.budget_id = periods.id AND account.period_key = periods.period_key`;
