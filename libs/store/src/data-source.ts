import 'reflect-metadata';
import { DataSource } from 'typeorm';
import { Initial1795440000000 } from '../../../migrations/1795440000000-initial.ts';
import { ModelSync1795446000000 } from '../../../migrations/1795446000000-model-sync.ts';
import { Jobs1795450000000 } from '../../../migrations/1795450000000-jobs.ts';
import { Budgets1795460000000 } from '../../../migrations/1795460000000-budgets.ts';
import { EdgeServing1795461000000 } from '../../../migrations/1795461000000-edge-serving.ts';
import { LeaseExpiry1795462000000 } from '../../../migrations/1795462000000-lease-expiry.ts';
import { RowChanges1795463000000 } from '../../../migrations/1795463000000-row-changes.ts';
import { GatewayUsage1795464000000 } from '../../../migrations/1795464000000-gateway-usage.ts';
import { LeaderClock1795465000000 } from '../../../migrations/1795465000000-leader-clock.ts';
import { DesiredOutline1795467000000 } from '../../../migrations/1795467000000-desired-outline.ts';
import { DeploymentSpread1795468000000 } from '../../../migrations/1795468000000-deployment-spread.ts';
import { TenantRemoval1795469000000 } from '../../../migrations/1795469000000-tenant-removal.ts';
import { JobLosses1795470000000 } from '../../../migrations/1795470000000-job-losses.ts';
import { VersionArtifactRow } from './entities/artifacts.ts';
import {
  BudgetAccountRow,
  BudgetLeaseRow,
  BudgetRow,
  BundleSourceRow,
  GatewayUsageRow,
  LeaseRequestRow,
  OfflineBundleRow,
  TokenUsageRow,
} from './entities/budgets.ts';
import { ClusterConflictRow, ClusterRow, RevocationRow } from './entities/clusters.ts';
import { DeploymentRow, PlacementRow } from './entities/deployments.ts';
import { AuditRow, DecisionRow } from './entities/history.ts';
import {
  AttemptRow,
  DeviceHoldRow,
  JobBlobRow,
  JobEventRow,
  JobMountRow,
  JobRow,
  OwedDocumentRow,
} from './entities/jobs.ts';
import { ApiKeyRow, JoinTokenRow } from './entities/keys.ts';
import { IdempotencyRow, InboxRow, OutboxRow } from './entities/messages.ts';
import { AliasMoveRow, ModelAliasRow, ModelRow, ModelVersionRow } from './entities/models.ts';
import { SnakeCaseNames } from './entities/naming.ts';
import { DesiredStateRow, ObservationRow } from './entities/observed.ts';
import { PriorityClassRow, QueueRow, QueueUsageRow, RemovedQueueRow } from './entities/queues.ts';
import { RolloutRow, SyncClaimRow } from './entities/rollouts.ts';
import { LeaderRow, RoutesViewRow } from './entities/singletons.ts';
import { TenantRow } from './entities/tenants.ts';
import { SilentLogger } from './silence.ts';
import { TYPE_PARSERS } from './timestamps.ts';

/** In the order in which they ran everywhere; append only. */
export const MIGRATIONS = [
  Initial1795440000000,
  ModelSync1795446000000,
  Jobs1795450000000,
  Budgets1795460000000,
  EdgeServing1795461000000,
  LeaseExpiry1795462000000,
  RowChanges1795463000000,
  GatewayUsage1795464000000,
  LeaderClock1795465000000,
  DesiredOutline1795467000000,
  DeploymentSpread1795468000000,
  TenantRemoval1795469000000,
  JobLosses1795470000000,
];

const ENTITIES = [
  TenantRow,
  QueueRow,
  PriorityClassRow,
  QueueUsageRow,
  RemovedQueueRow,
  ClusterRow,
  ClusterConflictRow,
  RevocationRow,
  ApiKeyRow,
  JoinTokenRow,
  ModelRow,
  ModelVersionRow,
  ModelAliasRow,
  AliasMoveRow,
  VersionArtifactRow,
  DeploymentRow,
  RolloutRow,
  SyncClaimRow,
  PlacementRow,
  JobRow,
  JobMountRow,
  JobBlobRow,
  JobEventRow,
  AttemptRow,
  DeviceHoldRow,
  OwedDocumentRow,
  ObservationRow,
  DesiredStateRow,
  OutboxRow,
  InboxRow,
  IdempotencyRow,
  AuditRow,
  DecisionRow,
  LeaderRow,
  RoutesViewRow,
  BudgetRow,
  BudgetAccountRow,
  BudgetLeaseRow,
  LeaseRequestRow,
  GatewayUsageRow,
  TokenUsageRow,
  BundleSourceRow,
  OfflineBundleRow,
];

export interface Bounds {
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly lockTimeoutMs: number;
  /** A process that stops in the middle of a transaction must not hold its locks, the leader's row among them. */
  readonly idleInTransactionTimeoutMs: number;
}

/** A TypeORM data source that changes no schema by itself. `bounds` are set on every connection by Postgres itself. */
export function dataSourceOf(
  url: string,
  options: { poolSize: number; applicationName: string; bounds?: Bounds; onError: (error: unknown) => void },
): DataSource {
  return new DataSource({
    type: 'postgres',
    url,
    applicationName: options.applicationName,
    poolSize: options.poolSize,
    entities: ENTITIES,
    migrations: MIGRATIONS,
    namingStrategy: new SnakeCaseNames(),
    migrationsRun: false,
    synchronize: false,
    installExtensions: false,
    logger: new SilentLogger(),
    poolErrorHandler: options.onError,
    extra: { keepAlive: true, keepAliveInitialDelayMillis: 10_000, types: TYPE_PARSERS, ...boundsOf(options.bounds) },
  });
}

function boundsOf(bounds: Bounds | undefined): Record<string, unknown> {
  if (bounds === undefined) return {};
  return {
    connectionTimeoutMillis: bounds.connectTimeoutMs,
    statement_timeout: bounds.statementTimeoutMs,
    lock_timeout: bounds.lockTimeoutMs,
    idle_in_transaction_session_timeout: bounds.idleInTransactionTimeoutMs,
    // The same for answers that never come because the network does not carry them.
    query_timeout: bounds.statementTimeoutMs + 5_000,
  };
}
