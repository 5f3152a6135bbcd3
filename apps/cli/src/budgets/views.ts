import type { BudgetDetailDto, BudgetDto, TokenUsageDto } from '#contracts';
import { painter, renderFields } from '../output/output.ts';
import { renderTable } from '../output/table.ts';
import { relativeTime } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';

type Screen = Pick<Terminal, 'columns' | 'hasColours' | 'now'>;

const PERIOD_WORDS = { day: 'a day', month: 'a month', total: 'in all' } as const;

export function renderBudgets(budgets: readonly BudgetDto[], screen: Screen): string {
  const columns = ['name', 'key', 'limit', 'period', 'spent', 'out', 'free'].map((title) => ({ title }));
  const rows = budgets.map(({ name, key, tokens, period, periodKey, spentTokens, outTokens, freeTokens }) => [
    ...[name, key ?? 'all of the tenant', `${grouped(tokens)} ${PERIOD_WORDS[period]}`, periodKey],
    ...[spentTokens, outTokens, freeTokens].map(grouped),
  ]);
  return renderTable(columns, rows, screen.columns);
}

export function renderBudget(budget: BudgetDto | BudgetDetailDto, screen: Screen): string {
  const { name, tenant, key, tokens, period, periodKey, overdraftTokens } = budget;
  const head = renderFields([
    ['Name', name],
    ['Tenant', tenant],
    ['For', key === null ? 'all of the tenant' : `the key ${key}`],
    ['Limit', `${grouped(tokens)} tokens ${PERIOD_WORDS[period]}`],
    ['Period', period === 'total' ? null : periodKey],
    ['Spent', grouped(budget.spentTokens)],
    ['Overdraft', overdraftTokens === 0 ? null : `${grouped(overdraftTokens)}, of answers longer than expected`],
    ['Out', `${grouped(budget.outTokens)} on leases`],
    ['Free', grouped(budget.freeTokens)],
  ]);
  if (!('leases' in budget) || budget.leases.length === 0) return head;
  const titles = ['holder', 'phase', 'period', 'granted', 'spent', 'out', 'since', 'ends', 'lease'];
  const rows = budget.leases.map((lease) => [
    ...[lease.holder.name ?? `${lease.holder.kind} ${lease.holder.id}`, lease.phase, lease.periodKey],
    ...[lease.grantedTokens, lease.spentTokens, lease.outTokens].map(grouped),
    ...[lease.grantedAt, lease.expiresAt].map((time) => relativeTime(time, screen.now())),
    lease.id,
  ]);
  const columns = titles.map((title) => ({ title }));
  return `${head}\n${renderTable(columns, rows, screen.columns, painter(screen))}`;
}

export function renderTokenUsage({ tenant, since, entries, total }: TokenUsageDto, screen: Screen): string {
  const head = `Tokens served to ${tenant} since ${since}:\n\n`;
  const titles = ['day', 'key', 'model', 'deployment', 'requests', 'prompt', 'completion', 'estimated'];
  const rows = [...entries, { day: 'total', key: '', model: '', deployment: '', ...total }].map((row) => [
    ...[row.day, row.key, row.model, row.deployment],
    ...[row.requests, row.promptTokens, row.completionTokens, row.estimatedRequests].map(grouped),
  ]);
  const columns = titles.map((title) => ({ title }));
  return head + renderTable(columns, rows, screen.columns);
}

/** `1,234,567` */
function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}
