// What one replica needs, made concrete: a claim that says `auto` is sized from the version that is deployed.

import type { ClusterSelector, ModelVersion, ResourceClaim, Rows } from '#domain';
import { DEFAULT_SERVING, type ParallelPlan } from '#scheduling';
import type { BlobStore } from '../blobs/blob-store.ts';
import { AUTO, sizeClaim } from '../parallel-plans/size-claim.ts';

/** @throws RefusedError invalid `claim` */
export async function resolveReplicaClaim(
  rows: Rows,
  blobs: BlobStore,
  wanted: { readonly claim: ResourceClaim | typeof AUTO; readonly selector: ClusterSelector },
  version: ModelVersion,
): Promise<ResourceClaim> {
  if (wanted.claim !== AUTO) return wanted.claim;
  const { plan } = await sizeClaim(rows, blobs, { version, purpose: DEFAULT_SERVING, selector: wanted.selector });
  return wholeClaim(plan);
}

/** A replica is one engine, however many nodes it takes: its members' devices in one claim. */
export function wholeClaim({ claim, gang }: Pick<ParallelPlan, 'claim' | 'gang'>): ResourceClaim {
  if (gang.size === 1) return claim;
  return { ...claim, count: claim.count * gang.size, schedulingPolicy: { topologyScope: 'rack' } };
}
