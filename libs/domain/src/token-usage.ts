/**
 * What was served under keys, in tokens: the account of it by day, and what the telling of it does to budgets.
 *
 * Usage counts, whatever became of the lease under it: on the lease's own period when the lease is known, else on the
 * present one of every budget of the key that no known lease of the entry covers. A key that nobody knows was made before
 * the database was restored from a backup: its usage counts for its tenant. A key of another tenant is never charged, nor
 * one of a tenant whose keys the holder was never given.
 */
import { type Budget, type Lease, periodKeyOf, settleLease } from './budgets.ts';

/** Requests of one key for one version under one served model in one UTC day. */
export interface TokenUsage {
  readonly tenantId: string;
  /** `YYYY-MM-DD`. */
  readonly day: string;
  readonly keyPublicId: string;
  readonly deploymentId: string;
  readonly servedModel: string;
  readonly versionDigest: string;
  readonly requests: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly estimatedRequests: number;
}

/** As an agent or a gateway tells it. */
export type ToldUsage = Omit<TokenUsage, 'day'> & { readonly leaseIds: readonly string[] };

/** Read under locks of the budgets' rows. */
export interface UsageLedger {
  /** Of the leases and of the keys. */
  readonly budgets: readonly Budget[];
  /** Those of the holder that the usage names. */
  readonly leases: readonly Lease[];
  /** Public id → tenant, of keys that exist. */
  readonly tenantOfKey: ReadonlyMap<string, string>;
  /** Tenants that exist and whose keys the holder was ever given. */
  readonly tenantsServed: ReadonlySet<string>;
}

export interface AccountCharge {
  readonly budgetId: string;
  readonly periodKey: string;
  readonly spentTokens: number;
  readonly overdraftTokens: number;
}

export interface UsageCharges {
  readonly leases: readonly Lease[];
  readonly accounts: readonly AccountCharge[];
  readonly usage: readonly TokenUsage[];
  /** Entries of a key of another tenant, or of a tenant that is not there: nothing of them is counted. */
  readonly refused: readonly ToldUsage[];
}

/** Told times further off than these are not believed, and count for the present day. */
const DAYS_PAST_MAX = 60;
const DAY_MS = 86_400_000;

/**
 * @param atMs when it was served, by the teller's clock
 * @param nowMs the database's clock
 */
export function chargeUsage(
  entries: readonly ToldUsage[],
  ledger: UsageLedger,
  { atMs, nowMs }: { atMs: number; nowMs: number },
): UsageCharges {
  const leases = new Map(ledger.leases.map((lease) => [lease.id, lease]));
  const budgets = new Map(ledger.budgets.map((budget) => [budget.id, budget]));
  const accounts = new Map<string, AccountCharge>();
  const changed = new Map<string, Lease>();
  const { tenantOfKey, tenantsServed } = ledger;
  const isOurs = ({ keyPublicId, tenantId }: ToldUsage) =>
    (tenantOfKey.get(keyPublicId) ?? tenantId) === tenantId && tenantsServed.has(tenantId);
  const charge = (budgetId: string, periodKey: string, spentTokens: number, overdraftTokens: number) => {
    const key = `${budgetId} ${periodKey}`;
    const before = accounts.get(key) ?? { budgetId, periodKey, spentTokens: 0, overdraftTokens: 0 };
    const sums = {
      spentTokens: before.spentTokens + spentTokens,
      overdraftTokens: before.overdraftTokens + overdraftTokens,
    };
    accounts.set(key, { ...before, ...sums });
  };
  for (const entry of entries.filter(isOurs)) {
    const tokens = entry.promptTokens + entry.completionTokens;
    const known = [...new Set(entry.leaseIds)]
      .map((id) => leases.get(id))
      .filter((lease) => lease !== undefined && budgets.get(lease.budgetId)?.tenantId === entry.tenantId) as Lease[];
    for (const { id } of known) {
      const settled = settleLease(leases.get(id)!, tokens);
      leases.set(id, settled.lease);
      changed.set(id, settled.lease);
      charge(settled.lease.budgetId, settled.lease.periodKey, tokens, settled.overdraftTokens);
    }
    if (known.length === new Set(entry.leaseIds).size) continue;
    const covered = new Set(known.map(({ budgetId }) => budgetId));
    const others = ledger.budgets.filter((budget) => isChargedTo(budget, entry) && !covered.has(budget.id));
    for (const { id, period } of others) charge(id, periodKeyOf(period, nowMs), tokens, tokens);
  }
  const day = dayOf(atMs, nowMs);
  return {
    leases: [...changed.values()],
    accounts: [...accounts.values()],
    usage: entries.filter(isOurs).map(({ leaseIds: _, ...entry }) => ({ ...entry, day })),
    refused: entries.filter((entry) => !isOurs(entry)),
  };
}

/** Whether requests with this key of this tenant are charged to the budget. */
export function isChargedTo(
  { tenantId, keyPublicId }: Pick<Budget, 'tenantId' | 'keyPublicId'>,
  of: { readonly tenantId: string; readonly keyPublicId: string },
): boolean {
  return tenantId === of.tenantId && (keyPublicId === null || keyPublicId === of.keyPublicId);
}

function dayOf(atMs: number, nowMs: number): string {
  const isBelievable = atMs > nowMs - DAYS_PAST_MAX * DAY_MS && atMs < nowMs + DAY_MS;
  return new Date(isBelievable ? atMs : nowMs).toISOString().slice(0, 10);
}
