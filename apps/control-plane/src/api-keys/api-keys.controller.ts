import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { apiKeyCreatedSchema, apiKeySchema, createApiKeySchema, idSchema, pageOf, pageQuerySchema } from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { IdempotencyKeyHeader } from '../openapi/headers.ts';
import { ApiKeys } from './api-keys.ts';

const pageSchema = pageOf(apiKeySchema);

@ApiTags('api-keys')
@Controller('api/v1/api-keys')
export class ApiKeysController {
  constructor(private readonly keys: ApiKeys) {}

  @Post()
  @RequirePermission('api-keys:write')
  @IdempotencyKeyHeader()
  @ApiOperation({ summary: 'Make a key; it is shown once' })
  @ApiResponse({ status: 201, standardSchema: apiKeyCreatedSchema })
  create(
    @Body({ schema: createApiKeySchema }) wanted: z.output<typeof createApiKeySchema>,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
  ) {
    return this.keys.create(actor, wanted, key);
  }

  @Get()
  @RequirePermission('api-keys:read')
  @ApiOperation({ summary: 'List keys, never their secrets' })
  @ApiResponse({ status: 200, standardSchema: pageSchema })
  list(@Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>, @CurrentActor() actor: Actor) {
    return this.keys.list(actor.tenantId, query);
  }

  @Delete(':id')
  @HttpCode(204)
  @RequirePermission('api-keys:write')
  @ApiOperation({ summary: 'Revoke a key' })
  @ApiResponse({ status: 204, description: 'Revoked' })
  async revoke(@Param('id', { schema: idSchema }) id: string, @CurrentActor() actor: Actor): Promise<void> {
    await this.keys.revoke(actor, id);
  }
}
