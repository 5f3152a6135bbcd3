import {
  Body,
  Controller,
  Delete,
  Get,
  Headers,
  HttpCode,
  Param,
  Patch,
  Post,
  Query,
  Res,
  UseGuards,
} from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import {
  createTenantSchema,
  nameSchema,
  pageOf,
  pageQuerySchema,
  queueSchema,
  tenantCreatedSchema,
  tenantDetailSchema,
  tenantSchema,
  updateQueueSchema,
  usageQuerySchema,
  usageSchema,
} from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { located, tagged } from '../mutations/headers.ts';
import { CreatedAnswer } from '../openapi/answers.ts';
import { IdempotencyKeyHeader, IfMatchHeader } from '../openapi/headers.ts';
import { NoStrayQuery } from '../problems/no-stray-query.ts';
import { Tenants } from './tenants.ts';

const listSchema = pageOf(tenantSchema);
const queuesSchema = pageOf(queueSchema);

@ApiTags('tenants')
@UseGuards(NoStrayQuery)
@Controller('api/v1')
export class TenantsController {
  constructor(private readonly tenants: Tenants) {}

  @Post('tenants')
  @RequirePermission('tenants:write')
  @IdempotencyKeyHeader()
  @ApiOperation({ summary: 'Make a tenant with its queue, its priority classes and a first admin key, shown once' })
  @CreatedAnswer(tenantCreatedSchema)
  async create(
    @Body({ schema: createTenantSchema }) { name }: z.output<typeof createTenantSchema>,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, located(reply, '/api/v1/tenants', await this.tenants.create(actor, name, key)));
  }

  @Get('tenants')
  @RequirePermission('queues:read')
  @ApiOperation({ summary: 'List tenants: all for keys of the installation’s own, else the own one' })
  @ApiResponse({ status: 200, standardSchema: listSchema })
  list(@Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>, @CurrentActor() actor: Actor) {
    return this.tenants.list(actor, query);
  }

  @Get('tenants/:name')
  @RequirePermission('queues:read')
  @ApiOperation({ summary: 'Show a tenant, and what there is of it' })
  @ApiResponse({ status: 200, standardSchema: tenantDetailSchema })
  async get(
    @Param('name', { schema: nameSchema }) name: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.tenants.get(actor, name));
  }

  @Delete('tenants/:name')
  @HttpCode(204)
  @RequirePermission('tenants:write')
  @IfMatchHeader()
  @ApiOperation({
    summary:
      'Remove a tenant with its queues, classes and keys; refused while it has work, models, clusters or budgets',
  })
  @ApiResponse({ status: 204, description: 'Removed; what it used is kept' })
  async remove(
    @Param('name', { schema: nameSchema }) name: string,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
  ): Promise<void> {
    await this.tenants.remove(actor, { name, ifMatch });
  }

  @Get('tenants/:name/queues')
  @RequirePermission('queues:read')
  @ApiOperation({ summary: 'List the queues of a tenant, with what they use and how long they are' })
  @ApiResponse({ status: 200, standardSchema: queuesSchema })
  queues(
    @Param('name', { schema: nameSchema }) name: string,
    @Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>,
    @CurrentActor() actor: Actor,
  ) {
    return this.tenants.queuesOf(actor, name, query);
  }

  @Get('tenants/:name/queues/:queue')
  @RequirePermission('queues:read')
  @ApiOperation({ summary: 'Show a queue of a tenant, without the names of what waits in it' })
  @ApiResponse({ status: 200, standardSchema: queueSchema })
  async queue(
    @Param('name', { schema: nameSchema }) tenant: string,
    @Param('queue', { schema: nameSchema }) name: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.tenants.queueOf(actor, tenant, name));
  }

  @Patch('tenants/:name/queues/:queue')
  @RequirePermission('tenants:write')
  @IfMatchHeader()
  @ApiOperation({
    summary:
      'Change a queue of a tenant. What a root has of the fleet only keys of the installation’s own tenant raise',
  })
  @ApiResponse({ status: 200, standardSchema: queueSchema })
  async updateQueue(
    @Param('name', { schema: nameSchema }) tenant: string,
    @Param('queue', { schema: nameSchema }) name: string,
    @Body({ schema: updateQueueSchema }) change: z.output<typeof updateQueueSchema>,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.tenants.updateQueue(actor, tenant, { name, ifMatch }, change));
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
