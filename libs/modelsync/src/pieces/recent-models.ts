import type { PieceEntry } from '../container/entries.ts';

/** Blocks come in order, so a model is of use while its piece and the one behind it are under way. */
const KEPT = 2;

/**
 * The models of the pieces under way, each read once for all blocks of its piece. Bound: two of them; a diff of a large
 * version has thousands, as much together as no small machine could hold.
 */
export class RecentModels {
  private readonly models = new Map<PieceEntry, Promise<Uint8Array>>();

  get size(): number {
    return this.models.size;
  }

  of(piece: PieceEntry, read: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const known = this.models.get(piece);
    if (known !== undefined) return known;
    const model = read();
    this.models.set(piece, model);
    for (const oldest of this.models.keys()) {
      if (this.models.size <= KEPT) break;
      this.models.delete(oldest);
    }
    return model;
  }
}
