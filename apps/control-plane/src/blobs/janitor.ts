// Ends uploads that nobody finished, removes staging folders that belong to no upload, what ended attempts left of theirs,
// and blobs that nothing refers to.
// Safe beside other control planes: a folder is an orphan only when its version's row, written before the folder, is no
// longer Uploading and was not published lately, for publishing adopts its blobs from there once more after the commit;
// for blobs see collection.ts.

import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { DEFAULT_TENANT_ID, type ModelVersion, Store, UUID } from '#domain';
import { ControlPlaneMetrics } from '../federation/metrics.ts';
import { Settings } from '../installation/settings.ts';
import { BlobStore } from './blob-store.ts';
import { BLOB_GRACE_MS, collectBlobs } from './collection.ts';
import { Staging } from './staging.ts';
import { BlobUploads } from './uploads.ts';

const INTERVAL_MS = 3_600_000;

@Injectable()
export class BlobsJanitor implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger('janitor');
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: Store,
    private readonly staging: Staging,
    private readonly settings: Settings,
    private readonly blobs: BlobStore,
    private readonly counted: ControlPlaneMetrics,
    private readonly uploads: BlobUploads,
  ) {}

  onApplicationBootstrap(): void {
    this.#start();
    this.timer = setInterval(() => this.#start(), INTERVAL_MS);
    this.timer.unref();
  }

  async onModuleDestroy(): Promise<void> {
    clearInterval(this.timer);
    await this.running;
  }

  /** One round. */
  async clean(now: Date): Promise<void> {
    const before = new Date(now.getTime() - this.settings.uploadAbandonedAfterMs);
    const abandoned = await this.store.transaction(async (rows) => {
      const ids = await rows.versions.abandonUploads(before);
      const versions = await rows.versions.findAll(ids);
      for (const { id, tenantId } of versions) {
        await rows.audit.add({
          tenantId: tenantId ?? DEFAULT_TENANT_ID,
          actor: 'controller:janitor',
          action: 'versions.abandon',
          targetKind: 'version',
          targetId: id,
          detail: { reason: 'the upload was not finished in time' },
        });
      }
      return ids;
    });
    if (abandoned.length > 0) this.logger.log(`gave up ${abandoned.length} unfinished upload(s)`);
    await this.#removeOrphans(now);
    await this.uploads.clean(await this.#liveAttempts(), now);
    await this.#collect(now);
  }

  async #removeOrphans(now: Date): Promise<void> {
    const folders = (await this.staging.list()).filter((name) => UUID.test(name));
    const versions = await this.store.read.versions.findAll(folders);
    const needed = new Set(versions.filter((version) => needsStaging(version, now)).map(({ id }) => id));
    for (const folder of folders) if (!needed.has(folder)) await this.staging.discard(folder);
  }

  async #liveAttempts(): Promise<Set<string>> {
    const live = new Set<string>();
    for (const id of await this.uploads.attemptIds()) {
      const attempt = await this.store.read.attempts.find(id);
      if (attempt !== null && attempt.phase !== 'Ended') live.add(id);
    }
    return live;
  }

  async #collect(now: Date): Promise<void> {
    const { count, bytes } = await collectBlobs(this.blobs, () => this.#readInUse(), now);
    if (count === 0) return;
    this.counted.metrics.blobBytesCollectedTotal.inc(bytes);
    this.logger.log(`removed ${count} blob(s) of ${bytes} bytes that nothing refers to`);
  }

  /** The marks first: what they keep is let go of only after it is noted. */
  async #readInUse(): Promise<Set<string>> {
    const kept = await this.uploads.keptDigests();
    return new Set([...kept, ...(await this.store.read.versions.blobDigestsInUse())]);
  }

  #start(): void {
    this.running = this.running
      .then(() => this.clean(new Date()))
      .catch((error: unknown) => this.logger.warn(`cleaning the blob storage failed: ${String(error)}`));
  }
}

function needsStaging({ phase, publishedAt }: ModelVersion, now: Date): boolean {
  if (phase === 'Uploading') return true;
  return phase === 'Published' && publishedAt !== null && now.getTime() - publishedAt.getTime() < BLOB_GRACE_MS;
}
