import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import {
  createDeploymentSchema,
  type DeploymentDto,
  type DeploymentPlanDto,
  deploymentPlanSchema,
  deploymentSchema,
  nameSchema,
  pageOf,
  pageQuerySchema,
  updateDeploymentSchema,
} from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { located, tagged } from '../mutations/headers.ts';
import { CreatedAnswer } from '../openapi/answers.ts';
import { IdempotencyKeyHeader, IfMatchHeader } from '../openapi/headers.ts';
import { Deployments } from './deployments.ts';

export const dryRunSchema = z.strictObject({ dryRun: z.enum(['true', 'false']).default('false') });
export type DryRun = z.output<typeof dryRunSchema>;
const pageSchema = pageOf(deploymentSchema);
/** With `dryRun=true` a plan comes instead, with 200, and nothing is changed. */
const orPlanSchema = z.union([deploymentSchema, deploymentPlanSchema]);

@ApiTags('deployments')
@Controller('api/v1/deployments')
export class DeploymentsController {
  constructor(private readonly deployments: Deployments) {}

  @Post()
  @RequirePermission('deployments:write')
  @IdempotencyKeyHeader()
  @ApiOperation({ summary: 'Deploy a model; with dryRun=true only say what would be done' })
  @CreatedAnswer(deploymentSchema)
  @ApiResponse({ status: 200, description: 'The plan of a dry run', standardSchema: deploymentPlanSchema })
  async create(
    @Body({ schema: createDeploymentSchema }) wanted: z.output<typeof createDeploymentSchema>,
    @Query({ schema: dryRunSchema }) { dryRun }: DryRun,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<DeploymentDto | DeploymentPlanDto> {
    if (dryRun === 'true') {
      reply.status(200);
      return this.deployments.planCreate(actor, wanted);
    }
    const made = await this.deployments.create(actor, wanted, key);
    return tagged(reply, located(reply, '/api/v1/deployments', made));
  }

  @Get()
  @RequirePermission('deployments:read')
  @ApiOperation({ summary: 'List deployments with their replicas' })
  @ApiResponse({ status: 200, standardSchema: pageSchema })
  list(@Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>, @CurrentActor() actor: Actor) {
    return this.deployments.list(actor.tenantId, query);
  }

  @Get(':name')
  @RequirePermission('deployments:read')
  @ApiOperation({ summary: 'Show a deployment, its replicas, and what holds it up' })
  @ApiResponse({ status: 200, standardSchema: deploymentSchema })
  async get(
    @Param('name', { schema: nameSchema }) name: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.deployments.get(actor.tenantId, name));
  }

  @Get(':name/explain')
  @RequirePermission('deployments:read')
  @ApiOperation({ summary: 'Why replicas are where they are, or nowhere' })
  @ApiResponse({ status: 200, standardSchema: deploymentPlanSchema })
  explain(@Param('name', { schema: nameSchema }) name: string, @CurrentActor() actor: Actor) {
    return this.deployments.explain(actor.tenantId, name);
  }

  @Patch(':name')
  @RequirePermission('deployments:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Scale, change version, change where; with dryRun=true only say what would be done' })
  @ApiResponse({ status: 200, standardSchema: orPlanSchema })
  async update(
    @Param('name', { schema: nameSchema }) name: string,
    @Body({ schema: updateDeploymentSchema }) change: z.output<typeof updateDeploymentSchema>,
    @Query({ schema: dryRunSchema }) { dryRun }: DryRun,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<DeploymentDto | DeploymentPlanDto> {
    if (dryRun === 'true') return this.deployments.planUpdate(actor, { name, ifMatch }, change);
    return tagged(reply, await this.deployments.update(actor, { name, ifMatch }, change));
  }

  @Delete(':name')
  @HttpCode(202)
  @RequirePermission('deployments:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Remove a deployment: its replicas drain, then it is gone' })
  @ApiResponse({ status: 202, standardSchema: deploymentSchema })
  @ApiResponse({ status: 200, description: 'The plan of a dry run', standardSchema: deploymentPlanSchema })
  async remove(
    @Param('name', { schema: nameSchema }) name: string,
    @Query({ schema: dryRunSchema }) { dryRun }: DryRun,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<DeploymentDto | DeploymentPlanDto> {
    if (dryRun === 'true') {
      reply.status(200);
      return this.deployments.planRemove(actor.tenantId, { name, ifMatch });
    }
    return tagged(reply, await this.deployments.remove(actor, { name, ifMatch }));
  }
}
