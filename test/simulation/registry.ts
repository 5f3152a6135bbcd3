/**
 * The registry's blobs, in memory: checkpoints and outputs that agents have brought whole. What is in it is known by its
 * digest for ever, so that the checks can tell whose work a digest keeps.
 */
import { createHash } from 'node:crypto';
import { manifestText } from '#domain';
import type { BlobStore } from '../../apps/control-plane/src/blobs/blob-store.ts';

/** What a fake command has saved, or left as its output. */
export interface SavedWork {
  readonly jobId: string;
  readonly attemptId: string;
  /** Seconds of the job's whole work that are done, over all attempts. */
  readonly workSeconds: number;
  /** Tells contents apart that are otherwise the same. */
  readonly what: string;
}

export interface Manifest {
  readonly digest: string;
  readonly sizeBytes: number;
}

export class Registry {
  private readonly blobs = new Map<string, Buffer>();
  private readonly works = new Map<string, SavedWork>();

  /** The file and the manifest that names it, both whole. */
  put(work: SavedWork): Manifest {
    const content = JSON.stringify(work);
    const file = this.store(content);
    const digest = this.store(manifestText([{ path: 'state.json', digest: file, sizeBytes: content.length }]));
    this.works.set(digest, work);
    return { digest, sizeBytes: content.length };
  }

  /** Undefined: nothing with this manifest was ever brought here. */
  workOf(manifestDigest: string): SavedWork | undefined {
    return this.works.get(manifestDigest);
  }

  /** As far as the control plane's job code asks it. */
  get blobStore(): BlobStore {
    return {
      sizeBytes: async (digest: string) => this.blobs.get(digest)?.length ?? null,
      read: (digest: string) => [this.blobs.get(digest) ?? Buffer.alloc(0)],
    } as unknown as BlobStore;
  }

  private store(content: string): string {
    const digest = createHash('sha256').update(content).digest('hex');
    this.blobs.set(digest, Buffer.from(content));
    return digest;
  }
}
