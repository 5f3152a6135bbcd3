import { Module } from '@nestjs/common';
import { JobsController } from './jobs.controller.ts';
import { Jobs } from './jobs.ts';

/** The admin API's side of jobs; the leader's side is a module of its own. */
@Module({ controllers: [JobsController], providers: [Jobs] })
export class JobsApiModule {}
