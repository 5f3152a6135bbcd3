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
  createPriorityClassSchema,
  nameSchema,
  pageOf,
  pageQuerySchema,
  priorityClassSchema,
  updatePriorityClassSchema,
} from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { located, tagged } from '../mutations/headers.ts';
import { CreatedAnswer } from '../openapi/answers.ts';
import { IdempotencyKeyHeader, IfMatchHeader } from '../openapi/headers.ts';
import { NoStrayQuery } from '../problems/no-stray-query.ts';
import { PriorityClasses } from './priority-classes.ts';

const pageSchema = pageOf(priorityClassSchema);

@ApiTags('queues')
@UseGuards(NoStrayQuery)
@Controller('api/v1/priority-classes')
export class PriorityClassesController {
  constructor(private readonly priorityClasses: PriorityClasses) {}

  @Post()
  @RequirePermission('queues:write')
  @IdempotencyKeyHeader()
  @ApiOperation({ summary: 'Name a priority from 0 to 10, and say whether it takes room from others and yields it' })
  @CreatedAnswer(priorityClassSchema)
  async create(
    @Body({ schema: createPriorityClassSchema }) wanted: z.output<typeof createPriorityClassSchema>,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const made = await this.priorityClasses.create(actor, wanted, key);
    return tagged(reply, located(reply, '/api/v1/priority-classes', made));
  }

  @Get()
  @RequirePermission('queues:read')
  @ApiOperation({ summary: 'List priority classes' })
  @ApiResponse({ status: 200, standardSchema: pageSchema })
  list(@Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>, @CurrentActor() actor: Actor) {
    return this.priorityClasses.list(actor.tenantId, query);
  }

  @Get(':name')
  @RequirePermission('queues:read')
  @ApiOperation({ summary: 'Show a priority class' })
  @ApiResponse({ status: 200, standardSchema: priorityClassSchema })
  async get(
    @Param('name', { schema: nameSchema }) name: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.priorityClasses.get(actor.tenantId, name));
  }

  @Patch(':name')
  @RequirePermission('queues:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Change a class; what was submitted with it keeps the number that it had then' })
  @ApiResponse({ status: 200, standardSchema: priorityClassSchema })
  async update(
    @Param('name', { schema: nameSchema }) name: string,
    @Body({ schema: updatePriorityClassSchema }) change: z.output<typeof updatePriorityClassSchema>,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.priorityClasses.update(actor, { name, ifMatch }, change));
  }

  @Delete(':name')
  @HttpCode(204)
  @RequirePermission('queues:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Remove a class that is not one of those that every tenant has' })
  @ApiResponse({ status: 204, description: 'Removed' })
  async remove(
    @Param('name', { schema: nameSchema }) name: string,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
  ): Promise<void> {
    await this.priorityClasses.remove(actor, { name, ifMatch });
  }
}
