import { Body, Controller, Headers, Post } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import { createJoinTokenSchema, type JoinTokenCreated, joinTokenCreatedSchema } from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { repeatable } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { IdempotencyKeyHeader } from '../openapi/headers.ts';
import { Secrets } from '../secrets/secrets.ts';

const JOIN_TOKEN_MS = 3_600_000;

@ApiTags('clusters')
@Controller('api/v1/join-tokens')
export class JoinTokensController {
  constructor(
    private readonly mutations: Mutations,
    private readonly secrets: Secrets,
  ) {}

  @Post()
  @RequirePermission('join-tokens:write')
  @IdempotencyKeyHeader()
  @ApiOperation({ summary: 'Make a single-use join token, good for one hour' })
  @ApiResponse({ status: 201, standardSchema: joinTokenCreatedSchema })
  create(
    @Body({ schema: createJoinTokenSchema }) wanted: z.output<typeof createJoinTokenSchema>,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
  ): Promise<JoinTokenCreated> {
    return this.mutations.create(actor, 'join-tokens.create', repeatable(key, wanted), async (rows) => {
      const { token, publicId, secretHash } = this.secrets.mint('atolljoin');
      const now = await rows.clock.now();
      const expiresAt = new Date(now.getTime() + JOIN_TOKEN_MS);
      const id = uuidv7();
      const owner = { id, tenantId: actor.tenantId, publicId, secretHash };
      await rows.joinTokens.insert({ ...owner, ...wanted, expiresAt, usedAt: null, createdAt: now });
      const result = { id, clusterName: wanted.clusterName, token, expiresAt: expiresAt.toISOString() };
      return { result, targetKind: 'join-token', targetId: id, detail: { ...wanted, publicId } };
    });
  }
}
