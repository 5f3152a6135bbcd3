/**
 * safetensors: eight bytes of header length (little-endian), a JSON header `{ name: { dtype, shape, data_offsets } }`,
 * then the tensors. Source: https://github.com/huggingface/safetensors#format
 */
import { type ByteSource, readExactly } from '../bytes.ts';
import { type ElementTypeName, elementType } from '../elements.ts';
import { MalformedModelError } from '../errors.ts';
import {
  coverFile,
  DIMENSIONS_MAX,
  elementsIn,
  HEADER_BYTES_MAX,
  type Layout,
  NAME_LENGTH_MAX,
  type Piece,
} from './layout.ts';

const LENGTH_BYTES = 8;
const FORMAT = 'safetensors';

/** dtype → how its elements are coded, and bits of one element in the file. */
const DTYPES: Readonly<Record<string, readonly [ElementTypeName, number]>> = {
  BOOL: ['opaque', 8],
  U8: ['int8', 8],
  I8: ['int8', 8],
  U16: ['int16', 16],
  I16: ['int16', 16],
  U32: ['int32', 32],
  I32: ['int32', 32],
  U64: ['int64', 64],
  I64: ['int64', 64],
  F16: ['float16', 16],
  BF16: ['bfloat16', 16],
  F32: ['float32', 32],
  F64: ['float64', 64],
  C64: ['float32', 64],
  F8_E4M3: ['float8e4m3', 8],
  F8_E5M2: ['float8e5m2', 8],
  F8_E8M0: ['opaque', 8],
  F4: ['opaque', 4],
  F6_E2M3: ['opaque', 6],
  F6_E3M2: ['opaque', 6],
};

/** Reads the header only. Throws MalformedModelError, ShortReadError. */
export async function readSafetensors(source: ByteSource): Promise<Layout> {
  const lengthBytes = await readExactly(source, 0, LENGTH_BYTES);
  const length = new DataView(lengthBytes.buffer, lengthBytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(HEADER_BYTES_MAX))
    throw new MalformedModelError(
      FORMAT,
      `its header would have ${length} bytes; at most ${HEADER_BYTES_MAX} are read`,
    );
  const headerBytes = Number(length);
  if (LENGTH_BYTES + headerBytes > source.size)
    throw new MalformedModelError(FORMAT, `its header of ${headerBytes} bytes ends beyond the file`);
  const header = parseHeader(await readExactly(source, LENGTH_BYTES, headerBytes));
  const dataOffset = LENGTH_BYTES + headerBytes;
  const tensors = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => tensorOf(name, entry, dataOffset, source.size - dataOffset));
  return coverFile(FORMAT, source.size, dataOffset, tensors);
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new MalformedModelError(FORMAT, 'its header is not JSON', { cause });
  }
  if (!isRecord(header)) throw new MalformedModelError(FORMAT, 'its header is not a JSON object');
  return header;
}

function tensorOf(name: string, entry: unknown, dataOffset: number, dataBytes: number): Piece {
  const quoted = JSON.stringify(name.slice(0, NAME_LENGTH_MAX));
  const wrong = (problem: string) => new MalformedModelError(FORMAT, `tensor ${quoted} ${problem}`);
  if (name.length > NAME_LENGTH_MAX) throw wrong(`has a name of more than ${NAME_LENGTH_MAX} characters`);
  if (!isRecord(entry)) throw wrong('is described by no object');
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || dtype.length > 32) throw wrong('has no dtype');
  if (!isNumbers(shape) || shape.length > DIMENSIONS_MAX) throw wrong('has no usable shape');
  if (!isNumbers(offsets) || offsets.length !== 2) throw wrong('has no data_offsets of two numbers');
  const elements = elementsIn(shape);
  if (elements === null) throw wrong('has a dimension that is negative, broken or too large');
  const [begin, end] = offsets as [number, number];
  if (!offsets.every((offset) => Number.isSafeInteger(offset)) || begin < 0 || begin > end || end > dataBytes)
    throw wrong(`has offsets ${begin}..${end}, outside the ${dataBytes} bytes of data`);
  const [typeName, bits] = DTYPES[dtype] ?? ['opaque' as const, null];
  if (bits !== null && Math.ceil((elements * bits) / 8) !== end - begin)
    throw wrong(`has ${end - begin} bytes where ${dtype} [${shape}] needs ${Math.ceil((elements * bits) / 8)}`);
  const type = elementType(typeName);
  return { kind: 'tensor', name, type, dtype, shape, offset: dataOffset + begin, bytes: end - begin };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'number');
}
