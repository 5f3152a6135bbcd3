import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import { clusterSchema, nameSchema, pageOf, pageQuerySchema, updateClusterSchema } from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { tagged } from '../mutations/headers.ts';
import { IfMatchHeader } from '../openapi/headers.ts';
import { Clusters } from './clusters.ts';

const pageSchema = pageOf(clusterSchema);

@ApiTags('clusters')
@Controller('api/v1/clusters')
export class ClustersController {
  constructor(private readonly clusters: Clusters) {}

  @Get()
  @RequirePermission('clusters:read')
  @ApiOperation({ summary: 'List the clusters that have not left' })
  @ApiResponse({ status: 200, standardSchema: pageSchema })
  list(@Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>, @CurrentActor() actor: Actor) {
    return this.clusters.list(actor.tenantId, query);
  }

  @Get(':name')
  @RequirePermission('clusters:read')
  @ApiOperation({ summary: 'Show a cluster and what it last reported' })
  @ApiResponse({ status: 200, standardSchema: clusterSchema })
  async get(
    @Param('name', { schema: nameSchema }) name: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.clusters.get(actor.tenantId, name));
  }

  @Post(':name/accept')
  @HttpCode(200)
  @RequirePermission('clusters:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Accept a cluster that waits for approval' })
  @ApiResponse({ status: 200, standardSchema: clusterSchema })
  async accept(
    @Param('name', { schema: nameSchema }) name: string,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.clusters.accept(actor, { name, ifMatch }));
  }

  @Patch(':name')
  @RequirePermission('clusters:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Cordon, uncordon or label a cluster, or change how it syncs' })
  @ApiResponse({ status: 200, standardSchema: clusterSchema })
  async update(
    @Param('name', { schema: nameSchema }) name: string,
    @Body({ schema: updateClusterSchema }) change: z.output<typeof updateClusterSchema>,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.clusters.update(actor, { name, ifMatch }, change));
  }

  @Delete(':name')
  @HttpCode(204)
  @RequirePermission('clusters:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Remove a cluster: its credentials are revoked at once, its replicas go elsewhere' })
  @ApiResponse({ status: 204, description: 'Removed' })
  async remove(
    @Param('name', { schema: nameSchema }) name: string,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
  ): Promise<void> {
    await this.clusters.remove(actor, { name, ifMatch });
  }
}
