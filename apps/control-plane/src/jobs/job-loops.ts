// What the leader does for jobs, each in a loop of its own: bring them forward, write the documents of the clusters that
// were touched, drop what nobody keeps any more.

import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { Store } from '#domain';
import { BlobStore } from '../blobs/blob-store.ts';
import { ControlPlaneMetrics } from '../federation/metrics.ts';
import { Settings } from '../installation/settings.ts';
import { LeaderService, type Term } from '../leader/leader.service.ts';
import type { LoopOptions } from '../leader/loop.ts';
import { writeOwedDocuments } from './documents-loop.ts';
import { JobLoop } from './job-loop.ts';
import { PrometheusJobs } from './job-metrics.ts';
import { OutputPublisher } from './publish-output.ts';
import { forgetChanges, removeExpired } from './removal.ts';

/** Deadlines, backoffs and silences come without anybody's notification. */
const JOBS_INTERVAL_MS = 2_000;
const JOBS_REST_MS = 50;
const DOCUMENTS_INTERVAL_MS = 5_000;
const DOCUMENTS_REST_MS = 20;
const REMOVAL_INTERVAL_MS = 60_000;

@Injectable()
export class JobLoops implements OnModuleInit {
  private readonly logger = new Logger('jobs');

  constructor(
    private readonly store: Store,
    private readonly blobs: BlobStore,
    private readonly settings: Settings,
    private readonly counted: ControlPlaneMetrics,
    private readonly leader: LeaderService,
  ) {}

  onModuleInit(): void {
    this.leader.addLoops((term) => this.loops(term));
  }

  private loops({ epoch, signal, clock, serving }: Term): LoopOptions[] {
    const { store } = this;
    const publisher = new OutputPublisher(this.blobs, this.settings);
    const metrics = new PrometheusJobs(this.counted.metrics);
    const jobs = new JobLoop({ store, epoch, clock, publisher, metrics, serving: () => serving.current() });
    let mark: string | null = null;
    const onError = (name: string, error: unknown) => this.logger.error(`${name}: ${String(error)}`);
    return [
      {
        name: 'jobs',
        intervalMs: JOBS_INTERVAL_MS,
        restMs: JOBS_REST_MS,
        wakes: [(wake) => store.onChange('intent', wake), (wake) => store.onChange('observation', wake)],
        run: () => jobs.run(signal),
        onError,
      },
      {
        name: 'documents',
        intervalMs: DOCUMENTS_INTERVAL_MS,
        restMs: DOCUMENTS_REST_MS,
        wakes: [(wake) => store.onChange('intent', wake)],
        run: async () => void (await writeOwedDocuments(store, epoch, signal)),
        onError,
      },
      {
        name: 'job removal',
        intervalMs: REMOVAL_INTERVAL_MS,
        run: async () => {
          await removeExpired(store, epoch, clock.now(), signal);
          mark = await forgetChanges(store, epoch, mark);
        },
        onError,
      },
    ];
  }
}
