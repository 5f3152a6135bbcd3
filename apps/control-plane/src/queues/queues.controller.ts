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
  createQueueSchema,
  nameSchema,
  pageOf,
  pageQuerySchema,
  queueDetailSchema,
  queueSchema,
  updateQueueSchema,
} from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { located, tagged } from '../mutations/headers.ts';
import { CreatedAnswer } from '../openapi/answers.ts';
import { IdempotencyKeyHeader, IfMatchHeader } from '../openapi/headers.ts';
import { NoStrayQuery } from '../problems/no-stray-query.ts';
import { Queues } from './queues.ts';

const pageSchema = pageOf(queueSchema);

@ApiTags('queues')
@UseGuards(NoStrayQuery)
@Controller('api/v1/queues')
export class QueuesController {
  constructor(private readonly queues: Queues) {}

  @Post()
  @RequirePermission('queues:write')
  @IdempotencyKeyHeader()
  @ApiOperation({ summary: 'Make a queue: a weight, a quota, and how far it may borrow and lend' })
  @CreatedAnswer(queueSchema)
  async create(
    @Body({ schema: createQueueSchema }) wanted: z.output<typeof createQueueSchema>,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, located(reply, '/api/v1/queues', await this.queues.create(actor, wanted, key)));
  }

  @Get()
  @RequirePermission('queues:read')
  @ApiOperation({ summary: 'List queues with what they use and how long they are' })
  @ApiResponse({ status: 200, standardSchema: pageSchema })
  list(@Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>, @CurrentActor() actor: Actor) {
    return this.queues.list(actor.tenantId, query);
  }

  @Get(':name')
  @RequirePermission('queues:read')
  @ApiOperation({ summary: 'Show a queue, its length, and the place and reason of each entry in its order' })
  @ApiResponse({ status: 200, standardSchema: queueDetailSchema })
  async get(
    @Param('name', { schema: nameSchema }) name: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.queues.get(actor.tenantId, name));
  }

  @Patch(':name')
  @RequirePermission('queues:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Change weight, quota, limits or order; pause it or go on' })
  @ApiResponse({ status: 200, standardSchema: queueSchema })
  async update(
    @Param('name', { schema: nameSchema }) name: string,
    @Body({ schema: updateQueueSchema }) change: z.output<typeof updateQueueSchema>,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.queues.update(actor, { name, ifMatch }, change));
  }

  @Delete(':name')
  @HttpCode(204)
  @RequirePermission('queues:write')
  @IfMatchHeader()
  @ApiOperation({
    summary: 'Remove a queue; refused while other queues, deployments or jobs name it, ended jobs that are kept too',
  })
  @ApiResponse({ status: 204, description: 'Removed' })
  async remove(
    @Param('name', { schema: nameSchema }) name: string,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
  ): Promise<void> {
    await this.queues.remove(actor, { name, ifMatch });
  }
}
