import { Module } from '@nestjs/common';
import { FederationModule } from '../federation/federation.module.ts';
import { AgentController } from './agent.controller.ts';
import { Challenge } from './challenge.ts';
import { ClustersController } from './clusters.controller.ts';
import { Clusters } from './clusters.ts';
import { JoinTokensController } from './join-tokens.controller.ts';
import { Joining } from './joining.ts';

@Module({
  imports: [FederationModule],
  controllers: [AgentController, JoinTokensController, ClustersController],
  providers: [Challenge, Joining, Clusters],
})
export class ClustersModule {}
