// Which versions are kept: the newest `keepVersions` of a model, those younger than `keepDays`, and whatever is used,
// which the store judges in the transaction that retires. Blobs that nothing refers to any more then go by collection.

import { Logger } from '@nestjs/common';
import type { Model, ModelPolicy, ModelVersion, Store } from '#domain';

const DAY_MS = 86_400_000;
/** Encodings are made again when somebody needs them. */
const ARTIFACT_UNUSED_MS = 30 * DAY_MS;

/** Ids of the published versions that the policy does not ask to keep. Pure. */
export function versionsBeyond(policy: ModelPolicy, versions: readonly ModelVersion[], now: Date): string[] {
  const before = new Date(now.getTime() - policy.keepDays * DAY_MS);
  return versions
    .filter(({ phase }) => phase === 'Published')
    .sort((left, right) => right.number - left.number)
    .slice(policy.keepVersions)
    .filter(({ publishedAt, createdAt }) => (publishedAt ?? createdAt) < before)
    .map(({ id }) => id);
}

/** One round over every model. @returns the ids of the versions that were retired. @throws StaleEpochError */
export async function retireVersions(store: Store, epoch: number, now: Date, signal?: AbortSignal): Promise<string[]> {
  const retired: string[] = [];
  for (const model of await store.read.models.all()) {
    signal?.throwIfAborted();
    const versions = await store.read.versions.listOfModel(model.id);
    const beyond = versionsBeyond(model.policy, versions, now);
    if (beyond.length > 0) retired.push(...(await retireOf(store, epoch, model, beyond)));
  }
  const before = new Date(now.getTime() - ARTIFACT_UNUSED_MS);
  const removed = await store.transaction((rows) => rows.artifacts.removeStale(before), { epoch });
  if (retired.length + removed > 0) {
    new Logger('retention').log(`retired ${retired.length} version(s), removed ${removed} unused artifact(s)`);
  }
  return retired;
}

function retireOf(store: Store, epoch: number, model: Model, versionIds: readonly string[]): Promise<string[]> {
  const work = async (rows: Store['read']) => {
    const ids = await rows.versions.retireUnused(versionIds);
    for (const { id, number, digest } of await rows.versions.findAll(ids)) {
      await rows.audit.add({
        tenantId: model.tenantId,
        actor: 'controller:retention',
        action: 'versions.retire',
        targetKind: 'version',
        targetId: id,
        detail: { model: model.name, number, digest, policy: model.policy },
      });
    }
    return ids;
  };
  return store.transaction(work, { epoch });
}
