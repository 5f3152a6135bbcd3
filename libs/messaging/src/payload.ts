// The wire form of every message: plain JSON, zstd above 1 KiB, both directions bounded.

import { promisify } from 'node:util';
import { zstdCompressSync, zstdDecompress } from 'node:zlib';
import { headers as createHeaders, type MsgHdrs } from '@nats-io/transport-node';
import { PayloadError } from './errors.ts';

/** Above this many bytes a JSON payload is compressed. */
export const COMPRESSION_BYTES_MIN = 1024;
/** Bounds of a payload on the wire and after decompression; a message beyond them is refused. */
export const PAYLOAD_BYTES_MAX = 8 * 1024 * 1024;
export const PAYLOAD_BYTES_MAX_DECODED = 32 * 1024 * 1024;

const ENCODING_HEADER = 'content-encoding';
const decompress = promisify(zstdDecompress);

export interface EncodedPayload {
  readonly bytes: Uint8Array;
  /** Undefined when there is nothing to say. */
  readonly headers: MsgHdrs | undefined;
}

/**
 * @param value undefined encodes as an empty payload
 * @throws PayloadError `too-large` when the encoded payload exceeds `PAYLOAD_BYTES_MAX`
 */
export function encodeJson(value: unknown): EncodedPayload {
  const plain = Buffer.from(value === undefined ? '' : JSON.stringify(value));
  const isCompressed = plain.length > COMPRESSION_BYTES_MIN;
  const bytes = isCompressed ? zstdCompressSync(plain) : plain;
  if (bytes.length > PAYLOAD_BYTES_MAX || plain.length > PAYLOAD_BYTES_MAX_DECODED) {
    throw new PayloadError(
      'too-large',
      `A message of ${plain.length} bytes is beyond the bound of ${PAYLOAD_BYTES_MAX}.`,
    );
  }
  if (!isCompressed) return { bytes, headers: undefined };
  const headers = createHeaders();
  headers.set(ENCODING_HEADER, 'zstd');
  return { bytes, headers };
}

export interface PayloadBounds {
  /** Bytes on the wire. Default `PAYLOAD_BYTES_MAX`. */
  bytesMax?: number;
  /** Bytes after decompression. Default `PAYLOAD_BYTES_MAX_DECODED`. */
  bytesMaxDecoded?: number;
}

/**
 * Reads a payload back; an empty one is `undefined`.
 *
 * @throws PayloadError naming whether it was too large, not decodable or not JSON
 */
export async function decodeJson(
  message: { data: Uint8Array; headers?: MsgHdrs | undefined },
  bounds: PayloadBounds = {},
): Promise<unknown> {
  const { bytesMax = PAYLOAD_BYTES_MAX, bytesMaxDecoded = PAYLOAD_BYTES_MAX_DECODED } = bounds;
  if (message.data.length > bytesMax) throw new PayloadError('too-large', `More than ${bytesMax} bytes.`);
  if (message.data.length === 0) return undefined;
  const encoding = message.headers?.get(ENCODING_HEADER) ?? '';
  const plain = await decodeBytes(message.data, encoding, bytesMaxDecoded);
  try {
    return JSON.parse(Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength).toString('utf8'));
  } catch (cause) {
    throw new PayloadError('malformed', 'Not JSON.', { cause });
  }
}

async function decodeBytes(data: Uint8Array, encoding: string, bytesMaxDecoded: number): Promise<Uint8Array> {
  if (encoding === '') {
    if (data.length > bytesMaxDecoded) throw new PayloadError('too-large', `More than ${bytesMaxDecoded} bytes.`);
    return data;
  }
  if (encoding !== 'zstd') throw new PayloadError('undecodable', 'content-encoding must be zstd or absent.');
  try {
    return await decompress(data, { maxOutputLength: bytesMaxDecoded });
  } catch (cause) {
    const isTooLarge = (cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    if (isTooLarge) throw new PayloadError('too-large', `More than ${bytesMaxDecoded} bytes decoded.`, { cause });
    throw new PayloadError('undecodable', 'Not zstd.', { cause });
  }
}
