import type { ElementType } from '../elements.ts';

/** One block as a codec sees it. */
export interface Block {
  readonly type: ElementType;
  /** The base's bytes for exactly this block; empty where the base has none. */
  readonly base: Uint8Array;
  /** Opaque blocks: the stretch of the base around this place, at most three blocks; otherwise empty. */
  readonly surroundings: Uint8Array;
  /** The piece's low-rank model, serialised; empty where it has none. */
  readonly model: Uint8Array;
  /** Index in the piece of the block's first element. */
  readonly firstElement: number;
}

/** A way to write one block. Rows of `codecs` in table.ts; the codes are part of the container format. */
export interface BlockCodec {
  /** The byte that stands for it in a container. */
  readonly code: number;
  readonly name: CodecName;
  /** One line, for tables and help texts. */
  readonly meaning: string;
  /** Whether this codec can write blocks like this one. */
  readonly fits: (block: Block) => boolean;
  /** The payload; null where it cannot be smaller than the block. `next` is left alone. */
  readonly encode: (block: Block, next: Uint8Array, level: number) => Uint8Array | null;
  /** Fills all of `out`; throws CorruptDiffError when the payload does not say how, in bounded time and memory. */
  readonly decode: (block: Block, payload: Uint8Array, out: Uint8Array) => void;
}

export type CodecName = 'same' | 'raw' | 'patched' | 'grouped' | 'coded' | 'predicted' | 'snapshot';
