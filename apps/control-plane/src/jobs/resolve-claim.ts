// What each member needs, made concrete: a claim that says `auto` is sized from the mount `base`.

import type { ClusterSelector, GangPolicy, JobMount, Launcher, ResourceClaim, Rows } from '#domain';
import { DEFAULT_FINE_TUNE, DEFAULT_SERVING, ENGINE_ARGUMENTS, type EngineName, type ParallelPlan } from '#scheduling';
import type { BlobStore } from '../blobs/blob-store.ts';
import { AUTO, invalidClaim, sizeClaim } from '../parallel-plans/size-claim.ts';
import type { WantedJob } from './new-job.ts';

export interface ResolvedClaim {
  readonly claim: ResourceClaim;
  readonly gang: GangPolicy;
  /** What the command is told about how it is split; empty unless the claim was `auto`. */
  readonly environment: Readonly<Record<string, string>>;
  /** What an `auto` claim was worked out to, and why nothing smaller fits; null when it was not one. */
  readonly sized: string | null;
}

/** Who is told how the model is split, by how its members are started. */
const ENGINE_OF: Readonly<Record<Launcher, EngineName>> = { plain: 'vllm', torchrun: 'megatron', msrun: 'mindformers' };

/** @throws RefusedError invalid `claim` */
export async function resolveClaim(
  rows: Rows,
  blobs: BlobStore,
  { claim, tasks, kind, selector, launcher }: WantedJob,
  mounts: readonly JobMount[],
): Promise<ResolvedClaim> {
  if (claim !== AUTO) {
    const { size, minimum = size, topology = null, spansClusters } = tasks;
    const gang = { size, minimum, topology, spansClusters };
    return { claim: claim as ResourceClaim, gang, environment: {}, sized: null };
  }
  const base = mounts.find(({ name }) => name === 'base');
  const version = base === undefined ? null : await rows.versions.find({ id: base.versionId });
  if (version === null) throw invalidClaim('auto sizes the claim from the mount "base", which is not given');
  const purpose = kind === 'fine-tune' ? DEFAULT_FINE_TUNE : DEFAULT_SERVING;
  const { plan } = await sizeClaim(rows, blobs, { version, purpose, selector: selector as ClusterSelector });
  return { claim: plan.claim, gang: plan.gang, environment: environmentOf(plan, launcher), sized: plan.reason };
}

function environmentOf(plan: ParallelPlan, launcher: Launcher): Record<string, string> {
  return {
    ATOLL_TENSOR_PARALLEL: String(plan.tensor),
    ATOLL_PIPELINE_PARALLEL: String(plan.pipeline),
    ATOLL_PARALLEL_ARGUMENTS: ENGINE_ARGUMENTS[ENGINE_OF[launcher]].argumentsOf(plan, plan.gang.size).join(' '),
  };
}
