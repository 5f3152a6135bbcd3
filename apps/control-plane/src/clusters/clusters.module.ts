import { Module } from '@nestjs/common';
import { FederationModule } from '../federation/federation.module.ts';
import { AgentController } from './agent.controller.ts';
import { Challenge } from './challenge.ts';
import { ClusterExplanations } from './cluster-explanations.ts';
import { ClusterOperationsController } from './cluster-operations.controller.ts';
import { ClustersController } from './clusters.controller.ts';
import { Clusters } from './clusters.ts';
import { Drains } from './drains.ts';
import { JoinTokensController } from './join-tokens.controller.ts';
import { Joining } from './joining.ts';
import { Resyncs } from './resyncs.ts';

@Module({
  imports: [FederationModule],
  controllers: [AgentController, JoinTokensController, ClustersController, ClusterOperationsController],
  providers: [Challenge, Joining, Clusters, Drains, ClusterExplanations, Resyncs],
})
export class ClustersModule {}
