// A claim that says `auto`, made concrete: sized from the files of a version and the devices that clusters have reported
// (`libs/scheduling/src/parallel`). What counts is all that they have, not what is free at the moment: a claim is fixed when
// it is made, and room comes and goes.

import { type ClusterSelector, type ModelVersion, RefusedError, type Rows, refuse } from '#domain';
import { type AutoClaim, type AutoClaimCluster, autoClaim, type Purpose, rejectSelected } from '#scheduling';
import type { BlobStore } from '../blobs/blob-store.ts';
import { shapeOfVersion } from './version-shape.ts';

/** As a claim is given where it may be left to us. */
export const AUTO = 'auto';

const IMPOSSIBLE_SHOWN_MAX = 5;

/** @throws RefusedError invalid `claim`, with why nothing smaller or larger fits */
export async function sizeClaim(
  rows: Rows,
  blobs: BlobStore,
  wanted: { readonly version: ModelVersion; readonly purpose: Purpose; readonly selector: ClusterSelector },
): Promise<AutoClaim> {
  const shape = await shapeOfVersion(blobs, wanted.version);
  if (typeof shape === 'string') throw invalidClaim(`auto cannot be sized: ${shape}`);
  const found = autoClaim(shape, wanted.purpose, await readInventories(rows, wanted.selector));
  if (!('impossible' in found)) return found;
  const said = found.impossible.slice(0, IMPOSSIBLE_SHOWN_MAX).join('; ');
  throw invalidClaim(`auto finds no split that fits: ${said}`);
}

export function invalidClaim(reason: string): RefusedError {
  return new RefusedError(refuse.invalid('claim', reason));
}

async function readInventories(rows: Rows, selector: ClusterSelector): Promise<AutoClaimCluster[]> {
  const clusters = (await rows.clusters.all()).filter((cluster) => rejectSelected(cluster, selector) === null);
  const observations = await rows.observations.findAll(clusters.map(({ id }) => id));
  const nodes = new Map(observations.map(({ clusterId, report }) => [clusterId, report.nodes]));
  return clusters.map(({ id, name }) => ({ name, nodes: nodes.get(id) ?? [] }));
}
