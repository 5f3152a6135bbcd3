import { Module } from '@nestjs/common';
import { JobArtifacts } from './job-artifacts.ts';
import { JobLogs } from './job-logs.ts';
import { JobsController } from './jobs.controller.ts';
import { Jobs } from './jobs.ts';

/** The admin API's side of jobs; the leader's side is a module of its own. */
@Module({ controllers: [JobsController], providers: [Jobs, JobLogs, JobArtifacts] })
export class JobsApiModule {}
