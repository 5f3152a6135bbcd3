/**
 * What told usage does, all of it in the transaction of its inbox row: leases and budgets are settled, the account of the
 * day grows. An entry that its cluster cannot have served changes nothing, and the audit log says so.
 */
import type { AgentEvent } from '#contracts';
import { type Cluster, chargeUsage, type LeaseHolder, type Rows } from '#domain';

export type UsageRecorded = Extract<AgentEvent, { kind: 'usage-recorded' }>;

export async function takeUsage(
  rows: Rows,
  cluster: Pick<Cluster, 'id' | 'name' | 'tenantId'>,
  { at, entries }: UsageRecorded,
): Promise<'taken' | 'refused'> {
  const holder: LeaseHolder = { kind: 'cluster', id: cluster.id };
  const { nowMs, ledger } = await rows.leases.usageLedger(holder, entries);
  const charges = chargeUsage(entries, ledger, { atMs: Date.parse(at), nowMs });
  await rows.leases.charge(charges);
  const { refused } = charges;
  if (refused.length === 0) return 'taken';
  const keys = [...new Set(refused.map(({ keyPublicId }) => keyPublicId))];
  await rows.audit.add({
    tenantId: cluster.tenantId,
    actor: `cluster:${cluster.id}`,
    action: 'usage.refused',
    targetKind: 'cluster',
    targetId: cluster.id,
    detail: { cluster: cluster.name, entries: refused.length, keys, refused: 'no such key is served there' },
  });
  return refused.length === entries.length ? 'refused' : 'taken';
}
