/**
 * What each cluster needs to serve without the centre, signed. Composed only when something that goes into it changed, or
 * when what was issued is an hour old: an idle cluster's question costs one look at indexed rows (R18).
 */
import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { BUNDLE_BYTES_MAX, type BundleReply } from '#contracts';
import { BUNDLE_SIGNATURE_CONTEXT, type IssuedBundle, type Rows, Store } from '#domain';
import { Secrets } from '../secrets/secrets.ts';
import { bundleBody, bundleText } from './compose-bundle.ts';

/** A bundle is good for days; a newer one says again that the centre stands by it. */
export const BUNDLE_REISSUE_SECONDS = 3_600;

export type BundleRefusal = 'not-a-member' | 'too-large';

@Injectable()
export class Bundles {
  constructor(
    private readonly store: Store,
    private readonly secrets: Secrets,
  ) {}

  /** @param have SHA-256 of the text that the cluster has, hex; null: none */
  async answer(clusterId: string, have: string | null): Promise<BundleReply | BundleRefusal> {
    const head = await this.store.read.bundles.head(clusterId);
    if (head === null) return 'not-a-member';
    if (isNewest(head, have)) return { answer: 'unchanged' };
    const text = await this.store.transaction((rows) => this.issue(rows, clusterId));
    if (Buffer.byteLength(text) > BUNDLE_BYTES_MAX) return 'too-large';
    if (hashOf(text) === have) return { answer: 'unchanged' };
    return { answer: 'bundle', text, signature: this.secrets.sign(BUNDLE_SIGNATURE_CONTEXT, text) };
  }

  /** Under a lock, so that of two control planes the one that writes later has also read later. */
  private async issue(rows: Rows, clusterId: string): Promise<string> {
    await rows.bundles.lock(clusterId);
    const content = await rows.bundles.content(clusterId);
    const body = bundleBody(clusterId, content, this.secrets.offlinePepper);
    const issued = await rows.bundles.issue(
      clusterId,
      {
        source: content.source,
        contentHash: hashOf(JSON.stringify(body)),
        tenantIds: [...new Set(content.deployments.map(({ tenantId }) => tenantId))],
      },
      BUNDLE_REISSUE_SECONDS,
    );
    const text = bundleText(body, issued);
    await rows.bundles.noteText(clusterId, hashOf(text));
    return text;
  }
}

interface Head {
  readonly source: string;
  readonly issued: IssuedBundle | null;
  readonly nowMs: number;
}

function isNewest({ source, issued, nowMs }: Head, have: string | null): boolean {
  if (issued === null || have === null || issued.textHash !== have) return false;
  return issued.source === source && nowMs - issued.issuedAt.getTime() < BUNDLE_REISSUE_SECONDS * 1_000;
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
