import { Controller, Get, Param } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { nameSchema, type VersionSyncDto, versionSyncSchema } from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { numberSchema } from '../models/versions.controller.ts';
import { VersionSync } from './version-sync.ts';

@ApiTags('models')
@Controller('api/v1/models/:model/versions/:number/sync')
export class VersionSyncController {
  constructor(private readonly sync: VersionSync) {}

  @Get()
  @RequirePermission('models:read')
  @ApiOperation({ summary: 'For every cluster, how it got, gets or would get this version, and whether in its window' })
  @ApiResponse({ status: 200, standardSchema: versionSyncSchema })
  show(
    @Param('model', { schema: nameSchema }) model: string,
    @Param('number', { schema: numberSchema }) number: number,
    @CurrentActor() actor: Actor,
  ): Promise<VersionSyncDto> {
    return this.sync.show(actor.tenantId, model, number);
  }
}
