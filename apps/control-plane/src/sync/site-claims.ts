/**
 * One cluster of a site group fetches a version from the registry, the others wait and then fetch it from there: a group
 * costs the origin one version, whatever its size.
 *
 * The claim is a row; nothing else is remembered. It moves on when its holder made no progress for 20 s, and at once when
 * there is nothing to wait for: the holder left the group, is not reached, no longer wants the version, or has it already
 * but cannot serve the one who asks. A holder that finished is a neighbour to fetch from before anybody asks for the
 * claim again.
 */
import { type Cluster, type Rows, type Store, siteGroupOf } from '#domain';
import { heldOf, type Member, movedBytesOf } from './site-group.ts';

/** By Postgres' clock, from when a report last showed more bytes. */
export const STALL_SECONDS = 20;

export interface ClaimQuestion {
  readonly cluster: Cluster;
  readonly versionDigest: string;
  /** The others of its group that can be reached. */
  readonly members: readonly Member[];
}

/** @returns null when the cluster may ask the registry, else the neighbour that it waits for */
export async function claimFetch(store: Store, question: ClaimQuestion): Promise<Member | null> {
  const { cluster, versionDigest, members } = question;
  const siteGroup = siteGroupOf(cluster);
  if (siteGroup === null) return null;
  const key = { tenantId: cluster.tenantId, siteGroup, versionDigest };
  const byId = new Map(members.map((member) => [member.cluster.id, member]));
  const holderBytes = (id: string) => {
    const member = byId.get(id);
    return member === undefined ? 0 : movedBytesOf(member, versionDigest);
  };
  return store.transaction(async (rows) => {
    const ask = () => rows.syncClaims.claim(key, cluster.id, { holderBytes }, STALL_SECONDS);
    let holderId = await ask();
    if (holderId !== cluster.id && !(await isToBeWaitedFor(rows, byId.get(holderId), versionDigest))) {
      await rows.syncClaims.release(cluster.tenantId, versionDigest, holderId);
      holderId = await ask();
    }
    return byId.get(holderId) ?? null;
  });
}

/** Gives up the claim, if this cluster holds it: somebody else may fetch now. */
export async function releaseFetch(store: Store, cluster: Cluster, versionDigest: string): Promise<void> {
  if (siteGroupOf(cluster) === null) return;
  await store.transaction((rows) => rows.syncClaims.release(cluster.tenantId, versionDigest, cluster.id));
}

async function isToBeWaitedFor(rows: Rows, holder: Member | undefined, versionDigest: string): Promise<boolean> {
  if (holder === undefined || heldOf(holder, versionDigest)?.phase === 'Held') return false;
  const desired = await rows.desired.find(holder.cluster.id);
  return desired?.versions.some(({ digest }) => digest === versionDigest) ?? false;
}
