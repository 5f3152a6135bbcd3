import { Module } from '@nestjs/common';
import { AgentLogsModule } from '../agent-logs/agent-logs.module.ts';
import { QueuesModule } from '../queues/queues.module.ts';
import { JobArtifacts } from './job-artifacts.ts';
import { JobForesight } from './job-foresight.ts';
import { JobLogs } from './job-logs.ts';
import { JobsController } from './jobs.controller.ts';
import { Jobs } from './jobs.ts';

/** The admin API's side of jobs; the leader's side is a module of its own. */
@Module({
  imports: [AgentLogsModule, QueuesModule],
  controllers: [JobsController],
  providers: [Jobs, JobForesight, JobLogs, JobArtifacts],
})
export class JobsApiModule {}
