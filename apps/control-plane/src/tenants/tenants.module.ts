import { Module } from '@nestjs/common';
import { QueuesModule } from '../queues/queues.module.ts';
import { TenantsController } from './tenants.controller.ts';
import { Tenants } from './tenants.ts';

@Module({ imports: [QueuesModule], controllers: [TenantsController], providers: [Tenants] })
export class TenantsModule {}
