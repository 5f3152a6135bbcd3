/**
 * GGUF versions 2 and 3, little-endian: magic, counts, key–values (skipped but for the alignment), tensor infos, then
 * the tensors at multiples of the alignment. Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import type { ByteSource } from '../bytes.ts';
import { type ElementType, type ElementTypeName, elementType } from '../elements.ts';
import { MalformedModelError } from '../errors.ts';
import { HeaderReader } from './header-reader.ts';
import { coverFile, elementsIn, HEADER_BYTES_MAX, type Layout, NAME_LENGTH_MAX, type Piece } from './layout.ts';

const FORMAT = 'gguf';
const VERSIONS = [2, 3];
const ALIGNMENT_DEFAULT = 32;
const ALIGNMENT_MAX = 1 << 20;
const GGML_DIMENSIONS_MAX = 4;
const NESTING_MAX = 4;
/** Fewest bytes of a key–value pair and of a tensor info: counts that cannot fit are refused before any loop. */
const PAIR_BYTES_MIN = 13;
const TENSOR_BYTES_MIN = 24;

/** ggml type → name, elements in a block, bytes of a block, how it is coded. */
const GGML_TYPES: Readonly<Record<number, readonly [string, number, number, ElementTypeName]>> = {
  0: ['F32', 1, 4, 'float32'],
  1: ['F16', 1, 2, 'float16'],
  2: ['Q4_0', 32, 18, 'opaque'],
  3: ['Q4_1', 32, 20, 'opaque'],
  6: ['Q5_0', 32, 22, 'opaque'],
  7: ['Q5_1', 32, 24, 'opaque'],
  8: ['Q8_0', 32, 34, 'q8_0'],
  9: ['Q8_1', 32, 36, 'opaque'],
  10: ['Q2_K', 256, 84, 'opaque'],
  11: ['Q3_K', 256, 110, 'opaque'],
  12: ['Q4_K', 256, 144, 'opaque'],
  13: ['Q5_K', 256, 176, 'opaque'],
  14: ['Q6_K', 256, 210, 'opaque'],
  15: ['Q8_K', 256, 292, 'opaque'],
  16: ['IQ2_XXS', 256, 66, 'opaque'],
  17: ['IQ2_XS', 256, 74, 'opaque'],
  18: ['IQ3_XXS', 256, 98, 'opaque'],
  19: ['IQ1_S', 256, 50, 'opaque'],
  20: ['IQ4_NL', 32, 18, 'opaque'],
  21: ['IQ3_S', 256, 110, 'opaque'],
  22: ['IQ2_S', 256, 82, 'opaque'],
  23: ['IQ4_XS', 256, 136, 'opaque'],
  24: ['I8', 1, 1, 'int8'],
  25: ['I16', 1, 2, 'int16'],
  26: ['I32', 1, 4, 'int32'],
  27: ['I64', 1, 8, 'int64'],
  28: ['F64', 1, 8, 'float64'],
  29: ['IQ1_M', 256, 56, 'opaque'],
  30: ['BF16', 1, 2, 'bfloat16'],
  34: ['TQ1_0', 256, 54, 'opaque'],
  35: ['TQ2_0', 256, 66, 'opaque'],
  39: ['MXFP4', 32, 17, 'opaque'],
};

/** Value type → bytes; 8 (string) and 9 (array) have no fixed size. */
const VALUE_BYTES: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const UINT32 = 4;
const STRING = 8;
const ARRAY = 9;

interface TensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly ggmlType: number;
  readonly offset: number;
}

/** Reads the header only. Throws MalformedModelError, ShortReadError. */
export async function readGguf(source: ByteSource): Promise<Layout> {
  const reader = new HeaderReader(source, FORMAT, HEADER_BYTES_MAX);
  await reader.skip(4);
  const version = await reader.uint32();
  if (!VERSIONS.includes(version))
    throw new MalformedModelError(FORMAT, `version ${version} is not read; convert it to version 3, little-endian`);
  const tensorCount = await reader.count(TENSOR_BYTES_MIN);
  const pairCount = await reader.count(PAIR_BYTES_MIN);
  const alignment = await readAlignment(reader, pairCount);
  const infos: TensorInfo[] = [];
  for (let index = 0; index < tensorCount; index++) infos.push(await readTensorInfo(reader));
  const dataOffset = Math.min(source.size, Math.ceil(reader.at / alignment) * alignment);
  return coverFile(FORMAT, source.size, dataOffset, piecesOf(infos, dataOffset, source.size));
}

async function readAlignment(reader: HeaderReader, pairCount: number): Promise<number> {
  let alignment = ALIGNMENT_DEFAULT;
  for (let index = 0; index < pairCount; index++) {
    const key = await reader.text(65_535);
    const type = await reader.uint32();
    if (key === 'general.alignment' && type === UINT32) alignment = await reader.uint32();
    else await skipValue(reader, type, 0);
  }
  if (alignment < 1 || alignment > ALIGNMENT_MAX)
    throw new MalformedModelError(FORMAT, `general.alignment is ${alignment}`);
  return alignment;
}

async function skipValue(reader: HeaderReader, type: number, depth: number): Promise<void> {
  const bytes = VALUE_BYTES[type];
  if (bytes !== undefined) return reader.skip(bytes);
  if (type === STRING) return reader.skip(await reader.count(1));
  if (type !== ARRAY || depth === NESTING_MAX)
    throw new MalformedModelError(FORMAT, `a key has a value of unknown type ${type}`);
  const itemType = await reader.uint32();
  const itemBytes = VALUE_BYTES[itemType];
  const length = await reader.count(itemBytes ?? (itemType === STRING ? 8 : 12));
  if (itemBytes !== undefined) return reader.skip(length * itemBytes);
  for (let index = 0; index < length; index++) await skipValue(reader, itemType, depth + 1);
}

async function readTensorInfo(reader: HeaderReader): Promise<TensorInfo> {
  const name = await reader.text(NAME_LENGTH_MAX);
  const dimensions = await reader.uint32();
  if (dimensions > GGML_DIMENSIONS_MAX)
    throw new MalformedModelError(FORMAT, `tensor ${JSON.stringify(name)} has ${dimensions} dimensions`);
  const shape: number[] = [];
  for (let index = 0; index < dimensions; index++) shape.unshift(await reader.uint64());
  return { name, shape, ggmlType: await reader.uint32(), offset: await reader.uint64() };
}

function piecesOf(infos: readonly TensorInfo[], dataOffset: number, size: number): Piece[] {
  const sorted = [...infos].sort((left, right) => left.offset - right.offset);
  return sorted.map(({ name, shape, ggmlType, offset }, index) => {
    const quoted = JSON.stringify(name);
    const elements = elementsIn(shape);
    if (elements === null) throw new MalformedModelError(FORMAT, `tensor ${quoted} has a dimension that is too large`);
    if (dataOffset + offset > size) throw new MalformedModelError(FORMAT, `tensor ${quoted} starts beyond the file`);
    const known = GGML_TYPES[ggmlType];
    const [dtype, blockElements, blockBytes, typeName] = known ?? [`ggml ${ggmlType}`, 1, 0, 'opaque' as const];
    if (elements % blockElements !== 0)
      throw new MalformedModelError(FORMAT, `tensor ${quoted} is not made of whole blocks of ${blockElements}`);
    // A type that is not known has no known size either: it reaches to the next tensor.
    const reach = (sorted[index + 1]?.offset ?? size - dataOffset) - offset;
    const bytes = known === undefined ? reach : (elements / blockElements) * blockBytes;
    const type: ElementType = elementType(typeName);
    return { kind: 'tensor', name, type, dtype, shape, offset: dataOffset + offset, bytes };
  });
}
