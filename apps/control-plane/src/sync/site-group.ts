/**
 * Neighbours: clusters of one tenant with the same site group. Which of them has a version and serves it, and how far the
 * one is that fetches it. Pure, but for reading.
 */
import { createHash } from 'node:crypto';
import { type Cluster, type HeldVersion, type Observation, type Rows, siteGroupOf } from '#domain';
import type { Neighbour } from './plan-for-cluster.ts';

/** Where agents serve blobs to their neighbours. */
const BLOBS_PATH = '/atoll/blobs';

export interface Member {
  readonly cluster: Cluster;
  /** Null before its first report. */
  readonly observation: Observation | null;
}

export async function readNeighbours(rows: Rows, cluster: Cluster): Promise<Member[]> {
  const siteGroup = siteGroupOf(cluster);
  if (siteGroup === null) return [];
  const group = await rows.clusters.ofSiteGroup(cluster.tenantId, siteGroup);
  const neighbours = group.filter((other) => isNeighbour(cluster, other));
  const observations = await rows.observations.findAll(neighbours.map(({ id }) => id));
  const byCluster = new Map(observations.map((observation) => [observation.clusterId, observation]));
  return neighbours.map((other) => ({ cluster: other, observation: byCluster.get(other.id) ?? null }));
}

/** Another one of the group that can be reached now. */
export function isNeighbour(cluster: Cluster, other: Cluster): boolean {
  const group = siteGroupOf(cluster);
  const isSameGroup = group !== null && siteGroupOf(other) === group && other.tenantId === cluster.tenantId;
  return isSameGroup && other.id !== cluster.id && other.phase === 'Ready';
}

/**
 * The neighbour to fetch a version from, or null. Of several each asker prefers another one, always the same, so that
 * one holder does not serve the whole group.
 */
export function chooseNeighbour(
  askerId: string,
  members: readonly Member[],
  versionDigest: string,
  avoidNames: readonly string[],
): Neighbour | null {
  const serving = members.flatMap((member): Neighbour[] => {
    const { id, name } = member.cluster;
    const endpoint = member.observation?.report.blobEndpoint;
    const isHeld = heldOf(member, versionDigest)?.phase === 'Held';
    if (!isHeld || endpoint === undefined || avoidNames.includes(name)) return [];
    return [{ clusterId: id, name, url: `http://${endpoint}${BLOBS_PATH}` }];
  });
  const ranked = serving.map((neighbour) => ({ neighbour, rank: rankOf(askerId, neighbour.clusterId) }));
  return ranked.sort((left, right) => (left.rank < right.rank ? -1 : 1))[0]?.neighbour ?? null;
}

export function heldOf({ observation }: Pick<Member, 'observation'>, versionDigest: string): HeldVersion | undefined {
  return observation?.report.versions.find(({ digest }) => digest === versionDigest);
}

/** Bytes that it is seen to have fetched, and of how many. */
export function progressOf(member: Pick<Member, 'observation'>, versionDigest: string): { have: number; of: number } {
  const held = heldOf(member, versionDigest);
  if (held?.phase !== 'Fetching') return { have: 0, of: 0 };
  if (held.sync !== undefined) return { have: held.sync.wireBytesHave, of: held.sync.wireBytesTotal };
  return { have: held.bytesHave, of: held.bytesTotal };
}

/** Rises while it gets on: with what it fetched, and with what it made of that, which may take longer. */
export function movedBytesOf(member: Pick<Member, 'observation'>, versionDigest: string): number {
  const held = heldOf(member, versionDigest);
  return held?.phase === 'Fetching' ? held.bytesHave + (held.sync?.wireBytesHave ?? 0) : 0;
}

function rankOf(askerId: string, servingId: string): string {
  return createHash('sha256').update(`${askerId} ${servingId}`).digest('hex');
}
