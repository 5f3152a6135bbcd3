import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiParam, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import {
  attemptSchema,
  createJobSchema,
  type JobDto,
  type JobLogsQuery,
  type JobPlanDto,
  jobArtifactsSchema,
  jobEventSchema,
  jobExplainSchema,
  jobLogsQuerySchema,
  jobPlanSchema,
  jobSchema,
  jobsQuerySchema,
  nameSchema,
  pageOf,
  pageQuerySchema,
  problemSchema,
} from '#contracts';
import { sendLog } from '../agent-logs/send-log.ts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { sendBlob } from '../blobs/send-blob.ts';
import { type DryRun, dryRunSchema } from '../deployments/deployments.controller.ts';
import { located, tagged } from '../mutations/headers.ts';
import { BytesAnswer, CreatedAnswer, TextAnswer } from '../openapi/answers.ts';
import { IdempotencyKeyHeader, IfMatchHeader } from '../openapi/headers.ts';
import { TakesNothing } from '../problems/takes-nothing.ts';
import { JobArtifacts } from './job-artifacts.ts';
import { JobForesight } from './job-foresight.ts';
import { JobLogs } from './job-logs.ts';
import { Jobs } from './jobs.ts';

const pageSchema = pageOf(jobSchema);
const attemptsSchema = pageOf(attemptSchema);
const eventsSchema = pageOf(jobEventSchema);
const intentSchema = z.enum(['cancel', 'suspend', 'resume', 'retry']);

@ApiTags('jobs')
@Controller('api/v1/jobs')
export class JobsController {
  constructor(
    private readonly jobs: Jobs,
    private readonly foresight: JobForesight,
    private readonly jobLogs: JobLogs,
    private readonly jobArtifacts: JobArtifacts,
  ) {}

  @Post()
  @RequirePermission('jobs:write')
  @IdempotencyKeyHeader()
  @ApiOperation({
    summary: 'Submit a job; with dryRun=true only say where and when it would run, and who would be preempted',
  })
  @CreatedAnswer(jobSchema)
  @ApiResponse({ status: 200, description: 'The plan of a dry run', standardSchema: jobPlanSchema })
  @ApiResponse({ status: 503, description: 'Too many ask for plans at once', standardSchema: problemSchema })
  async submit(
    @Body({ schema: createJobSchema }) wanted: z.output<typeof createJobSchema>,
    @Query({ schema: dryRunSchema }) { dryRun }: DryRun,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<JobDto | JobPlanDto> {
    if (dryRun === 'true') {
      reply.status(200);
      return this.foresight.plan(actor, wanted);
    }
    const job = await this.jobs.submit(actor, wanted, key);
    const warning = await this.foresight.warn(actor.tenantId, job.name);
    return tagged(reply, located(reply, '/api/v1/jobs', warning === null ? job : { ...job, warning }));
  }

  @Get()
  @RequirePermission('jobs:read')
  @ApiOperation({ summary: 'List jobs, newest first; phase may name several, separated by commas' })
  @ApiResponse({ status: 200, standardSchema: pageSchema })
  list(@Query({ schema: jobsQuerySchema }) query: z.output<typeof jobsQuerySchema>, @CurrentActor() actor: Actor) {
    return this.jobs.list(actor, query);
  }

  @Get(':name')
  @TakesNothing()
  @RequirePermission('jobs:read')
  @ApiOperation({ summary: 'Show a job: its phase and why, its conditions, where it runs, what it used' })
  @ApiResponse({ status: 200, standardSchema: jobSchema })
  async get(
    @Param('name', { schema: nameSchema }) name: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<JobDto> {
    return tagged(reply, await this.jobs.get(actor, name));
  }

  @Get(':name/explain')
  @TakesNothing()
  @RequirePermission('jobs:read')
  @ApiOperation({ summary: 'Why it runs where it runs, or waits; what would have to change; who was preempted' })
  @ApiResponse({ status: 200, standardSchema: jobExplainSchema })
  @ApiResponse({ status: 503, description: 'Too many ask for plans at once', standardSchema: problemSchema })
  explain(@Param('name', { schema: nameSchema }) name: string, @CurrentActor() actor: Actor) {
    return this.foresight.explain(actor.tenantId, name);
  }

  @Get(':name/attempts')
  @RequirePermission('jobs:read')
  @ApiOperation({ summary: 'The last 100 tries at running it, newest first' })
  @ApiResponse({ status: 200, standardSchema: attemptsSchema })
  attempts(
    @Param('name', { schema: nameSchema }) name: string,
    @Query({ schema: pageQuerySchema }) query: z.output<typeof pageQuerySchema>,
    @CurrentActor() actor: Actor,
  ) {
    return this.jobs.attempts(actor.tenantId, name, query);
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

  @Get(':name/logs')
  @RequirePermission('jobs:read')
  @ApiOperation({ summary: 'What one member wrote; with follow=true as it comes, until the member ends' })
  @TextAnswer('The log. A line that begins with [atoll] says why it breaks off')
  @ApiResponse({
    status: 503,
    description: 'Its cluster cannot be asked, or too many follow logs',
    standardSchema: problemSchema,
  })
  async logs(
    @Param('name', { schema: nameSchema }) name: string,
    @Query({ schema: jobLogsQuerySchema }) query: JobLogsQuery,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await sendLog(request, reply, query.follow === 'true', (listening) =>
      this.jobLogs.read(actor.tenantId, name, query, listening),
    );
  }

  @Get(':name/artifacts')
  @TakesNothing()
  @RequirePermission('jobs:read')
  @ApiOperation({ summary: 'List the files of its output; none until it succeeded' })
  @ApiResponse({ status: 200, standardSchema: jobArtifactsSchema })
  artifacts(@Param('name', { schema: nameSchema }) name: string, @CurrentActor() actor: Actor) {
    return this.jobArtifacts.list(actor.tenantId, name);
  }

  @Get(':name/artifacts/*')
  @RequirePermission('jobs:read')
  @ApiOperation({ summary: 'Fetch one file of its output, whole or one byte range' })
  @ApiParam({ name: 'path', description: 'Of the file in the output, with its slashes' })
  @ApiHeader({ name: 'Range', required: false, description: 'One byte range; If-Range with the ETag goes with it' })
  @BytesAnswer(200, 'The whole file')
  @BytesAnswer(206, 'The range')
  @ApiResponse({ status: 416, description: 'The range begins behind the end', standardSchema: problemSchema })
  async artifact(
    @Param('name', { schema: nameSchema }) name: string,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest<{ Params: { '*': string } }>,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { '*': path } = request.params;
    const { digest } = await this.jobArtifacts.find(actor.tenantId, name, path);
    await sendBlob(request as FastifyRequest, reply, digest, this.jobArtifacts);
  }

  @Post(':name/:intent')
  @TakesNothing()
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
  @TakesNothing()
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
