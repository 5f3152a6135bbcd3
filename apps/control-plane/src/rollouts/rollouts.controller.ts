import { Body, Controller, Get, Headers, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import {
  type DeploymentDto,
  type DeploymentPlanDto,
  deploymentPlanSchema,
  deploymentSchema,
  nameSchema,
  pageOf,
  pageQuerySchema,
  rollbackSchema,
  rolloutSchema,
} from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { type DryRun, dryRunSchema } from '../deployments/deployments.controller.ts';
import { tagged } from '../mutations/headers.ts';
import { IfMatchHeader } from '../openapi/headers.ts';
import { Rollouts, STEERING, type Steering } from './rollouts.ts';

const steeringSchema = z.enum(STEERING);
const pageSchema = pageOf(rolloutSchema);
/** With `dryRun=true` a plan comes instead, and nothing is changed. */
const orPlanSchema = z.union([deploymentSchema, deploymentPlanSchema]);

@ApiTags('rollouts')
@Controller('api/v1/deployments')
export class RolloutsController {
  constructor(private readonly rollouts: Rollouts) {}

  @Get(':name/rollouts')
  @RequirePermission('deployments:read')
  @ApiOperation({ summary: 'List rollouts of a deployment, the newest first' })
  @ApiResponse({ status: 200, standardSchema: pageSchema })
  list(
    @Param('name', { schema: nameSchema }) name: string,
    @Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>,
    @CurrentActor() actor: Actor,
  ) {
    return this.rollouts.list(actor.tenantId, name, query);
  }

  @Post(':name/rollout/:steering')
  @HttpCode(200)
  @RequirePermission('deployments:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Pause, resume or abort the active rollout; abort goes back to the version before' })
  @ApiResponse({ status: 200, standardSchema: deploymentSchema })
  async steer(
    @Param('name', { schema: nameSchema }) name: string,
    @Param('steering', { schema: steeringSchema }) steering: Steering,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<DeploymentDto> {
    return tagged(reply, await this.rollouts.steer(actor, { name, ifMatch }, steering));
  }

  @Post(':name/rollback')
  @HttpCode(200)
  @RequirePermission('deployments:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Go back to an earlier version everywhere; with dryRun=true only say what would be done' })
  @ApiResponse({ status: 200, standardSchema: orPlanSchema })
  async rollBack(
    @Param('name', { schema: nameSchema }) name: string,
    @Body({ schema: rollbackSchema }) { version }: z.output<typeof rollbackSchema>,
    @Query({ schema: dryRunSchema }) { dryRun }: DryRun,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<DeploymentDto | DeploymentPlanDto> {
    const target = { name, ifMatch };
    if (dryRun === 'true') return this.rollouts.planRollBack(actor.tenantId, target, version);
    return tagged(reply, await this.rollouts.rollBack(actor, target, version));
  }
}
