import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import {
  budgetDetailSchema,
  budgetSchema,
  createBudgetSchema,
  idSchema,
  nameSchema,
  pageOf,
  tenantPageQuerySchema,
  tenantQuerySchema,
  updateBudgetSchema,
} from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { located, tagged } from '../mutations/headers.ts';
import { CreatedAnswer } from '../openapi/answers.ts';
import { IdempotencyKeyHeader, IfMatchHeader } from '../openapi/headers.ts';
import { Budgets } from './budgets.ts';

const pageSchema = pageOf(budgetSchema);
type TenantQuery = z.output<typeof tenantQuerySchema>;

@ApiTags('budgets')
@Controller('api/v1/budgets')
export class BudgetsController {
  constructor(private readonly budgets: Budgets) {}

  @Post()
  @RequirePermission('budgets:write')
  @IdempotencyKeyHeader()
  @ApiOperation({
    summary: 'Make a budget for a key, or for a whole tenant (by keys of the installation’s own tenant)',
  })
  @CreatedAnswer(budgetSchema)
  async create(
    @Query({ schema: tenantQuerySchema }) { tenant }: TenantQuery,
    @Body({ schema: createBudgetSchema }) wanted: z.output<typeof createBudgetSchema>,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const made = await this.budgets.create(actor, tenant, wanted, key);
    const query = tenant === undefined ? '' : `?tenant=${tenant}`;
    return tagged(reply, located(reply, '/api/v1/budgets', made, query));
  }

  @Get()
  @RequirePermission('budgets:read')
  @ApiOperation({ summary: 'List budgets with what is spent, out on leases and free in the present period' })
  @ApiResponse({ status: 200, standardSchema: pageSchema })
  list(
    @Query({ schema: tenantPageQuerySchema }) { tenant, ...page }: z.output<typeof tenantPageQuerySchema>,
    @CurrentActor() actor: Actor,
  ) {
    return this.budgets.list(actor, tenant, page);
  }

  @Get(':name')
  @RequirePermission('budgets:read')
  @ApiOperation({ summary: 'Show a budget and who holds leases on it' })
  @ApiResponse({ status: 200, standardSchema: budgetDetailSchema })
  async get(
    @Param('name', { schema: nameSchema }) name: string,
    @Query({ schema: tenantQuerySchema }) { tenant }: TenantQuery,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.budgets.get(actor, { tenant, name }));
  }

  @Patch(':name')
  @RequirePermission('budgets:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Change the limit; what is out on leases may still be spent' })
  @ApiResponse({ status: 200, standardSchema: budgetSchema })
  async update(
    @Param('name', { schema: nameSchema }) name: string,
    @Query({ schema: tenantQuerySchema }) { tenant }: TenantQuery,
    @Body({ schema: updateBudgetSchema }) { tokens }: z.output<typeof updateBudgetSchema>,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return tagged(reply, await this.budgets.update(actor, { tenant, name }, tokens, ifMatch));
  }

  @Delete(':name')
  @HttpCode(204)
  @RequirePermission('budgets:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Remove a budget with its leases and its account' })
  @ApiResponse({ status: 204, description: 'Removed' })
  async remove(
    @Param('name', { schema: nameSchema }) name: string,
    @Query({ schema: tenantQuerySchema }) { tenant }: TenantQuery,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
  ): Promise<void> {
    await this.budgets.remove(actor, { tenant, name }, ifMatch);
  }

  @Delete(':name/leases/:id')
  @HttpCode(204)
  @RequirePermission('budgets:write')
  @ApiOperation({ summary: 'Write off a lease that expired: what its holder has not told is free again' })
  @ApiResponse({ status: 204, description: 'Written off' })
  async writeOff(
    @Param('name', { schema: nameSchema }) name: string,
    @Param('id', { schema: idSchema }) id: string,
    @Query({ schema: tenantQuerySchema }) { tenant }: TenantQuery,
    @CurrentActor() actor: Actor,
  ): Promise<void> {
    await this.budgets.writeOff(actor, { tenant, name }, id);
  }
}
