import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { tokenUsageQuerySchema, tokenUsageSchema } from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { TokenUsageReader } from './token-usage.ts';

@ApiTags('budgets')
@Controller('api/v1/usage/tokens')
export class TokenUsageController {
  constructor(private readonly usage: TokenUsageReader) {}

  @Get()
  @RequirePermission('budgets:read')
  @ApiOperation({ summary: 'What a tenant was served since a UTC day, in tokens, by day, key, model and deployment' })
  @ApiResponse({ status: 200, standardSchema: tokenUsageSchema })
  read(
    @Query({ schema: tokenUsageQuerySchema }) { tenant, since }: z.output<typeof tokenUsageQuerySchema>,
    @CurrentActor() actor: Actor,
  ) {
    return this.usage.read(actor, tenant, since);
  }
}
