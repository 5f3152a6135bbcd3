// Blobs over HTTP for all fetches of this agent: each by one of them at a time, held together to one rate, and measured.
import type { VersionFile } from '#domain';
import { isDiskFull, SyncError } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';
import { type BlobSource, blobPath, diskFull, downloadBlob, hashFile, removeBlob } from './blob-download.ts';
import type { Measures } from './measures.ts';
import type { OneAtATime } from './one-at-a-time.ts';
import { pace, TokenBucket } from './rate-limit.ts';

/** A neighbour that sends less within the stall timeout holds a fetch up that the registry, or another one, would end. */
const NEIGHBOUR_STALL_BYTES_MIN = 65_536;

export interface TransferSource extends BlobSource {
  readonly kind: 'registry' | 'neighbour';
}

export interface TransfersOptions {
  /** Whoever writes a blob has its path in hand. */
  readonly files: OneAtATime;
  readonly stallTimeoutMs: number;
  readonly measures: Measures;
  readonly metrics: AgentMetrics;
}

export interface TransferCall {
  readonly signal: AbortSignal;
  /** Bytes that were newly written; negative when what was there proved worthless. */
  readonly onBytes: (bytes: number) => void;
}

export class Transfers {
  readonly #options: TransfersOptions;
  readonly #bucket = new TokenBucket();

  constructor(options: TransfersOptions) {
    this.#options = options;
  }

  /** Null: unlimited. Counts from now on for what runs already, too. */
  limit(bytesPerSecond: number | null): void {
    this.#bucket.limit(bytesPerSecond, performance.now());
  }

  /**
   * Makes the blob be in the folder, verified and durable. Two fetches may want the same one: it comes once.
   * @throws SyncError; what came stays for the next try unless it is itself at fault
   */
  async fetch(blob: VersionFile, source: TransferSource, into: string, call: TransferCall): Promise<void> {
    const { files } = this.#options;
    await files.run(blobPath(into, blob.digest), call.signal, () => this.#fetchOnce(blob, source, into, call));
  }

  async #fetchOnce(blob: VersionFile, source: TransferSource, into: string, call: TransferCall): Promise<void> {
    if (await isWhole(into, blob, call.signal)) return;
    try {
      await this.#download(blob, source, into, call).catch((cause: unknown) => {
        // What an earlier try left was at fault, and is gone now; the source itself is asked once more.
        if (!(cause instanceof SyncError) || cause.fault !== 'torn') throw cause;
        return this.#download(blob, source, into, call);
      });
    } catch (cause) {
      if (cause instanceof SyncError || !isDiskFull(cause)) throw cause;
      throw diskFull(blob, cause);
    }
  }

  async #download(
    blob: VersionFile,
    source: TransferSource,
    into: string,
    { signal, onBytes }: TransferCall,
  ): Promise<void> {
    const { stallTimeoutMs, measures, metrics } = this.#options;
    let atMs: number | undefined;
    await downloadBlob(blob, source, {
      blobsFolder: into,
      stallTimeoutMs,
      stallBytesMin: source.kind === 'neighbour' ? NEIGHBOUR_STALL_BYTES_MIN : undefined,
      signal,
      onBytes: (bytes) => {
        onBytes(bytes);
        if (bytes > 0) metrics.syncedBytes(bytes, source.kind);
      },
      pace: async (bytes) => {
        await pace(this.#bucket, bytes, signal);
        // The first piece comes after a wait that is no matter of bandwidth, so it is not measured.
        const nowMs = performance.now();
        if (atMs !== undefined) measures.transferred(source.kind, bytes, nowMs - atMs);
        atMs = nowMs;
      },
    });
  }
}

/** A blob of an earlier version, or of a try that was cut after its rename. Its content is hashed like any other. */
export async function isWhole(
  blobsFolder: string,
  file: Pick<VersionFile, 'digest'>,
  signal: AbortSignal,
): Promise<boolean> {
  const hash = await hashFile(blobPath(blobsFolder, file.digest), signal).catch(() => null);
  signal.throwIfAborted();
  if (hash === null) return false;
  if (hash.digest('hex') === file.digest) return true;
  await removeBlob(blobsFolder, file.digest);
  return false;
}
