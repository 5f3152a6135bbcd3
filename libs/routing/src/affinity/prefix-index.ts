/**
 * Which replica has the beginning of which prompts in its cache, as far as this router sent them there.
 *
 * A prompt is a list of chained block hashes (`prompt-blocks.ts`): equal hashes mean equal blocks and equal blocks before
 * them. An engine keeps a cached block only with all that precede it; so does this: what is used is touched from its last
 * block to its first, so that the blocks longest unused are always the ends of prompts and the longest match is a prefix.
 *
 * Bounded: `blocksMax` blocks a replica, the longest unused dropped; replicas are dropped by `retain`. It is a guess about
 * another process: an engine that evicted more than it should have only makes a first token later than predicted.
 */

/** About 4 million tokens at 256 a block; a replica's share of memory here is then about 1 MB. */
const BLOCKS_MAX_DEFAULT = 16_384;

export class PrefixIndex {
  /** Replica → its blocks, the longest unused first. */
  private readonly cached = new Map<string, Set<number>>();

  /** `blocksMax`: of one replica, at least 1. */
  constructor(private readonly blocksMax: number = BLOCKS_MAX_DEFAULT) {}

  /** How many blocks of the prompt's beginning are cached there. */
  cachedBlocks(replicaId: string, blocks: readonly number[]): number {
    const here = this.cached.get(replicaId);
    if (here === undefined) return 0;
    let count = 0;
    while (count < blocks.length && here.has(blocks[count]!)) count += 1;
    return count;
  }

  /** The replica was given this prompt: by the time that it works on what comes after, these blocks are cached. */
  served(replicaId: string, blocks: readonly number[]): void {
    const here = this.cached.get(replicaId) ?? new Set<number>();
    this.cached.set(replicaId, here);
    for (let index = Math.min(blocks.length, this.blocksMax) - 1; index >= 0; index -= 1) {
      const block = blocks[index]!;
      here.delete(block);
      here.add(block);
    }
    for (const oldest of here) {
      if (here.size <= this.blocksMax) break;
      here.delete(oldest);
    }
  }

  /** Its engine started anew: nothing is cached. */
  forget(replicaId: string): void {
    this.cached.delete(replicaId);
  }

  /** Forgets replicas that are not in `replicaIds`. */
  retain(replicaIds: ReadonlySet<string>): void {
    for (const replicaId of this.cached.keys()) if (!replicaIds.has(replicaId)) this.cached.delete(replicaId);
  }
}
