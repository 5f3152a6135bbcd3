import { Module } from '@nestjs/common';
import { FederationModule } from '../federation/federation.module.ts';
import { RolloutLoops } from '../rollouts/rollout-loops.ts';
import { LeaderService } from './leader.service.ts';

/** The leader's controllers. Needs `Store`, `LeaderLease` and `ControlPlaneNats` from global modules. */
@Module({ imports: [FederationModule], providers: [LeaderService, RolloutLoops], exports: [LeaderService] })
export class LeaderModule {}
