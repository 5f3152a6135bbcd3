/** Answers an agent's fetch from Postgres: its whole document, and the right to fetch the versions that it names. */
import { Injectable } from '@nestjs/common';
import type { DesiredFetchReply } from '#contracts';
import { isMember, Store } from '#domain';
import { BlobTokens } from '../blobs/blob-tokens.ts';

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
    return { state: state as DesiredFetchReply['state'], blobs };
  }
}
