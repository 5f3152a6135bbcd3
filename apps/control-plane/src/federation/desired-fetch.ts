/**
 * Answers an agent's fetch from Postgres: its document, whole or as the difference to what it holds, the right to fetch
 * the versions that it names, the key that proves neighbours' tokens, and when what it holds is to be verified next.
 *
 * An agent that holds the newest, as nearly all do that ask, is told so without reading the document or hashing it.
 */
import { Injectable } from '@nestjs/common';
import {
  type DesiredFetchReply,
  type DesiredFetch as DesiredFetchRequest,
  itemHash,
  outlineDigest,
  outlineHashes,
  outlineOf,
} from '#contracts';
import { type Cluster, type DesiredState, isMember, judgePosition, listDelta, Store } from '#domain';
import { BlobTokens } from '../blobs/blob-tokens.ts';
import { nextFire } from '../sync/cron.ts';

/** Up to so many items the whole document costs less than another question. */
const ITEMS_SENT_WHOLE_MAX = 4;

@Injectable()
export class DesiredFetch {
  constructor(
    private readonly store: Store,
    private readonly blobTokens: BlobTokens,
  ) {}

  /** Null when the cluster is no member. */
  async answer(clusterId: string, { held, ...position }: DesiredFetchRequest): Promise<DesiredFetchReply | null> {
    const cluster = await this.store.read.clusters.find({ id: clusterId });
    if (cluster === null || !isMember(cluster.phase)) return null;
    const verification = verificationOf(cluster, new Date());
    const needsBlobs = held === undefined || held.needsBlobs === true;
    const known = needsBlobs || cluster.ahead !== null ? null : await this.store.read.desired.position(clusterId);
    if (known !== null && known.digest === held?.digest && judgePosition(known, position) !== 'ahead') {
      return { state: null, unchanged: true, ...verification };
    }
    const stored = await this.store.read.desired.find(clusterId);
    if (known?.digest === null && stored !== null) await this.keepOutline(stored);
    // Whoever has applied what this database does not know is shown nothing that it could take for newer (R20).
    const isAhead = cluster.ahead !== null || judgePosition(stored, position) === 'ahead';
    const state = isAhead ? null : stored;
    const digests = state?.versions.map(({ digest }) => digest) ?? [];
    const blobs = needsBlobs ? { blobs: await this.blobTokens.issue(clusterId, digests) } : {};
    return { ...documentFor(state, held), ...blobs, ...verification };
  }

  /** Of what an older release wrote, so that it is hashed once. */
  private async keepOutline(state: DesiredState): Promise<void> {
    await this.store.transaction((rows) => rows.desired.keepOutline(state));
  }
}

/** The document as whoever holds `held` needs it. Pure. */
export function documentFor(
  state: DesiredState | null,
  held: DesiredFetchRequest['held'],
): Pick<DesiredFetchReply, 'state' | 'unchanged' | 'outlineWanted' | 'delta'> {
  const whole = { state: state as DesiredFetchReply['state'] };
  if (state === null || held === undefined) return whole;
  if (held.digest === outlineDigest(state, outlineOf(state))) return { state: null, unchanged: true };
  if (state.versions.length + state.replicas.length + state.tasks.length <= ITEMS_SENT_WHOLE_MAX) return whole;
  const { outline } = held;
  if (outline === undefined) return { state: null, outlineWanted: true };
  const { clusterId, epoch, revision } = state;
  const delta = {
    clusterId,
    epoch,
    revision,
    versions: listDelta(outlineHashes(outline.versions), state.versions, itemHash),
    replicas: listDelta(outlineHashes(outline.replicas), state.replicas, itemHash),
    tasks: listDelta(outlineHashes(outline.tasks), state.tasks, itemHash),
  };
  return { state: null, delta: delta as NonNullable<DesiredFetchReply['delta']> };
}

/** Central clusters verify all they hold, edges a sample; nothing for a cron that never fires. */
export function verificationOf(
  { kind, sync }: Pick<Cluster, 'kind' | 'sync'>,
  now: Date,
): Pick<DesiredFetchReply, 'verification'> {
  const due = nextFire(sync, now);
  if (due === null) return {};
  const dueInSeconds = Math.ceil((due.getTime() - now.getTime()) / 1_000);
  return { verification: { mode: kind === 'central' ? 'full' : 'sample', dueInSeconds } };
}
