/** What the application needs of a database for budgets, leases, usage and offline bundles; see `store.ts` for the rules. */
import type { Budget, BudgetStanding, Lease, LeaseHolder } from '../budgets.ts';
import type { LeaseDecision, LeaseDemand, LeaseLedger } from '../lease-desk.ts';
import type { BundleDeployment, BundleKey } from '../offline-bundle.ts';
import type { RoutingPolicy } from '../serving.ts';
import type { TokenUsage, ToldUsage, UsageCharges, UsageLedger } from '../token-usage.ts';
import type { PageRequest } from './store.ts';

/** One period of a budget as people see it. */
export interface BudgetPeriodStanding extends BudgetStanding {
  readonly budgetId: string;
  readonly periodKey: string;
  readonly overdraftTokens: number;
}

export abstract class BudgetRows {
  abstract insert(budget: Budget): Promise<void>;
  /** `forUpdate` locks the row until the transaction ends: nothing is granted meanwhile. */
  abstract find(by: { tenantId: string; name: string }, forUpdate?: boolean): Promise<Budget | null>;
  abstract list(page: PageRequest): Promise<Budget[]>;
  /**
   * Of the tenant, and of those with the same key or for the whole tenant. Two who count before they insert wait for each
   * other.
   */
  abstract countForInsert(tenantId: string, keyPublicId: string | null): Promise<{ tenant: number; scope: number }>;
  /** False when `revision` is no longer the row's. Bumps the revision. */
  abstract update(id: string, revision: number, change: Pick<Budget, 'limitTokens'>): Promise<boolean>;
  /** With its leases and accounts. */
  abstract remove(id: string): Promise<void>;
  /** Of these budgets, the period that is now. */
  abstract standings(budgets: readonly Budget[]): Promise<BudgetPeriodStanding[]>;
}

export abstract class LeaseRows {
  /**
   * Locks the budgets of the request that the holder may use, in order of id, and reads what there is to know. A cluster
   * may use those of tenants that have a deployment in its desired document, a gateway all. `nowMs`: the database's clock.
   */
  abstract ledger(holder: LeaseHolder, demand: LeaseDemand): Promise<{ nowMs: number; ledger: LeaseLedger }>;
  /** After `ledger`, in the same transaction. */
  abstract write(holder: LeaseHolder, decision: Pick<LeaseDecision, 'written' | 'answered'>): Promise<void>;
  /** Locks the budgets of these leases, keys and tenants, in order of id. */
  abstract usageLedger(
    holder: LeaseHolder,
    entries: readonly ToldUsage[],
  ): Promise<{ nowMs: number; ledger: UsageLedger }>;
  /** True the first time that this telling of the gateway is seen. */
  abstract acceptTold(gatewayId: string, messageId: string): Promise<boolean>;
  /** After `usageLedger`, in the same transaction. */
  abstract charge(charges: UsageCharges): Promise<void>;
  /** Of a budget, those that have not ended, the newest first. */
  abstract ofBudget(budgetId: string, limit: number): Promise<Lease[]>;
  /** Marks up to `limit` leases whose end is past as Expired, or Ended when all of them was told. Returns how many. */
  abstract expire(limit: number): Promise<number>;
  /**
   * Removes request and message ids from before `before`, leases that ended or whose period is over by then, and accounts of periods
   * that were over by then.
   */
  abstract removeOlderThan(before: Date): Promise<number>;
}

export interface TokenUsageFilter {
  readonly tenantId: string;
  /** `YYYY-MM-DD`, UTC. */
  readonly since: string;
}

export interface TokenUsageSum extends Omit<TokenUsage, 'tenantId' | 'deploymentId' | 'versionDigest'> {
  /** Of the deployment; its id when it is gone. */
  readonly deployment: string;
}

export abstract class TokenUsageRows {
  /** By day, key, deployment and served model; the newest day first, at most `limit`. */
  abstract since(filter: TokenUsageFilter, limit: number): Promise<TokenUsageSum[]>;
  /** Days before this one. */
  abstract removeBefore(day: string): Promise<number>;
}

/** What an offline bundle of a cluster is made from, read in one statement. */
export interface BundleContent {
  /** Changes with every change of a key or budget, and of the cluster's desired document. */
  readonly source: string;
  readonly keys: readonly BundleKey[];
  /** `routing` null: the default. */
  readonly deployments: readonly (Omit<BundleDeployment, 'routing'> & { readonly routing: RoutingPolicy | null })[];
  readonly budgets: readonly Pick<Budget, 'id' | 'name' | 'limitTokens' | 'period'>[];
}

export interface IssuedBundle {
  readonly sequence: number;
  readonly issuedAt: Date;
  readonly source: string;
  readonly textHash: string;
}

export abstract class BundleRows {
  /** How things stand, without any content; null: the cluster is no member. */
  abstract head(clusterId: string): Promise<{ source: string; issued: IssuedBundle | null; nowMs: number } | null>;
  /** Two that issue for one cluster wait for each other, so that the later one also read the later content. */
  abstract lock(clusterId: string): Promise<void>;
  abstract content(clusterId: string): Promise<BundleContent>;
  /**
   * A new sequence and time when the content is another, or was issued before so many seconds; else what was issued.
   * Sequences also rise across a database that was restored from a backup: they are at least the time in milliseconds.
   * Of `tenantIds`, and of those of earlier bundles, the cluster may tell usage.
   */
  abstract issue(
    clusterId: string,
    content: { source: string; contentHash: string; tenantIds: readonly string[] },
    reissueAfterSeconds: number,
  ): Promise<{ sequence: number; issuedAt: Date }>;
  abstract noteText(clusterId: string, textHash: string): Promise<void>;
}
