/**
 * The container's index: the pieces of the result in order, each followed by its blocks. Stored as one zstd frame;
 * docs/formats/diff-v1.md specifies every byte.
 */
import { codecOfCode } from '../codecs/table.ts';
import { readVarint, writeVarint } from '../codecs/varint.ts';
import { type ElementType, elementTypes } from '../elements.ts';
import { CorruptDiffError, UnknownCodecError } from '../errors.ts';
import { blockLength } from '../pieces/cut.ts';
import type { BlockEntry, PieceEntry } from './entries.ts';
import { type ContainerHeader, HEADER_BYTES, INDEX_BYTES_MAX } from './header.ts';

/** Most bytes of a tensor's factors. */
export const MODEL_BYTES_MAX = 64 * 1024 * 1024;
const RECORD_BYTES_MAX = 64;

/** What the writer knows of a block once it is coded. */
export interface WrittenBlock {
  readonly codecCode: number;
  readonly payloadBytes: number;
  readonly payloadCrc: number;
  readonly crc: number;
}

/** Grows as pieces and blocks are written. */
export class IndexWriter {
  private bytes = new Uint8Array(4096);
  private length = 0;
  pieceCount = 0;
  blockCount = 0;

  addPiece(piece: Omit<PieceEntry, 'offset' | 'model'>, model: { bytes: number; crc: number } | null): void {
    this.reserve();
    this.bytes[this.length++] = piece.type.code;
    this.varint(piece.bytes);
    this.varint(piece.base === null ? 0 : piece.base.offset + 1);
    if (piece.base !== null && piece.type.kind === 'opaque') this.varint(piece.base.bytes);
    this.varint(model?.bytes ?? 0);
    if (model !== null) this.uint32(model.crc);
    this.pieceCount++;
  }

  addBlock({ codecCode, payloadBytes, payloadCrc, crc }: WrittenBlock): void {
    this.reserve();
    this.bytes[this.length++] = codecCode;
    this.varint(payloadBytes);
    if (payloadBytes > 0) this.uint32(payloadCrc);
    this.uint32(crc);
    this.blockCount++;
  }

  content(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  private reserve(): void {
    if (this.length + RECORD_BYTES_MAX <= this.bytes.length) return;
    if (this.bytes.length * 2 > INDEX_BYTES_MAX) throw new RangeError('the index has too many blocks; use larger ones');
    const grown = new Uint8Array(this.bytes.length * 2);
    grown.set(this.bytes);
    this.bytes = grown;
  }

  private varint(value: number): void {
    this.length = writeVarint(this.bytes, this.length, value);
  }

  private uint32(value: number): void {
    new DataView(this.bytes.buffer).setUint32(this.length, value, true);
    this.length += 4;
  }
}

export interface IndexContent {
  readonly pieces: readonly PieceEntry[];
  readonly blocks: readonly BlockEntry[];
}

/** Throws CorruptDiffError and UnknownCodecError: everything is in range afterwards. */
export function parseIndex(bytes: Uint8Array, header: ContainerHeader): IndexContent {
  const cursor = new IndexCursor(bytes);
  const pieces: PieceEntry[] = [];
  const blocks: BlockEntry[] = [];
  let resultOffset = 0;
  let storedOffset = HEADER_BYTES;
  while (!cursor.isAtEnd) {
    const piece = readPiece(cursor, header, resultOffset, storedOffset);
    pieces.push(piece);
    resultOffset += piece.bytes;
    storedOffset += piece.model?.bytes ?? 0;
    const length = blockLength(piece.type, piece.bytes, header.blockBytes);
    for (let start = 0; start < piece.bytes; start += length) {
      const block = readBlock(cursor, piece, start, Math.min(length, piece.bytes - start), blocks.length, storedOffset);
      blocks.push(block);
      storedOffset += block.payloadBytes;
    }
  }
  if (resultOffset !== header.resultSize) throw new CorruptDiffError('its pieces do not add up to the result');
  if (storedOffset !== header.indexOffset) throw new CorruptDiffError('its blocks do not add up to its size');
  if (pieces.length !== header.pieceCount || blocks.length !== header.blockCount)
    throw new CorruptDiffError('its index lists other counts than its header');
  return { pieces, blocks };
}

function readPiece(cursor: IndexCursor, header: ContainerHeader, offset: number, storedOffset: number): PieceEntry {
  const type = typeOfCode(cursor.uint8());
  const bytes = cursor.varint();
  const baseStart = cursor.varint();
  const hasBase = baseStart > 0;
  const baseBytes = hasBase && type.kind === 'opaque' ? cursor.varint() : bytes;
  const modelBytes = cursor.varint();
  const model = modelBytes === 0 ? null : { offset: storedOffset, bytes: modelBytes, crc: cursor.uint32() };
  if (bytes === 0 || bytes % type.bytes !== 0 || offset + bytes > header.resultSize)
    throw new CorruptDiffError(`a piece has ${bytes} bytes of ${type.name}`);
  if (hasBase && baseStart - 1 + baseBytes > header.baseSize)
    throw new CorruptDiffError('a piece refers beyond the base');
  if (modelBytes > MODEL_BYTES_MAX || storedOffset + modelBytes > header.indexOffset)
    throw new CorruptDiffError(`a tensor has factors of ${modelBytes} bytes`);
  const base = hasBase ? { offset: baseStart - 1, bytes: baseBytes } : null;
  return { type, offset, bytes, base, model };
}

function readBlock(
  cursor: IndexCursor,
  piece: PieceEntry,
  start: number,
  bytes: number,
  index: number,
  payloadOffset: number,
): BlockEntry {
  const codec = codecOfCode(cursor.uint8());
  const payloadBytes = cursor.varint();
  const payloadCrc = payloadBytes === 0 ? 0 : cursor.uint32();
  const crc = cursor.uint32();
  // The writer falls back to `raw`, so no payload is larger than its block.
  if (payloadBytes > bytes)
    throw new CorruptDiffError(`block ${index} would grow from ${payloadBytes} to ${bytes} bytes`);
  return { index, piece, codec, start, bytes, payloadOffset, payloadBytes, payloadCrc, crc };
}

function typeOfCode(code: number): ElementType {
  const type = elementTypes[code];
  if (type === undefined) throw new UnknownCodecError('element type', code);
  return type;
}

class IndexCursor {
  private at = 0;
  private readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  uint8(): number {
    return this.take(1)[0]!;
  }

  uint32(): number {
    const bytes = this.take(4);
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  }

  varint(): number {
    const [value, after] = readVarint(this.bytes, this.at);
    this.at = after;
    return value;
  }

  private take(length: number): Uint8Array {
    if (this.at + length > this.bytes.length) throw new CorruptDiffError('its index is cut');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}
