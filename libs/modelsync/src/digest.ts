import { createHash } from 'node:crypto';
import { type ByteSource, chunksOf, readExactly } from './bytes.ts';

const CHUNK_BYTES = 2 * 1024 * 1024;

/** SHA-256 of a whole source, lower-case hex. */
export async function digestOf(source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  for (const [offset, length] of chunksOf(0, source.size, CHUNK_BYTES)) {
    hash.update(await readExactly(source, offset, length));
  }
  return hash.digest('hex');
}
