import { Module } from '@nestjs/common';
import { FederationModule } from '../federation/federation.module.ts';
import { LeaseController } from './lease.controller.ts';
import { Leases } from './leases.ts';

@Module({ imports: [FederationModule], controllers: [LeaseController], providers: [Leases] })
export class BudgetsModule {}
