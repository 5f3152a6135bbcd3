import { Body, Controller, Delete, Get, HttpCode, Param, Put } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { aliasSchema, moveAliasSchema, nameSchema, pageOf } from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { Aliases } from './aliases.ts';

const listSchema = pageOf(aliasSchema);

@ApiTags('models')
@Controller('api/v1/models/:model/aliases')
export class AliasesController {
  constructor(private readonly aliases: Aliases) {}

  @Get()
  @RequirePermission('models:read')
  @ApiOperation({ summary: 'List the aliases of a model with their histories' })
  @ApiResponse({ status: 200, standardSchema: listSchema })
  async list(@Param('model', { schema: nameSchema }) model: string, @CurrentActor() actor: Actor) {
    return { items: await this.aliases.list(actor.tenantId, model), next: null };
  }

  @Get(':alias')
  @RequirePermission('models:read')
  @ApiOperation({ summary: 'Show an alias: where it points, and where it pointed before' })
  @ApiResponse({ status: 200, standardSchema: aliasSchema })
  get(
    @Param('model', { schema: nameSchema }) model: string,
    @Param('alias', { schema: nameSchema }) alias: string,
    @CurrentActor() actor: Actor,
  ) {
    return this.aliases.get(actor.tenantId, { model, alias });
  }

  @Put(':alias')
  @RequirePermission('models:write')
  @ApiOperation({ summary: 'Make an alias or move it; deployments that follow it begin a rollout' })
  @ApiResponse({ status: 200, standardSchema: aliasSchema })
  move(
    @Param('model', { schema: nameSchema }) model: string,
    @Param('alias', { schema: nameSchema }) alias: string,
    @Body({ schema: moveAliasSchema }) { version }: z.output<typeof moveAliasSchema>,
    @CurrentActor() actor: Actor,
  ) {
    return this.aliases.move(actor, { model, alias }, version);
  }

  @Delete(':alias')
  @HttpCode(204)
  @RequirePermission('models:write')
  @ApiOperation({ summary: 'Remove an alias; refused while a deployment follows it' })
  @ApiResponse({ status: 204, description: 'Removed; its history stays' })
  async remove(
    @Param('model', { schema: nameSchema }) model: string,
    @Param('alias', { schema: nameSchema }) alias: string,
    @CurrentActor() actor: Actor,
  ): Promise<void> {
    await this.aliases.remove(actor, { model, alias });
  }
}
