/**
 * What told usage does, all of it in the transaction of its inbox row: leases and budgets are settled, the account of the
 * day grows. An entry that its teller cannot have served changes nothing; the audit log keeps it, tokens and all.
 */
import type { AgentEvent } from '#contracts';
import { chargeUsage, type LeaseHolder, type Rows } from '#domain';

export type UsageRecorded = Extract<AgentEvent, { kind: 'usage-recorded' }>;

export interface UsageTeller {
  readonly holder: LeaseHolder;
  readonly name: string;
  /** Whose audit log hears of what was refused. */
  readonly tenantId: string;
}

export async function takeUsage(
  rows: Rows,
  { holder, name, tenantId }: UsageTeller,
  { at, entries }: Pick<UsageRecorded, 'at' | 'entries'>,
): Promise<'taken' | 'refused'> {
  const { nowMs, ledger } = await rows.leases.usageLedger(holder, entries);
  const charges = chargeUsage(entries, ledger, { atMs: Date.parse(at), nowMs });
  await rows.leases.charge(charges);
  const { refused } = charges;
  if (refused.length === 0) return 'taken';
  const keys = [...new Set(refused.map(({ keyPublicId }) => keyPublicId))];
  const tokens = refused.reduce((sum, each) => sum + each.promptTokens + each.completionTokens, 0);
  await rows.audit.add({
    tenantId,
    actor: `${holder.kind}:${holder.id}`,
    action: 'usage.refused',
    targetKind: holder.kind,
    targetId: holder.id,
    detail: {
      ...{ [holder.kind]: name, entries: refused.length, keys, tokens, at },
      ...{ refused: 'no such key is served there', usage: refused },
    },
  });
  return refused.length === entries.length ? 'refused' : 'taken';
}
