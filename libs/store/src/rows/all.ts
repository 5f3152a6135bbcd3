import type { Rows } from '#domain';
import type { Session } from '../session.ts';
import { PostgresAliasRows } from './aliases.ts';
import { PostgresApiKeyRows } from './api-keys.ts';
import { PostgresArtifactRows } from './artifacts.ts';
import { PostgresAuditRows } from './audit.ts';
import { PostgresClusterRows } from './clusters.ts';
import { PostgresDecisionRows } from './decisions.ts';
import { PostgresDeploymentRows } from './deployments.ts';
import { PostgresDesiredRows } from './desired.ts';
import { PostgresIdempotencyRows } from './idempotency.ts';
import { PostgresInboxRows } from './inbox.ts';
import { PostgresJoinTokenRows } from './join-tokens.ts';
import { PostgresModelRows } from './models.ts';
import { PostgresObservationRows } from './observations.ts';
import { PostgresOutboxRows } from './outbox.ts';
import { PostgresPlacementRows } from './placements.ts';
import { PostgresRevocationRows } from './revocations.ts';
import { PostgresRolloutRows } from './rollouts.ts';
import { PostgresRoutesRows } from './routes.ts';
import { PostgresSyncClaimRows } from './sync-claims.ts';
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
    outbox: new PostgresOutboxRows(session),
    inbox: new PostgresInboxRows(session),
    audit: new PostgresAuditRows(session),
    decisions: new PostgresDecisionRows(session),
    routes: new PostgresRoutesRows(session),
    idempotency: new PostgresIdempotencyRows(session),
  };
}
