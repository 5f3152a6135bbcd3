import { crc32 } from 'node:zlib';
import { type ByteSource, readExactly } from '../bytes.ts';
import { unzstd } from '../codecs/planes.ts';
import { CorruptDiffError } from '../errors.ts';
import { type ContainerHeader, HEADER_BYTES, parseHeader } from './header.ts';
import { type IndexContent, parseIndex } from './index-table.ts';

/** An opened diff or snapshot: everything but the payloads is read and checked. */
export interface Container extends ContainerHeader, IndexContent {
  readonly source: ByteSource;
}

/**
 * Reads header and index, in two reads.
 * Throws NotADiffError, UnsupportedVersionError, UnknownCodecError, CorruptDiffError, ShortReadError.
 */
export async function openContainer(source: ByteSource): Promise<Container> {
  const header = parseHeader(await readExactly(source, 0, Math.min(HEADER_BYTES, source.size)), source.size);
  const stored = await readExactly(source, header.indexOffset, header.indexStoredBytes);
  if (crc32(stored) !== header.indexCrc) throw new CorruptDiffError('its index does not match its checksum');
  return { ...header, ...parseIndex(unzstd(stored, header.indexBytes), header), source };
}
