/** What work is called in sentences: nobody is told the names of another tenant's. */
import type { PendingWorkload, RunningWorkload } from './snapshot.ts';

type Named = Pick<PendingWorkload | RunningWorkload, 'name' | 'tenantId'>;

const FOREIGN = 'work of another tenant';

/** As the owner of `listener` may know it. */
export function called(work: Named, listener: Pick<Named, 'tenantId'>): string {
  return work.tenantId === listener.tenantId ? work.name : FOREIGN;
}

/** Each once, in order of the alphabet. */
export function calledAll(works: readonly Named[], listener: Pick<Named, 'tenantId'>): string[] {
  return [...new Set(works.map((work) => called(work, listener)))].sort();
}
