import { Logger } from '@nestjs/common';
import type { Store } from '#domain';
import { dueSnapshot } from './cadence.ts';
import { wantSnapshot } from './want.ts';

/** One look at every model. @throws StaleEpochError */
export async function wantDueSnapshots(store: Store, epoch: number, now: Date): Promise<void> {
  for (const model of await store.read.models.all()) {
    const versions = await store.read.versions.listOfModel(model.id);
    const due = dueSnapshot(model, versions, await store.read.artifacts.ofModel(model.id), now);
    if (due === null) continue;
    await store.transaction((rows) => wantSnapshot(rows, model, due.version, now), { epoch });
    new Logger('snapshots').log(`model ${model.name}, version ${due.version.number}: ${due.reason}`);
  }
}
