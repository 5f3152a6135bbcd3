import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { idSchema, pageOf, pageQuerySchema } from '#contracts';
import { Store } from '#domain';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { readPage } from '../mutations/pages.ts';

const entrySchema = z.object({
  id: idSchema,
  actor: z.string(),
  action: z.string(),
  targetKind: z.string(),
  targetId: z.string(),
  detail: z.record(z.string(), z.unknown()),
  at: z.iso.datetime(),
});
const pageSchema = pageOf(entrySchema);

@ApiTags('audit')
@Controller('api/v1/audit')
export class AuditController {
  constructor(private readonly store: Store) {}

  @Get()
  @RequirePermission('audit:read')
  @ApiOperation({ summary: 'Who changed what, newest first' })
  @ApiResponse({ status: 200, standardSchema: pageSchema })
  async list(
    @Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>,
    @CurrentActor() actor: Actor,
  ) {
    const page = await readPage(actor.tenantId, query, (request) => this.store.read.audit.list(request));
    return {
      ...page,
      items: page.items.map(({ tenantId: _tenantId, at, ...entry }) => ({ ...entry, at: at.toISOString() })),
    };
  }
}
