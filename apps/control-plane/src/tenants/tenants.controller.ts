import { Body, Controller, Get, Headers, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import {
  createTenantSchema,
  nameSchema,
  pageOf,
  queueSchema,
  tenantCreatedSchema,
  tenantSchema,
  updateQueueSchema,
  usageQuerySchema,
  usageSchema,
} from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { IdempotencyKeyHeader, IfMatchHeader } from '../openapi/headers.ts';
import { Tenants } from './tenants.ts';

const listSchema = pageOf(tenantSchema);

@ApiTags('tenants')
@Controller('api/v1')
export class TenantsController {
  constructor(private readonly tenants: Tenants) {}

  @Post('tenants')
  @RequirePermission('tenants:write')
  @IdempotencyKeyHeader()
  @ApiOperation({ summary: 'Make a tenant with its queue, its priority classes and a first admin key, shown once' })
  @ApiResponse({ status: 201, standardSchema: tenantCreatedSchema })
  create(
    @Body({ schema: createTenantSchema }) { name }: z.output<typeof createTenantSchema>,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
  ) {
    return this.tenants.create(actor, name, key);
  }

  @Get('tenants')
  @RequirePermission('queues:read')
  @ApiOperation({ summary: 'List tenants: all for keys of the installation’s own, else the own one' })
  @ApiResponse({ status: 200, standardSchema: listSchema })
  async list(@CurrentActor() actor: Actor) {
    return { items: await this.tenants.list(actor), next: null };
  }

  @Patch('tenants/:name/queues/:queue')
  @RequirePermission('tenants:write')
  @IfMatchHeader()
  @ApiOperation({
    summary:
      'Change a queue of a tenant. What a root has of the fleet only keys of the installation’s own tenant raise',
  })
  @ApiResponse({ status: 200, standardSchema: queueSchema })
  updateQueue(
    @Param('name', { schema: nameSchema }) tenant: string,
    @Param('queue', { schema: nameSchema }) name: string,
    @Body({ schema: updateQueueSchema }) change: z.output<typeof updateQueueSchema>,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
  ) {
    return this.tenants.updateQueue(actor, tenant, { name, ifMatch }, change);
  }

  @Get('tenants/:name/usage')
  @RequirePermission('queues:read')
  @ApiOperation({ summary: 'What a tenant used since a UTC day, in accelerator-seconds, by queue and device type' })
  @ApiResponse({ status: 200, standardSchema: usageSchema })
  usageOf(
    @Param('name', { schema: nameSchema }) name: string,
    @Query({ schema: usageQuerySchema }) { since }: z.output<typeof usageQuerySchema>,
    @CurrentActor() actor: Actor,
  ) {
    return this.tenants.usage(actor, name, since);
  }

  @Get('usage')
  @RequirePermission('queues:read')
  @ApiOperation({
    summary: 'What the own tenant used since a UTC day, in accelerator-seconds, by queue and device type',
  })
  @ApiResponse({ status: 200, standardSchema: usageSchema })
  usage(
    @Query({ schema: usageQuerySchema }) { since }: z.output<typeof usageQuerySchema>,
    @CurrentActor() actor: Actor,
  ) {
    return this.tenants.usage(actor, undefined, since);
  }
}
