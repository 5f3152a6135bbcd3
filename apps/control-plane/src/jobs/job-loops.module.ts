import { Module } from '@nestjs/common';
import { LeaderModule } from '../leader/leader.module.ts';
import { JobLoops } from './job-loops.ts';

/** The leader's side of jobs. Needs `Store`, `BlobStore`, `Settings` and `ControlPlaneMetrics` from global modules. */
@Module({ imports: [LeaderModule], providers: [JobLoops] })
export class JobLoopsModule {}
