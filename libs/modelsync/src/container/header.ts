/**
 * The first 128 bytes of a container: what it is, between which files, and where its index lies.
 * docs/formats/diff-v1.md specifies every byte.
 */
import { crc32 } from 'node:zlib';
import { CorruptDiffError, NotADiffError, UnsupportedVersionError } from '../errors.ts';

export const HEADER_BYTES = 128;
export const FORMAT_VERSION = 1;
export const BLOCK_BYTES_MIN = 4096;
export const BLOCK_BYTES_MAX = 4 * 1024 * 1024;
/** Uncompressed; 500,000 blocks of 2 MiB, a file of 1 TB, take about 5 MB. */
export const INDEX_BYTES_MAX = 64 * 1024 * 1024;

/** `0x89 "ATOLL" 0x0d 0x0a`: a byte above 127 and a line end, so that a transfer as text is noticed. */
const MAGIC = Uint8Array.of(0x89, 0x41, 0x54, 0x4f, 0x4c, 0x4c, 0x0d, 0x0a);
const KINDS = ['diff', 'snapshot'] as const;

export interface ContainerHeader {
  readonly kind: (typeof KINDS)[number];
  /** Largest block, before coding. */
  readonly blockBytes: number;
  readonly baseSize: number;
  readonly resultSize: number;
  /** SHA-256, lower-case hex; 64 zeros in a snapshot. */
  readonly baseDigest: string;
  readonly resultDigest: string;
  readonly pieceCount: number;
  readonly blockCount: number;
  readonly indexOffset: number;
  readonly indexStoredBytes: number;
  readonly indexBytes: number;
  /** CRC-32 of the stored index. */
  readonly indexCrc: number;
}

export function writeHeader(header: ContainerHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint16(8, FORMAT_VERSION, true);
  view.setUint8(10, KINDS.indexOf(header.kind) + 1);
  view.setUint32(12, header.blockBytes, true);
  view.setBigUint64(16, BigInt(header.baseSize), true);
  view.setBigUint64(24, BigInt(header.resultSize), true);
  bytes.set(Buffer.from(header.baseDigest, 'hex'), 32);
  bytes.set(Buffer.from(header.resultDigest, 'hex'), 64);
  view.setUint32(96, header.pieceCount, true);
  view.setUint32(100, header.blockCount, true);
  view.setBigUint64(104, BigInt(header.indexOffset), true);
  view.setUint32(112, header.indexStoredBytes, true);
  view.setUint32(116, header.indexBytes, true);
  view.setUint32(120, header.indexCrc, true);
  view.setUint32(124, crc32(bytes.subarray(0, 124)), true);
  return bytes;
}

/** Throws NotADiffError, UnsupportedVersionError, CorruptDiffError. */
export function parseHeader(bytes: Uint8Array, size: number): ContainerHeader {
  if (bytes.length < HEADER_BYTES) throw new CorruptDiffError(`it has ${size} bytes, fewer than its header`);
  if (!MAGIC.every((byte, index) => bytes[index] === byte)) throw new NotADiffError(hex(bytes.subarray(0, 8)));
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const version = view.getUint16(8, true);
  if (version !== FORMAT_VERSION) throw new UnsupportedVersionError(version, FORMAT_VERSION);
  if (view.getUint32(124, true) !== crc32(bytes.subarray(0, 124)))
    throw new CorruptDiffError('its header does not match its checksum');
  const kind = KINDS[view.getUint8(10) - 1];
  if (kind === undefined || view.getUint8(11) !== 0)
    throw new CorruptDiffError('its header has an unknown kind or flag');
  const header: ContainerHeader = {
    kind,
    blockBytes: view.getUint32(12, true),
    baseSize: size64(view, 16),
    resultSize: size64(view, 24),
    baseDigest: hex(bytes.subarray(32, 64)),
    resultDigest: hex(bytes.subarray(64, 96)),
    pieceCount: view.getUint32(96, true),
    blockCount: view.getUint32(100, true),
    indexOffset: size64(view, 104),
    indexStoredBytes: view.getUint32(112, true),
    indexBytes: view.getUint32(116, true),
    indexCrc: view.getUint32(120, true),
  };
  checkBounds(header, size);
  return header;
}

function checkBounds(header: ContainerHeader, size: number): void {
  if (header.blockBytes < BLOCK_BYTES_MIN || header.blockBytes > BLOCK_BYTES_MAX)
    throw new CorruptDiffError(`its blocks would have ${header.blockBytes} bytes`);
  if (Math.max(header.indexBytes, header.indexStoredBytes) > INDEX_BYTES_MAX)
    throw new CorruptDiffError(`its index would have ${header.indexBytes} bytes`);
  if (header.indexOffset < HEADER_BYTES || header.indexOffset + header.indexStoredBytes !== size)
    throw new CorruptDiffError(
      `it has ${size} bytes where its header says ${header.indexOffset + header.indexStoredBytes}`,
    );
  if (header.kind === 'snapshot' && header.baseSize !== 0) throw new CorruptDiffError('a snapshot names a base');
}

function size64(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new CorruptDiffError(`${value} is no possible size`);
  return Number(value);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
