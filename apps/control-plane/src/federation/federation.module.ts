import { Module } from '@nestjs/common';
import { SyncPlans } from '../sync/sync-plans.ts';
import { SystemClock, WallClock } from '../sync/wall-clock.ts';
import { AccountClaimsPusher } from './account-claims-pusher.ts';
import { DesiredFetch } from './desired-fetch.ts';
import { DisconnectAdvisories } from './disconnect-advisories.ts';
import { EventIntake } from './event-intake.ts';
import { FetchController } from './fetch.controller.ts';
import { FleetLiveness, MonotonicClock, ProcessClock } from './fleet-liveness.ts';
import { GatewayRegistry } from './gateway-registry.ts';
import { GatewaysController } from './gateways.controller.ts';
import { HeartbeatController } from './heartbeat.controller.ts';
import { ControlPlaneMetrics, CountedFederation, FederationMetrics, PrometheusFederation } from './metrics.ts';
import { OutcomesController } from './outcomes.controller.ts';
import { OutcomesMemory } from './outcomes-memory.ts';
import { ReportController } from './report.controller.ts';
import { ReportIntake } from './report-intake.ts';
import { RoutesPublisher } from './routes-publisher.ts';
import { SyncPlanController } from './sync-plan.controller.ts';

/**
 * What comes in from the fleet. Needs `Store`, `ControlPlaneNats`, `BlobStore` and `BlobTokens` from global modules, and a microservice
 * with the NATS strategy, without which no handler hears anything. Counts into `ControlPlaneMetrics`
 * when a global module provides it.
 */
@Module({
  controllers: [
    HeartbeatController,
    ReportController,
    FetchController,
    SyncPlanController,
    GatewaysController,
    OutcomesController,
  ],
  providers: [
    { provide: MonotonicClock, useClass: ProcessClock },
    {
      provide: FederationMetrics,
      useFactory: (process?: ControlPlaneMetrics) =>
        process === undefined ? new CountedFederation() : new PrometheusFederation(process.metrics),
      inject: [{ token: ControlPlaneMetrics, optional: true }],
    },
    FleetLiveness,
    ReportIntake,
    { provide: WallClock, useClass: SystemClock },
    DesiredFetch,
    SyncPlans,
    GatewayRegistry,
    OutcomesMemory,
    RoutesPublisher,
    EventIntake,
    DisconnectAdvisories,
    AccountClaimsPusher,
  ],
  exports: [
    DisconnectAdvisories,
    FleetLiveness,
    RoutesPublisher,
    AccountClaimsPusher,
    GatewayRegistry,
    OutcomesMemory,
    FederationMetrics,
  ],
})
export class FederationModule {}
