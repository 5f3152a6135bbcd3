import { Module } from '@nestjs/common';
import { FederationModule } from '../federation/federation.module.ts';
import { LeaderModule } from '../leader/leader.module.ts';
import { BudgetLoops } from './budget-loops.ts';
import { BudgetsController } from './budgets.controller.ts';
import { Budgets } from './budgets.ts';
import { GatewayUsageController } from './gateway-usage.controller.ts';
import { GatewayUsageDesk } from './gateway-usage.ts';
import { LeaseController } from './lease.controller.ts';
import { Leases } from './leases.ts';
import { TokenUsageController } from './token-usage.controller.ts';
import { TokenUsageReader } from './token-usage.ts';

@Module({
  imports: [FederationModule, LeaderModule],
  controllers: [BudgetsController, TokenUsageController, LeaseController, GatewayUsageController],
  providers: [Budgets, TokenUsageReader, Leases, GatewayUsageDesk, BudgetLoops],
})
export class BudgetsModule {}
