import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import {
  attemptSchema,
  createJobSchema,
  type JobDto,
  jobEventSchema,
  jobSchema,
  jobsQuerySchema,
  nameSchema,
  pageOf,
  pageQuerySchema,
} from '#contracts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { etagOf } from '../mutations/headers.ts';
import { IdempotencyKeyHeader, IfMatchHeader } from '../openapi/headers.ts';
import { Jobs } from './jobs.ts';

const pageSchema = pageOf(jobSchema);
const attemptsSchema = pageOf(attemptSchema);
const eventsSchema = pageOf(jobEventSchema);
const intentSchema = z.enum(['cancel', 'suspend', 'resume', 'retry']);

@ApiTags('jobs')
@Controller('api/v1/jobs')
export class JobsController {
  constructor(private readonly jobs: Jobs) {}

  @Post()
  @RequirePermission('jobs:write')
  @IdempotencyKeyHeader()
  @ApiOperation({
    summary: 'Submit a job; with dryRun=true only say where and when it would run, and who would be preempted',
  })
  @ApiResponse({ status: 201, standardSchema: jobSchema })
  async submit(
    @Body({ schema: createJobSchema }) wanted: z.output<typeof createJobSchema>,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<JobDto> {
    return tagged(reply, await this.jobs.submit(actor, wanted, key));
  }

  @Get()
  @RequirePermission('jobs:read')
  @ApiOperation({ summary: 'List jobs, newest first; phase may name several, separated by commas' })
  @ApiResponse({ status: 200, standardSchema: pageSchema })
  list(@Query({ schema: jobsQuerySchema }) query: z.output<typeof jobsQuerySchema>, @CurrentActor() actor: Actor) {
    return this.jobs.list(actor.tenantId, query);
  }

  @Get(':name')
  @RequirePermission('jobs:read')
  @ApiOperation({ summary: 'Show a job: its phase and why, its conditions, where it runs, what it used' })
  @ApiResponse({ status: 200, standardSchema: jobSchema })
  async get(
    @Param('name', { schema: nameSchema }) name: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<JobDto> {
    return tagged(reply, await this.jobs.get(actor.tenantId, name));
  }

  @Get(':name/attempts')
  @RequirePermission('jobs:read')
  @ApiOperation({ summary: 'Every try at running it, newest first, at most 100' })
  @ApiResponse({ status: 200, standardSchema: attemptsSchema })
  async attempts(@Param('name', { schema: nameSchema }) name: string, @CurrentActor() actor: Actor) {
    return { items: await this.jobs.attempts(actor.tenantId, name), next: null };
  }

  @Get(':name/events')
  @RequirePermission('jobs:read')
  @ApiOperation({ summary: 'What happened to it, newest first' })
  @ApiResponse({ status: 200, standardSchema: eventsSchema })
  events(
    @Param('name', { schema: nameSchema }) name: string,
    @Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>,
    @CurrentActor() actor: Actor,
  ) {
    return this.jobs.events(actor.tenantId, name, query);
  }

  @Post(':name/:intent')
  @HttpCode(202)
  @RequirePermission('jobs:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'cancel, suspend, resume, or retry a job that failed or was cancelled' })
  @ApiResponse({ status: 202, standardSchema: jobSchema })
  async intend(
    @Param('name', { schema: nameSchema }) name: string,
    @Param('intent', { schema: intentSchema }) intent: z.output<typeof intentSchema>,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<JobDto> {
    return tagged(reply, await this.jobs.intend(actor, { name, ifMatch }, intent));
  }

  @Delete(':name')
  @HttpCode(202)
  @RequirePermission('jobs:write')
  @IfMatchHeader()
  @ApiOperation({ summary: 'Cancel an active job, or remove one that ended, with its attempts, events and artifacts' })
  @ApiResponse({ status: 202, description: 'It is being cancelled', standardSchema: jobSchema })
  @ApiResponse({ status: 204, description: 'Removed' })
  async remove(
    @Param('name', { schema: nameSchema }) name: string,
    @Headers('if-match') ifMatch: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<JobDto | undefined> {
    const left = await this.jobs.remove(actor, { name, ifMatch });
    if (left !== null) return tagged(reply, left);
    reply.status(204);
    return undefined;
  }
}

function tagged(reply: FastifyReply, job: JobDto): JobDto {
  reply.header('etag', etagOf(job));
  return job;
}
