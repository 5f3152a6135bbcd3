// The leader's maker of artifacts: takes wanted ones one at a time, on one codec thread, and says how each ended. There is
// one leader, so whatever is Making when nothing is being made here was left by somebody who died, and is given back.

import { Logger } from '@nestjs/common';
import type { ArtifactFile, ModelVersion, Rows, Store, VersionArtifact } from '#domain';
import { WorkerPool } from '#modelsync';
import type { Metrics } from '#telemetry';
import { abortable } from './abortable.ts';
import { type ArtifactMaker, CRASHES_MAX, type MakingOrder } from './artifact-maker.ts';

const CODEC_THREADS = 1;
const REASON_CHARACTERS_MAX = 500;
/** Ahead of any clock: all that are Making. */
const EVERYTHING_MS = 86_400_000;

type MakerMetrics = Pick<Metrics<'control-plane'>, 'artifactBytesTotal' | 'artifactSeconds' | 'artifactFailuresTotal'>;

export class ArtifactsLoop {
  private readonly logger = new Logger('artifacts');
  /** True until this term has given back what an earlier maker left, and again after a run that broke off. */
  private isGiveBackOwed = true;

  constructor(
    private readonly store: Store,
    private readonly epoch: number,
    private readonly maker: ArtifactMaker,
    private readonly metrics: MakerMetrics,
  ) {}

  /** Makes all that are wanted, or until `signal` aborts. @throws what the store throws */
  async run(signal: AbortSignal): Promise<void> {
    if (this.isGiveBackOwed) await this.giveBack();
    for (;;) {
      if (signal.aborted) return;
      const artifact = await this.store.transaction((rows) => rows.artifacts.take(), { epoch: this.epoch });
      if (artifact === null) return;
      this.isGiveBackOwed = true;
      await this.makeOne(artifact, signal);
      this.isGiveBackOwed = false;
    }
  }

  private async giveBack(): Promise<void> {
    const fatal = await this.maker.sweep();
    const before = new Date(Date.now() + EVERYTHING_MS);
    const work = async (rows: Rows) => {
      for (const id of fatal) await rows.artifacts.fail(id, `its maker died ${CRASHES_MAX} times while making it`);
      return rows.artifacts.giveBack(before);
    };
    const count = await this.store.transaction(work, { epoch: this.epoch });
    if (count + fatal.length > 0) {
      this.logger.warn(`${count} artifact(s) whose maker died are made again, ${fatal.length} are given up`);
    }
    this.isGiveBackOwed = false;
  }

  private async makeOne(artifact: VersionArtifact, signal: AbortSignal): Promise<void> {
    const begunAtMs = performance.now();
    const { id, profile } = artifact;
    const order = await this.orderOf(artifact);
    if (order === null) return this.fail(artifact, 'its version or its base is no longer Published');
    let files: ArtifactFile[];
    const pool = new WorkerPool(CODEC_THREADS);
    try {
      files = await this.maker.make(order, abortable(pool, signal), signal);
    } catch (error) {
      signal.throwIfAborted();
      return this.fail(artifact, error instanceof Error ? error.message : String(error));
    } finally {
      await pool.close();
    }
    const isTaken = await this.store.transaction((rows) => rows.artifacts.finish(id, files), { epoch: this.epoch });
    const bytes = files.reduce((sum, { blobBytes }) => sum + blobBytes, 0);
    this.metrics.artifactBytesTotal.inc({ profile }, bytes);
    this.metrics.artifactSeconds.observe({ profile }, (performance.now() - begunAtMs) / 1_000);
    this.logger.log(`artifact ${id} (${profile}) has ${bytes} bytes${isTaken ? '' : ', and nobody wants it any more'}`);
  }

  private async orderOf({ id, profile, versionId, baseVersionId }: VersionArtifact): Promise<MakingOrder | null> {
    const version = await this.published(versionId);
    const base = baseVersionId === null ? null : await this.published(baseVersionId);
    if (version === null || (baseVersionId !== null && base === null)) return null;
    return { id, profile, files: version.files, baseFiles: base?.files ?? [] };
  }

  private async published(id: string): Promise<ModelVersion | null> {
    const version = await this.store.read.versions.find({ id });
    return version?.phase === 'Published' ? version : null;
  }

  private async fail({ id, profile }: VersionArtifact, message: string): Promise<void> {
    const reason = message.slice(0, REASON_CHARACTERS_MAX);
    await this.store.transaction((rows) => rows.artifacts.fail(id, reason), { epoch: this.epoch });
    this.metrics.artifactFailuresTotal.inc({ profile });
    this.logger.warn(`artifact ${id} (${profile}) cannot be made: ${reason}`);
  }
}
