import type { Rows } from '#domain';
import type { Session } from '../session.ts';
import { PostgresAliasRows } from './aliases.ts';
import { PostgresApiKeyRows } from './api-keys.ts';
import { PostgresArtifactRows } from './artifacts.ts';
import { PostgresAttemptRows } from './attempts.ts';
import { PostgresAuditRows } from './audit.ts';
import { PostgresBudgetRows } from './budgets.ts';
import { PostgresBundleRows } from './bundles.ts';
import { PostgresChangeRows } from './changes.ts';
import { PostgresClockRows } from './clock.ts';
import { PostgresClusterRows } from './clusters.ts';
import { PostgresConflictRows } from './conflicts.ts';
import { PostgresDecisionRows } from './decisions.ts';
import { PostgresDeploymentRows } from './deployments.ts';
import { PostgresDesiredRows } from './desired.ts';
import { PostgresDeviceHoldRows } from './device-holds.ts';
import { PostgresIdempotencyRows } from './idempotency.ts';
import { PostgresInboxRows } from './inbox.ts';
import { PostgresJobEventRows } from './job-events.ts';
import { PostgresJobRows } from './jobs.ts';
import { PostgresJoinTokenRows } from './join-tokens.ts';
import { PostgresLeaderRows } from './leader.ts';
import { PostgresLeaseRows } from './leases.ts';
import { PostgresModelRows } from './models.ts';
import { PostgresObservationRows } from './observations.ts';
import { PostgresOutboxRows } from './outbox.ts';
import { PostgresOwedDocumentRows } from './owed-documents.ts';
import { PostgresPlacementRows } from './placements.ts';
import { PostgresPriorityClassRows } from './priority-classes.ts';
import { PostgresQueueRows } from './queues.ts';
import { PostgresRevocationRows } from './revocations.ts';
import { PostgresRolloutRows } from './rollouts.ts';
import { PostgresRoutesRows } from './routes.ts';
import { PostgresSyncClaimRows } from './sync-claims.ts';
import { PostgresTenantRows } from './tenants.ts';
import { PostgresTokenUsageRows } from './token-usage.ts';
import { PostgresUsageRows } from './usage.ts';
import { PostgresVersionRows } from './versions.ts';

export function rowsOf(session: Session): Rows {
  return {
    clusters: new PostgresClusterRows(session),
    revocations: new PostgresRevocationRows(session),
    joinTokens: new PostgresJoinTokenRows(session),
    apiKeys: new PostgresApiKeyRows(session),
    models: new PostgresModelRows(session),
    versions: new PostgresVersionRows(session),
    aliases: new PostgresAliasRows(session),
    artifacts: new PostgresArtifactRows(session),
    deployments: new PostgresDeploymentRows(session),
    rollouts: new PostgresRolloutRows(session),
    syncClaims: new PostgresSyncClaimRows(session),
    placements: new PostgresPlacementRows(session),
    observations: new PostgresObservationRows(session),
    desired: new PostgresDesiredRows(session),
    conflicts: new PostgresConflictRows(session),
    leader: new PostgresLeaderRows(session),
    outbox: new PostgresOutboxRows(session),
    inbox: new PostgresInboxRows(session),
    audit: new PostgresAuditRows(session),
    decisions: new PostgresDecisionRows(session),
    routes: new PostgresRoutesRows(session),
    idempotency: new PostgresIdempotencyRows(session),
    tenants: new PostgresTenantRows(session),
    queues: new PostgresQueueRows(session),
    priorityClasses: new PostgresPriorityClassRows(session),
    jobs: new PostgresJobRows(session),
    attempts: new PostgresAttemptRows(session),
    deviceHolds: new PostgresDeviceHoldRows(session),
    jobEvents: new PostgresJobEventRows(session),
    usage: new PostgresUsageRows(session),
    owedDocuments: new PostgresOwedDocumentRows(session),
    budgets: new PostgresBudgetRows(session),
    leases: new PostgresLeaseRows(session),
    tokenUsage: new PostgresTokenUsageRows(session),
    bundles: new PostgresBundleRows(session),
    changes: new PostgresChangeRows(session),
    clock: new PostgresClockRows(session),
  };
}
