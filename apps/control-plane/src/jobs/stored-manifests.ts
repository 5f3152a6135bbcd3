// Checkpoints and outputs as the blob store has them: a manifest, itself a blob, and the files that it lists.

import { parseManifest, type VersionFile } from '#domain';
import type { BlobStore } from '../blobs/blob-store.ts';

/** 100,000 files with names of some length; a longer one is no manifest of a job. */
export const MANIFEST_BYTES_MAX = 16_777_216;

/** The files that a manifest lists; null when it is not here, not one, or one of its files is not here whole. */
export async function readWholeManifest(blobs: BlobStore, digest: string): Promise<VersionFile[] | null> {
  const files = await readManifest(blobs, digest);
  if (files === null) return null;
  for (const file of files) if ((await blobs.sizeBytes(file.digest)) !== file.sizeBytes) return null;
  return files;
}

/** As `readWholeManifest`, without a look at the files themselves. */
export async function readManifest(blobs: BlobStore, digest: string): Promise<VersionFile[] | null> {
  const sizeBytes = await blobs.sizeBytes(digest);
  if (sizeBytes === null || sizeBytes > MANIFEST_BYTES_MAX) return null;
  const chunks: Buffer[] = [];
  for await (const chunk of blobs.read(digest)) chunks.push(chunk as Buffer);
  return parseManifest(Buffer.concat(chunks).toString('utf8'));
}

/** What must be kept for this manifest to be of use. */
export function blobsOf(digest: string, files: readonly VersionFile[]): string[] {
  return [...new Set([digest, ...files.map((file) => file.digest)])];
}
