// Removes blobs that nothing refers to any more. Safe beside publishing and beside other control planes on the same disk:
// see BlobStore.remove.

import type { BlobStore, StoredBlob } from './blob-store.ts';

/** What was adopted lately may be about to be referred to. */
export const BLOB_GRACE_MS = 3_600_000;

const BATCH_MAX = 500;

/** @returns how many went, and their bytes */
export async function collectBlobs(
  blobs: BlobStore,
  readInUse: () => Promise<ReadonlySet<string>>,
  now: Date,
): Promise<{ readonly count: number; readonly bytes: number }> {
  const before = new Date(now.getTime() - BLOB_GRACE_MS);
  const inUse = await readInUse();
  let [count, bytes] = [0, 0];
  let batch: StoredBlob[] = [];
  const finish = async () => {
    const gone = await blobs.remove(batch, before, readInUse);
    count += gone.length;
    bytes += gone.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    batch = [];
  };
  for await (const blob of blobs.list()) {
    if (inUse.has(blob.digest) || blob.adoptedAt >= before) continue;
    batch.push(blob);
    if (batch.length >= BATCH_MAX) await finish();
  }
  await finish();
  return { count, bytes };
}
