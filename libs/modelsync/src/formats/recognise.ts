import { type ByteSource, readExactly } from '../bytes.ts';
import { RefusedFormatError } from '../errors.ts';
import { readGguf } from './gguf.ts';
import { type FormatName, type Layout, opaqueLayout } from './layout.ts';
import { readSafetensors } from './safetensors.ts';

const PROBE_BYTES = 512;
const GGUF = 0x46554747;
const ZIP = 0x04034b50;
const BRACE = 0x7b;
/** A header length of 2^40 and more is text or noise, not a length that somebody meant. */
const LENGTH_MAX = 2n ** 40n;

/** What a file is, by its first 512 bytes. A file that says it is safetensors or GGUF may still turn out malformed. */
export async function recognise(source: ByteSource): Promise<FormatName> {
  const head = await readExactly(source, 0, Math.min(PROBE_BYTES, source.size));
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  if (head.length >= 4 && view.getUint32(0, true) === GGUF) return 'gguf';
  if (head.length >= 9 && head[8] === BRACE && view.getBigUint64(0, true) < LENGTH_MAX) return 'safetensors';
  return isPickle(head, view) ? 'pickle' : 'opaque';
}

/**
 * The layout of any file; files of unknown structure are one piece.
 * Throws MalformedModelError, RefusedFormatError (pickle), ShortReadError.
 */
export async function readLayout(source: ByteSource): Promise<Layout> {
  const format = await recognise(source);
  if (format === 'pickle') throw new RefusedFormatError('pickle');
  if (format === 'safetensors') return readSafetensors(source);
  return format === 'gguf' ? readGguf(source) : opaqueLayout(source);
}

/** A bare pickle (protocol 2–5), or the archive that PyTorch's `save` makes. */
function isPickle(head: Uint8Array, view: DataView): boolean {
  if (head.length >= 3 && head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5) return true;
  if (head.length < 30 || view.getUint32(0, true) !== ZIP) return false;
  return new TextDecoder('latin1').decode(head).includes('data.pkl');
}
