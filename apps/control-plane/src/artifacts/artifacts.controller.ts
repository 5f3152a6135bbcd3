import { Body, Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { artifactSchema, nameSchema, pageOf, wantArtifactSchema } from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { Artifacts } from './artifacts.ts';

const listSchema = pageOf(artifactSchema);

@ApiTags('models')
@Controller('api/v1/models/:model/artifacts')
export class ArtifactsController {
  constructor(private readonly artifacts: Artifacts) {}

  @Get()
  @RequirePermission('models:read')
  @ApiOperation({ summary: 'List the encodings of a model’s versions: diffs and snapshots, newest first' })
  @ApiResponse({ status: 200, standardSchema: listSchema })
  async list(@Param('model', { schema: nameSchema }) model: string, @CurrentActor() actor: Actor) {
    return { items: await this.artifacts.list(actor.tenantId, model), next: null };
  }

  @Post()
  @HttpCode(202)
  @RequirePermission('models:write')
  @ApiOperation({ summary: 'Have a diff or a snapshot made now; repeating it gives the same one' })
  @ApiResponse({ status: 202, standardSchema: artifactSchema })
  want(
    @Param('model', { schema: nameSchema }) model: string,
    @Body({ schema: wantArtifactSchema }) wanted: z.output<typeof wantArtifactSchema>,
    @CurrentActor() actor: Actor,
  ) {
    return this.artifacts.want(actor, model, wanted);
  }
}
