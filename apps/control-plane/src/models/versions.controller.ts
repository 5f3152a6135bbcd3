import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Put, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { createVersionSchema, nameSchema, pageOf, publishVersionSchema, versionSchema } from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { bytesOf } from '../blobs/body-bytes.ts';
import { located } from '../mutations/headers.ts';
import { CreatedAnswer } from '../openapi/answers.ts';
import { IdempotencyKeyHeader } from '../openapi/headers.ts';
import { Versions } from './versions.ts';

export const numberSchema = z.coerce.number().int().min(1).max(2_147_483_647);
const contentQuerySchema = z.strictObject({
  path: z.string().min(1).max(255),
  offset: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
});
const listSchema = pageOf(versionSchema);
const fileSchema = versionSchema.shape.files.element;

@ApiTags('models')
@Controller('api/v1/models/:model/versions')
export class VersionsController {
  constructor(private readonly versions: Versions) {}

  @Post()
  @RequirePermission('models:write')
  @IdempotencyKeyHeader()
  @ApiOperation({ summary: 'Begin the upload of a new version by declaring its files' })
  @CreatedAnswer(versionSchema)
  async create(
    @Param('model', { schema: nameSchema }) model: string,
    @Body({ schema: createVersionSchema }) wanted: z.output<typeof createVersionSchema>,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const made = await this.versions.create(actor, model, wanted, key);
    return located(reply, `/api/v1/models/${model}/versions`, made);
  }

  @Get()
  @RequirePermission('models:read')
  @ApiOperation({ summary: 'List the versions of a model, newest first' })
  @ApiResponse({ status: 200, standardSchema: listSchema })
  async list(@Param('model', { schema: nameSchema }) model: string, @CurrentActor() actor: Actor) {
    return { items: await this.versions.list(actor.tenantId, model), next: null };
  }

  @Get(':number')
  @RequirePermission('models:read')
  @ApiOperation({ summary: 'Show a version; of an upload under way, how far each file is' })
  @ApiResponse({ status: 200, standardSchema: versionSchema })
  get(
    @Param('model', { schema: nameSchema }) model: string,
    @Param('number', { schema: numberSchema }) number: number,
    @CurrentActor() actor: Actor,
  ) {
    return this.versions.get({ tenantId: actor.tenantId, model, number });
  }

  @Put(':number/content')
  @RequirePermission('models:write')
  @ApiOperation({ summary: 'Append bytes to one file; after a cut, go on at the receivedBytes that GET shows' })
  @ApiConsumes('application/octet-stream')
  @ApiBody({ schema: { type: 'string', format: 'binary' } })
  @ApiResponse({ status: 200, standardSchema: fileSchema })
  upload(
    @Param('model', { schema: nameSchema }) model: string,
    @Param('number', { schema: numberSchema }) number: number,
    @Query({ schema: contentQuerySchema }) part: z.output<typeof contentQuerySchema>,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
  ) {
    return this.versions.upload({ tenantId: actor.tenantId, model, number }, { ...part, source: bytesOf(request) });
  }

  @Post(':number/publish')
  @HttpCode(200)
  @RequirePermission('models:write')
  @ApiOperation({ summary: 'Publish a version whose files are all here, signed or not; it never changes again' })
  @ApiResponse({ status: 200, standardSchema: versionSchema })
  publish(
    @Param('model', { schema: nameSchema }) model: string,
    @Param('number', { schema: numberSchema }) number: number,
    @Body({ schema: publishVersionSchema }) body: z.output<typeof publishVersionSchema>,
    @CurrentActor() actor: Actor,
  ) {
    return this.versions.publish(actor, { tenantId: actor.tenantId, model, number }, body);
  }

  @Delete(':number')
  @HttpCode(204)
  @RequirePermission('models:write')
  @ApiOperation({ summary: 'Give up an upload, or take back a version that no deployment and no alias uses' })
  @ApiResponse({ status: 204, description: 'Abandoned' })
  async abandon(
    @Param('model', { schema: nameSchema }) model: string,
    @Param('number', { schema: numberSchema }) number: number,
    @CurrentActor() actor: Actor,
  ): Promise<void> {
    await this.versions.abandon(actor, { tenantId: actor.tenantId, model, number });
  }
}
