import { crc32 } from 'node:zlib';
import type { ByteSink } from '../bytes.ts';
import type { CodecName } from '../codecs/codec.ts';
import { zstd } from '../codecs/planes.ts';
import { codecOfCode } from '../codecs/table.ts';
import type { EncodedBlock } from '../codecs/work.ts';
import type { PieceEntry } from './entries.ts';
import { type ContainerHeader, HEADER_BYTES, writeHeader } from './header.ts';
import { IndexWriter } from './index-table.ts';

const INDEX_LEVEL = 19;

/** By codec: blocks, their bytes in the result, and their bytes in the container. */
export type CodecCounts = Partial<Record<CodecName, { blocks: number; bytes: number; payloadBytes: number }>>;

/** Writes a container front to back, the header last: a writer that was killed leaves nothing that opens. */
export class ContainerWriter {
  readonly counts: CodecCounts = {};
  private readonly sink: ByteSink;
  private readonly index = new IndexWriter();
  private at = HEADER_BYTES;

  constructor(sink: ByteSink) {
    this.sink = sink;
  }

  /** Begins a piece; the blocks that follow are its own. `model` is empty where the piece has none. */
  async addPiece(piece: Omit<PieceEntry, 'offset' | 'model'>, model: Uint8Array): Promise<void> {
    this.index.addPiece(piece, model.length === 0 ? null : { bytes: model.length, crc: crc32(model) });
    await this.append(model);
  }

  /** `bytes`: the block's length before coding. */
  async addBlock({ codecCode, payload, crc }: EncodedBlock, bytes: number): Promise<void> {
    this.index.addBlock({ codecCode, payloadBytes: payload.length, payloadCrc: crc32(payload), crc });
    this.count(codecOfCode(codecCode).name, bytes, payload.length);
    await this.append(payload);
  }

  /** Writes index and header. Returns the container's size. */
  async finish(
    facts: Pick<ContainerHeader, 'kind' | 'blockBytes' | 'baseSize' | 'resultSize' | 'baseDigest' | 'resultDigest'>,
  ): Promise<number> {
    const content = this.index.content();
    const stored = zstd(content, INDEX_LEVEL);
    const header: ContainerHeader = {
      ...facts,
      pieceCount: this.index.pieceCount,
      blockCount: this.index.blockCount,
      indexOffset: this.at,
      indexStoredBytes: stored.length,
      indexBytes: content.length,
      indexCrc: crc32(stored),
    };
    await this.append(stored);
    await this.sink.write(0, writeHeader(header));
    return this.at;
  }

  private count(name: CodecName, bytes: number, payloadBytes: number): void {
    const before = this.counts[name] ?? { blocks: 0, bytes: 0, payloadBytes: 0 };
    this.counts[name] = {
      blocks: before.blocks + 1,
      bytes: before.bytes + bytes,
      payloadBytes: before.payloadBytes + payloadBytes,
    };
  }

  private async append(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    await this.sink.write(this.at, bytes);
    this.at += bytes.length;
  }
}
