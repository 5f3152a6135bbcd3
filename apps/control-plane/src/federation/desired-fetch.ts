/**
 * Answers an agent's fetch from Postgres: its whole document, the right to fetch the versions that it names, the key that
 * proves neighbours' tokens, and when what it holds is to be verified next.
 */
import { Injectable } from '@nestjs/common';
import type { DesiredFetchReply } from '#contracts';
import { type Cluster, isMember, Store } from '#domain';
import { BlobTokens } from '../blobs/blob-tokens.ts';
import { nextFire } from '../sync/cron.ts';

@Injectable()
export class DesiredFetch {
  constructor(
    private readonly store: Store,
    private readonly blobTokens: BlobTokens,
  ) {}

  /** Null when the cluster is no member. */
  async answer(clusterId: string): Promise<DesiredFetchReply | null> {
    const cluster = await this.store.read.clusters.find({ id: clusterId });
    if (cluster === null || !isMember(cluster.phase)) return null;
    const state = await this.store.read.desired.find(clusterId);
    const digests = state?.versions.map(({ digest }) => digest) ?? [];
    const blobs = await this.blobTokens.issue(clusterId, digests);
    return { state: state as DesiredFetchReply['state'], blobs, ...verificationOf(cluster, new Date()) };
  }
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
