import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import { createModelSchema, modelSchema, nameSchema, pageOf, pageQuerySchema, updateModelSchema } from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { located, tagged } from '../mutations/headers.ts';
import { CreatedAnswer } from '../openapi/answers.ts';
import { IdempotencyKeyHeader, IfMatchHeader } from '../openapi/headers.ts';
import { Models } from './models.ts';

const pageSchema = pageOf(modelSchema);

@ApiTags('models')
@Controller('api/v1/models')
export class ModelsController {
  constructor(private readonly models: Models) {}

  @Post()
  @RequirePermission('models:write')
  @IdempotencyKeyHeader()
  @ApiOperation({ summary: 'Name a new model' })
  @CreatedAnswer(modelSchema)
  async create(
    @Body({ schema: createModelSchema }) wanted: z.output<typeof createModelSchema>,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, located(reply, '/api/v1/models', await this.models.create(actor, wanted, key)));
  }

  @Get()
  @RequirePermission('models:read')
  @ApiOperation({ summary: 'List models' })
  @ApiResponse({ status: 200, standardSchema: pageSchema })
  list(@Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>, @CurrentActor() actor: Actor) {
    return this.models.list(actor.tenantId, query);
  }

  @Get(':model')
  @RequirePermission('models:read')
  @ApiOperation({ summary: 'Show a model' })
  @ApiResponse({ status: 200, standardSchema: modelSchema })
  async get(
    @Param('model', { schema: nameSchema }) name: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.models.get(actor.tenantId, name));
  }

  @Patch(':model')
  @RequirePermission('models:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Change when snapshots are made and how long versions are kept' })
  @ApiResponse({ status: 200, standardSchema: modelSchema })
  async update(
    @Param('model', { schema: nameSchema }) name: string,
    @Body({ schema: updateModelSchema }) change: z.output<typeof updateModelSchema>,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.models.update(actor, { name, ifMatch }, change));
  }

  @Delete(':model')
  @HttpCode(204)
  @RequirePermission('models:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Delete a model with its versions; refused while a deployment uses it' })
  @ApiResponse({ status: 204, description: 'Deleted' })
  async remove(
    @Param('model', { schema: nameSchema }) name: string,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
  ): Promise<void> {
    await this.models.remove(actor, { name, ifMatch });
  }
}
