/**
 * Leases. Whoever grants, settles or takes back holds the rows of the budgets concerned, in order of id; so the sums that
 * it decides by stay true until it has written, and no two wait for each other in a ring.
 */
import {
  type Budget,
  type BudgetAccount,
  type Lease,
  type LeaseDecision,
  type LeaseDemand,
  type LeaseHolder,
  type LeaseLedger,
  LeaseRows,
  periodEndMs,
  periodKeyOf,
  type ToldUsage,
  type UsageCharges,
  type UsageLedger,
} from '#domain';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { BUDGET_COLUMNS } from './budgets.ts';
import { columnParts } from './columns.ts';

type StoredLease = Omit<Lease, 'holder'> & { readonly holderKind: LeaseHolder['kind']; readonly holderId: string };

export class PostgresLeaseRows extends LeaseRows {
  constructor(private readonly session: Session) {
    super();
  }

  async ledger(holder: LeaseHolder, demand: LeaseDemand): Promise<{ nowMs: number; ledger: LeaseLedger }> {
    const { wishes, returns } = demand;
    const named = [...wishes.flatMap(({ leaseId }) => leaseId ?? []), ...returns.map(({ leaseId }) => leaseId)];
    const budgetIds = wishes.map(({ budgetId }) => budgetId);
    const locked = await this.lockBudgets(LOCK_FOR_HOLDER, [budgetIds, named, clusterOf(holder)]);
    const nowMs = await this.nowMs();
    const budgets = locked.filter(({ isUsable }) => isUsable).map(({ isUsable: _, ...budget }) => budget);
    // Under the locks: of two at once that ask the same, the later one finds what the first was given.
    const answered = await this.answeredBy(
      holder,
      wishes.map(({ requestId }) => requestId),
    );
    const ledger = {
      budgets,
      accounts: await this.accountsOf(budgets, holder, nowMs),
      leases: await this.ownLeases(holder, [...named, ...answered.map(({ leaseId }) => leaseId)]),
      answered: new Map(answered.map(({ requestId, leaseId }) => [requestId, leaseId])),
    };
    return { nowMs, ledger };
  }

  async write(holder: LeaseHolder, { written, answered }: Pick<LeaseDecision, 'written' | 'answered'>): Promise<void> {
    await this.writeLeases(written);
    if (answered.length === 0) return;
    await this.session.write(ANSWERED, [holder.kind, holder.id, JSON.stringify(answered)]);
  }

  async usageLedger(
    holder: LeaseHolder,
    entries: readonly ToldUsage[],
  ): Promise<{ nowMs: number; ledger: UsageLedger }> {
    const leaseIds = [...new Set(entries.flatMap((entry) => entry.leaseIds))];
    const keys = [...new Set(entries.map(({ keyPublicId }) => keyPublicId))];
    const tenantIds = [...new Set(entries.map(({ tenantId }) => tenantId))];
    const locked = await this.lockBudgets(LOCK_FOR_USAGE, [leaseIds, keys, tenantIds]);
    const tenants = await this.session.rows<{ public_id: string; tenant_id: string }>(TENANTS_OF_KEYS, [keys]);
    return {
      nowMs: await this.nowMs(),
      ledger: {
        budgets: locked.map(({ isUsable: _, ...budget }) => budget),
        leases: await this.ownLeases(holder, leaseIds),
        tenantOfKey: new Map(tenants.map(({ public_id, tenant_id }) => [public_id, tenant_id])),
        tenantsServed: await this.tenantsServedBy(holder, tenantIds),
      },
    };
  }

  async acceptTold(gatewayId: string, messageId: string): Promise<boolean> {
    return (await this.session.write(ACCEPT_TOLD, [gatewayId, messageId])).affected === 1;
  }

  async charge({ leases, accounts, usage }: UsageCharges): Promise<void> {
    await this.writeLeases(leases);
    if (accounts.length > 0) await this.session.write(CHARGE_ACCOUNTS, [JSON.stringify(accounts)]);
    if (usage.length > 0) await this.session.write(ADD_USAGE, [JSON.stringify(usage)]);
  }

  async ofBudget(budgetId: string, limit: number): Promise<Lease[]> {
    if (!isId(budgetId)) return [];
    return (await this.session.rows<StoredLease>(OF_BUDGET, [budgetId, limit])).map(fromRow);
  }

  async expire(limit: number): Promise<number> {
    return (await this.session.write(EXPIRE, [limit])).affected;
  }

  async removeOlderThan(before: Date): Promise<number> {
    let removed = 0;
    for (const statement of [REMOVE_REQUESTS, REMOVE_TOLD, REMOVE_LEASES, REMOVE_ACCOUNTS]) {
      removed += (await this.session.write(statement, [before])).affected;
    }
    return removed;
  }

  private async lockBudgets(statement: string, parameters: unknown[]): Promise<(Budget & { isUsable: boolean })[]> {
    return (await this.session.write<Budget & { isUsable: boolean }>(statement, parameters)).rows;
  }

  /** Not of the transaction's beginning: it may have waited for a lock. */
  private async nowMs(): Promise<number> {
    const [row] = await this.session.rows<{ now: Date }>('SELECT clock_timestamp() AS now');
    return row!.now.getTime();
  }

  private answeredBy(
    { kind, id }: LeaseHolder,
    requestIds: readonly string[],
  ): Promise<{ requestId: string; leaseId: string }[]> {
    return this.session.rows(FIND_ANSWERED, [kind, id, [...requestIds]]);
  }

  private async ownLeases({ kind, id }: LeaseHolder, leaseIds: readonly string[]): Promise<Lease[]> {
    return (await this.session.rows<StoredLease>(OWN_LEASES, [kind, id, [...leaseIds]])).map(fromRow);
  }

  /** Of these tenants; a gateway serves all that there are. */
  private async tenantsServedBy(holder: LeaseHolder, tenantIds: readonly string[]): Promise<ReadonlySet<string>> {
    const served = await this.session.rows<{ id: string }>(TENANTS_SERVED, [clusterOf(holder), [...tenantIds]]);
    return new Set(served.map(({ id }) => id));
  }

  /** The present period's and the next one's. */
  private async accountsOf(budgets: readonly Budget[], holder: LeaseHolder, nowMs: number): Promise<BudgetAccount[]> {
    const wanted = budgets.flatMap((budget) => {
      const nextMs = periodEndMs(budget.period, nowMs);
      const keys = [nowMs, ...(nextMs === null ? [] : [nextMs])].map((ms) => periodKeyOf(budget.period, ms));
      return keys.map((periodKey) => ({ budgetId: budget.id, periodKey }));
    });
    const byId = new Map(budgets.map((budget) => [budget.id, budget]));
    const parameters = [JSON.stringify(wanted), holder.kind, holder.id];
    const rows = await this.session.rows<Omit<BudgetAccount, 'budget'> & { budgetId: string }>(ACCOUNTS, parameters);
    return rows.map(({ budgetId, ...account }) => ({ ...account, budget: byId.get(budgetId)! }));
  }

  private async writeLeases(leases: readonly Lease[]): Promise<void> {
    if (leases.length > 0) await this.session.write(WRITE_LEASES, [JSON.stringify(leases.map(toRow))]);
  }
}

function toRow({ holder, ...lease }: Lease): StoredLease {
  return { ...lease, holderKind: holder.kind, holderId: holder.id };
}

function fromRow({ holderKind, holderId, ...lease }: StoredLease): Lease {
  return { ...lease, holder: { kind: holderKind, id: holderId } };
}

function clusterOf({ kind, id }: LeaseHolder): string | null {
  return kind === 'cluster' ? id : null;
}

const COLUMNS = columnParts<StoredLease>({
  id: 'uuid',
  budgetId: 'uuid',
  holderKind: 'text',
  holderId: 'text',
  periodKey: 'text',
  grantedTokens: 'bigint',
  spentTokens: 'bigint',
  phase: 'text',
  isReturned: 'boolean',
  grantedAt: 'timestamptz',
  expiresAt: 'timestamptz',
});

/** Tenants of what the cluster's document says that it serves. */
const tenantsWanted = (clusterId: string) => `
  SELECT deployment.tenant_id FROM desired_states desired
  CROSS JOIN jsonb_array_elements(desired.replicas) replica
  JOIN deployments deployment ON deployment.id = (replica ->> 'deploymentId')::uuid
  WHERE desired.cluster_id = ${clusterId}`;

// Those of returned leases are locked as well, whether or not the holder may still use them.
const LOCK_FOR_HOLDER = `
  SELECT ${BUDGET_COLUMNS.selected},
    id = ANY ($1::uuid[]) AND ($3::uuid IS NULL OR tenant_id IN (${tenantsWanted('$3')})) AS "isUsable"
  FROM budgets
  WHERE id = ANY ($1::uuid[]) OR id IN (SELECT budget_id FROM budget_leases WHERE id = ANY ($2::uuid[]))
  ORDER BY id FOR NO KEY UPDATE`;

const LOCK_FOR_USAGE = `
  SELECT ${BUDGET_COLUMNS.selected}, true AS "isUsable"
  FROM budgets
  WHERE id IN (SELECT budget_id FROM budget_leases WHERE id = ANY ($1::uuid[]))
    OR id IN (
      SELECT budget.id FROM api_keys key JOIN budgets budget ON budget.tenant_id = key.tenant_id
        AND (budget.key_public_id IS NULL OR budget.key_public_id = key.public_id)
      WHERE key.public_id = ANY ($2::text[])
    )
    OR (tenant_id = ANY ($3::uuid[]) AND key_public_id IS NULL)
  ORDER BY id FOR NO KEY UPDATE`;

const TENANTS_OF_KEYS = 'SELECT public_id, tenant_id FROM api_keys WHERE public_id = ANY ($1::text[])';

// A database that was restored from a backup may not know of a bundle that it gave (R20).
const TENANTS_SERVED = `
  SELECT id FROM tenants WHERE id = ANY ($2::uuid[]) AND ($1::uuid IS NULL OR id IN (
    SELECT unnest(tenant_ids) FROM offline_bundles WHERE cluster_id = $1 UNION ${tenantsWanted('$1')}
  ))`;

const ACCEPT_TOLD = `
  INSERT INTO gateway_usage (gateway_id, message_id, received_at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING`;

const FIND_ANSWERED = `
  SELECT request_id AS "requestId", lease_id AS "leaseId" FROM lease_requests
  WHERE holder_kind = $1 AND holder_id = $2 AND request_id = ANY ($3::uuid[])`;

const OWN_LEASES = `
  SELECT ${COLUMNS.selected} FROM budget_leases
  WHERE holder_kind = $1 AND holder_id = $2 AND id = ANY ($3::uuid[])`;

const ACCOUNTS = `
  SELECT wanted."budgetId", wanted."periodKey",
    coalesce(account.spent_tokens, 0)::double precision AS "spentTokens",
    coalesce(account.overdraft_tokens, 0)::double precision AS "overdraftTokens",
    lease."outTokens", lease."heldTokens"
  FROM jsonb_to_recordset($1::jsonb) AS wanted ("budgetId" uuid, "periodKey" text)
  LEFT JOIN budget_accounts account ON account.budget_id = wanted."budgetId" AND account.period_key = wanted."periodKey"
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(out), 0)::double precision AS "outTokens",
      coalesce(sum(out) FILTER (WHERE holder_kind = $2 AND holder_id = $3), 0)::double precision AS "heldTokens"
    FROM (
      SELECT holder_kind, holder_id, greatest(0, granted_tokens - spent_tokens) AS out FROM budget_leases
      WHERE budget_id = wanted."budgetId" AND period_key = wanted."periodKey" AND phase <> 'Ended'
    ) live
  ) lease`;

const WRITE_LEASES = `
  INSERT INTO budget_leases (tenant_id, ${COLUMNS.names})
  SELECT budget.tenant_id, given.* FROM (
    SELECT ${COLUMNS.given} FROM jsonb_to_recordset($1::jsonb) AS lease (${COLUMNS.recordset})
  ) given JOIN budgets budget ON budget.id = given."budgetId"
  ON CONFLICT (id) DO UPDATE SET granted_tokens = excluded.granted_tokens, spent_tokens = excluded.spent_tokens,
    phase = excluded.phase, is_returned = excluded.is_returned, expires_at = excluded.expires_at`;

const ANSWERED = `
  INSERT INTO lease_requests (holder_kind, holder_id, request_id, tenant_id, lease_id, created_at)
  SELECT $1, $2, given."requestId", lease.tenant_id, lease.id, now()
  FROM jsonb_to_recordset($3::jsonb) AS given ("requestId" uuid, "leaseId" uuid)
  JOIN budget_leases lease ON lease.id = given."leaseId"`;

const CHARGE_ACCOUNTS = `
  INSERT INTO budget_accounts AS held (budget_id, period_key, tenant_id, spent_tokens, overdraft_tokens)
  SELECT budget.id, charge."periodKey", budget.tenant_id, charge."spentTokens", charge."overdraftTokens"
  FROM jsonb_to_recordset($1::jsonb)
    AS charge ("budgetId" uuid, "periodKey" text, "spentTokens" bigint, "overdraftTokens" bigint)
  JOIN budgets budget ON budget.id = charge."budgetId"
  ON CONFLICT (budget_id, period_key) DO UPDATE SET
    spent_tokens = held.spent_tokens + excluded.spent_tokens,
    overdraft_tokens = held.overdraft_tokens + excluded.overdraft_tokens`;

// Summed first: one statement cannot add to the same row twice. In order, so that two cannot wait in a ring.
const ADD_USAGE = `
  INSERT INTO token_usage AS held (tenant_id, day, key_public_id, deployment_id, served_model, version_digest,
    requests, prompt_tokens, completion_tokens, estimated_requests)
  SELECT "tenantId", day, "keyPublicId", "deploymentId", "servedModel", "versionDigest",
    sum(requests), sum("promptTokens"), sum("completionTokens"), sum("estimatedRequests")
  FROM jsonb_to_recordset($1::jsonb) AS entry ("tenantId" uuid, day date, "keyPublicId" text, "deploymentId" uuid,
    "servedModel" text, "versionDigest" text, requests bigint, "promptTokens" bigint, "completionTokens" bigint,
    "estimatedRequests" bigint)
  GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
  ON CONFLICT (tenant_id, day, key_public_id, deployment_id, served_model, version_digest) DO UPDATE SET
    requests = held.requests + excluded.requests,
    prompt_tokens = held.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = held.completion_tokens + excluded.completion_tokens,
    estimated_requests = held.estimated_requests + excluded.estimated_requests`;

const OF_BUDGET = `
  SELECT ${COLUMNS.selected} FROM budget_leases
  WHERE budget_id = $1 AND phase <> 'Ended' ORDER BY granted_at DESC, id DESC LIMIT $2`;

// As `expireLease` of the domain. Whoever renews one meanwhile writes it as living again.
const EXPIRE = `
  WITH due AS (
    SELECT id FROM budget_leases WHERE phase = 'Active' AND expires_at <= now()
    ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
  )
  UPDATE budget_leases lease
  SET phase = CASE WHEN spent_tokens >= granted_tokens THEN 'Ended' ELSE 'Expired' END
  FROM due WHERE lease.id = due.id`;

const REMOVE_REQUESTS = 'DELETE FROM lease_requests WHERE created_at < $1';

const REMOVE_TOLD = 'DELETE FROM gateway_usage WHERE received_at < $1';

// One without a period that its holder never gave back stays: it may have been spent, and so is out.
const REMOVE_LEASES = `
  DELETE FROM budget_leases WHERE expires_at < $1 AND (phase = 'Ended' OR period_key <> 'total')`;

// A month's key sorts before all of its days; `$1` is so long ago that its month is over.
const REMOVE_ACCOUNTS = `
  DELETE FROM budget_accounts
  WHERE period_key <> 'total' AND period_key < to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD')`;
