import { Module } from '@nestjs/common';
import { FederationModule } from '../federation/federation.module.ts';
import { RolloutsController } from '../rollouts/rollouts.controller.ts';
import { Rollouts } from '../rollouts/rollouts.ts';
import { DeploymentsController } from './deployments.controller.ts';
import { Deployments } from './deployments.ts';

@Module({
  imports: [FederationModule],
  controllers: [DeploymentsController, RolloutsController],
  providers: [Deployments, Rollouts],
})
export class DeploymentsModule {}
