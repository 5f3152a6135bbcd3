import { Module } from '@nestjs/common';
import { AgentLogsModule } from '../agent-logs/agent-logs.module.ts';
import { FederationModule } from '../federation/federation.module.ts';
import { RolloutsController } from '../rollouts/rollouts.controller.ts';
import { Rollouts } from '../rollouts/rollouts.ts';
import { DeploymentsController } from './deployments.controller.ts';
import { Deployments } from './deployments.ts';
import { ReplicaLogsController } from './replica-logs.controller.ts';

@Module({
  imports: [AgentLogsModule, FederationModule],
  controllers: [DeploymentsController, ReplicaLogsController, RolloutsController],
  providers: [Deployments, Rollouts],
})
export class DeploymentsModule {}
