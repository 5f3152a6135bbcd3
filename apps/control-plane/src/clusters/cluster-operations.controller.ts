import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import {
  clusterExplainSchema,
  clusterSchema,
  conflictsSchema,
  drainClusterSchema,
  drainPlanSchema,
  nameSchema,
  resyncSchema,
} from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { type DryRun, dryRunSchema } from '../deployments/deployments.controller.ts';
import { tagged } from '../mutations/headers.ts';
import { IfMatchHeader } from '../openapi/headers.ts';
import { ClusterExplanations } from './cluster-explanations.ts';
import { Drains } from './drains.ts';
import { Resyncs } from './resyncs.ts';

/** With `dryRun=true` a plan comes instead, and nothing is changed. */
const orPlanSchema = z.union([clusterSchema, drainPlanSchema]);

@ApiTags('clusters')
@Controller('api/v1/clusters')
export class ClusterOperationsController {
  constructor(
    private readonly drains: Drains,
    private readonly explanations: ClusterExplanations,
    private readonly resyncs: Resyncs,
  ) {}

  @Post(':name/drain')
  @HttpCode(200)
  @RequirePermission('clusters:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Empty a cluster: move, wait or stop; with dryRun=true only say what would be done' })
  @ApiResponse({ status: 200, standardSchema: orPlanSchema })
  async drain(
    @Param('name', { schema: nameSchema }) name: string,
    @Body({ schema: drainClusterSchema }) wanted: z.output<typeof drainClusterSchema>,
    @Query({ schema: dryRunSchema }) { dryRun }: DryRun,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    if (dryRun === 'true') return this.drains.plan(actor.tenantId, { name, ifMatch }, wanted);
    return tagged(reply, await this.drains.start(actor, { name, ifMatch }, wanted));
  }

  @Delete(':name/drain')
  @HttpCode(200)
  @RequirePermission('clusters:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Undo a drain: the cluster takes new work again' })
  @ApiResponse({ status: 200, standardSchema: clusterSchema })
  async undrain(
    @Param('name', { schema: nameSchema }) name: string,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.drains.undo(actor, { name, ifMatch }));
  }

  @Get(':name/explain')
  @RequirePermission('clusters:read')
  @ApiOperation({ summary: 'Why a cluster is as it is, what it should run and does not, and what to do next' })
  @ApiResponse({ status: 200, standardSchema: clusterExplainSchema })
  explain(@Param('name', { schema: nameSchema }) name: string, @CurrentActor() actor: Actor) {
    return this.explanations.explain(actor.tenantId, name);
  }

  @Get(':name/conflicts')
  @RequirePermission('clusters:read')
  @ApiOperation({ summary: 'What both sides changed while they were apart, and how it was resolved' })
  @ApiResponse({ status: 200, standardSchema: conflictsSchema })
  conflicts(@Param('name', { schema: nameSchema }) name: string, @CurrentActor() actor: Actor) {
    return this.explanations.conflicts(actor.tenantId, name);
  }

  @Post(':name/resync')
  @HttpCode(200)
  @RequirePermission('clusters:write')
  @ApiOperation({
    summary:
      'Let an agent that is ahead of a restored database take documents again; dryRun=true shows what it would do',
  })
  @ApiResponse({ status: 200, standardSchema: resyncSchema })
  resync(
    @Param('name', { schema: nameSchema }) name: string,
    @Query({ schema: dryRunSchema }) { dryRun }: DryRun,
    @CurrentActor() actor: Actor,
  ) {
    return dryRun === 'true' ? this.resyncs.plan(actor.tenantId, name) : this.resyncs.resync(actor, name);
  }
}
