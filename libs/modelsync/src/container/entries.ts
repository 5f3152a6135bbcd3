import type { BlockCodec } from '../codecs/codec.ts';
import type { ElementType } from '../elements.ts';

/** One piece of the result as the container's index lists it. */
export interface PieceEntry {
  readonly type: ElementType;
  /** Place in the result. */
  readonly offset: number;
  readonly bytes: number;
  readonly base: { readonly offset: number; readonly bytes: number } | null;
  /** Where in the container the tensor's factors are; null without. */
  readonly model: { readonly offset: number; readonly bytes: number; readonly crc: number } | null;
}

/** One block: the unit of coding, checking, parallel work and resuming. */
export interface BlockEntry {
  readonly index: number;
  readonly piece: PieceEntry;
  readonly codec: BlockCodec;
  /** Place in the piece; the place in the result is `piece.offset + start`. */
  readonly start: number;
  readonly bytes: number;
  /** Place in the container. */
  readonly payloadOffset: number;
  readonly payloadBytes: number;
  /** CRC-32 of the payload; 0 where it is empty. */
  readonly payloadCrc: number;
  /** CRC-32 of the block's decoded bytes. */
  readonly crc: number;
}
