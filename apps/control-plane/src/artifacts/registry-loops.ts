// What the leader does for the registry, each in a loop of its own: make artifacts, want snapshots by their cadence,
// retire versions by policy.

import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { Store } from '#domain';
import { BlobStore } from '../blobs/blob-store.ts';
import { ControlPlaneMetrics } from '../federation/metrics.ts';
import { LeaderService, type Term } from '../leader/leader.service.ts';
import type { LoopOptions } from '../leader/loop.ts';
import { retireVersions } from '../models/retention.ts';
import { ArtifactMaker } from './artifact-maker.ts';
import { ArtifactsLoop } from './artifacts-loop.ts';
import { wantDueSnapshots } from './due-snapshots.ts';

const ARTIFACTS_INTERVAL_MS = 30_000;
const ARTIFACTS_REST_MS = 500;
const SNAPSHOTS_INTERVAL_MS = 60_000;
const RETENTION_INTERVAL_MS = 3_600_000;

@Injectable()
export class RegistryLoops implements OnModuleInit {
  private readonly logger = new Logger('registry');

  constructor(
    private readonly store: Store,
    private readonly blobs: BlobStore,
    private readonly counted: ControlPlaneMetrics,
    private readonly leader: LeaderService,
  ) {}

  onModuleInit(): void {
    this.leader.addLoops((term) => this.loops(term));
  }

  private loops({ epoch, signal, clock }: Term): LoopOptions[] {
    const { store } = this;
    const artifacts = new ArtifactsLoop(store, epoch, new ArtifactMaker(this.blobs), this.counted.metrics);
    const onError = (name: string, error: unknown) => this.logger.error(`${name}: ${String(error)}`);
    return [
      {
        name: 'artifacts',
        intervalMs: ARTIFACTS_INTERVAL_MS,
        restMs: ARTIFACTS_REST_MS,
        wakes: [(wake) => store.onChange('intent', wake)],
        run: () => artifacts.run(signal),
        onError,
      },
      {
        name: 'snapshots',
        intervalMs: SNAPSHOTS_INTERVAL_MS,
        run: () => wantDueSnapshots(store, epoch, clock.now()),
        onError,
      },
      {
        name: 'retention',
        intervalMs: RETENTION_INTERVAL_MS,
        run: async () => void (await retireVersions(store, epoch, clock.now(), signal)),
        onError,
      },
    ];
  }
}
