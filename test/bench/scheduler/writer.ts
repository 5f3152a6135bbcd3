/**
 * The leader's planning and commit path as it is in production, without the loops around it: rows → snapshot → plan →
 * units → transactions of at most `batch` units.
 */
import { performance } from 'node:perf_hooks';
import type { Store } from '#domain';
import { planWorkloads } from '#scheduling';
import { type AppliedJobs, applyJobs } from '../../../apps/control-plane/src/jobs/apply-jobs.ts';
import { BATCHES_AT_ONCE, inBatches } from '../../../apps/control-plane/src/jobs/in-batches.ts';
import { JobDecisions } from '../../../apps/control-plane/src/jobs/job-decisions.ts';
import { JobMemory } from '../../../apps/control-plane/src/jobs/job-memory.ts';
import { toWorkloadSnapshot } from '../../../apps/control-plane/src/jobs/job-snapshot.ts';
import { KeptWorld } from '../../../apps/control-plane/src/jobs/kept-world.ts';
import { unitsOf } from '../../../apps/control-plane/src/jobs/plan-units.ts';

export interface WriterCycle {
  /** Units that were committed, or refused at the commit. */
  readonly decisions: number;
  readonly readMs: number;
  readonly planMs: number;
  /** Of each transaction; two are under way at once. */
  readonly commitMs: readonly number[];
  readonly totalMs: number;
}

export async function writeOnce(
  store: Store,
  epoch: number,
  batch: number,
  onCommitted: (applied: AppliedJobs) => void = () => undefined,
): Promise<WriterCycle> {
  const begunMs = performance.now();
  const world = await new KeptWorld(store.read).look(Date.now());
  const readMs = performance.now() - begunMs;
  const plan = planWorkloads(toWorkloadSnapshot(world, new JobMemory(), []));
  const units = unitsOf(plan, world, new JobDecisions(epoch), (id) => id).units;
  const planMs = performance.now() - begunMs - readMs;
  const commitMs: number[] = [];
  const { signal } = new AbortController();
  const { errors } = await inBatches(units, { size: batch, signal, atOnce: BATCHES_AT_ONCE }, async (some) => {
    const beforeMs = performance.now();
    const applied = await applyJobs(store, epoch, some, world);
    commitMs.push(performance.now() - beforeMs);
    onCommitted(applied);
  });
  if (errors.length > 0) throw errors[0];
  return { decisions: units.length, readMs, planMs, commitMs, totalMs: performance.now() - begunMs };
}
