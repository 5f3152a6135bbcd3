import { type DynamicModule, Module } from '@nestjs/common';
import type { HealthRegistry, Registry } from '#telemetry';
import { ApiKeysModule } from './api-keys/api-keys.module.ts';
import { ArtifactsModule } from './artifacts/artifacts.module.ts';
import { AuditModule } from './audit/audit.module.ts';
import { AuthModule } from './auth/auth.module.ts';
import { BlobsModule } from './blobs/blobs.module.ts';
import { BudgetsModule } from './budgets/budgets.module.ts';
import { ClustersModule } from './clusters/clusters.module.ts';
import { DeploymentsModule } from './deployments/deployments.module.ts';
import { FederationModule } from './federation/federation.module.ts';
import { healthModule } from './health/health.module.ts';
import { type InstallationParts, installationModule } from './installation/installation.module.ts';
import { JobLoopsModule } from './jobs/job-loops.module.ts';
import { JobsApiModule } from './jobs/jobs-api.module.ts';
import { LeaderModule } from './leader/leader.module.ts';
import { ModelsModule } from './models/models.module.ts';
import { OfflineModule } from './offline/offline.module.ts';
import { OpenApiModule } from './openapi/openapi.module.ts';
import { QueuesModule } from './queues/queues.module.ts';
import { SyncModule } from './sync/sync.module.ts';
import { TenantsModule } from './tenants/tenants.module.ts';

@Module({})
class ApplicationModule {}

export function applicationModule(parts: InstallationParts, health: HealthRegistry, registry: Registry): DynamicModule {
  const imports = [
    installationModule(parts),
    healthModule(health, registry),
    AuthModule,
    FederationModule,
    LeaderModule,
    ClustersModule,
    ModelsModule,
    SyncModule,
    ArtifactsModule,
    BlobsModule,
    DeploymentsModule,
    JobsApiModule,
    JobLoopsModule,
    QueuesModule,
    TenantsModule,
    BudgetsModule,
    OfflineModule,
    ApiKeysModule,
    AuditModule,
    OpenApiModule,
  ];
  return { module: ApplicationModule, imports };
}
