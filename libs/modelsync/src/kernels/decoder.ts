/**
 * Decodes the differences of one block, strip by strip: the way back from encoder.ts.
 *
 * Damage: lengths and tables are checked here; the module's loops run over counts of elements only; after each strip both
 * streams must not have passed their ends (memory behind them is the decoder's own), and at the end both must have been
 * used up and the coder's states be where the encoder started.
 */
import { readVarint } from '../codecs/varint.ts';
import { CorruptDiffError } from '../errors.ts';
import { BitReader } from './bits.ts';
import { CLUSTERS_MAX } from './clusters.ts';
import { frequenciesOf, readLevels } from './frequencies.ts';
import { readGapTable } from './gaps.ts';
import { CHUNK_ELEMENTS, CLASSES, HEADER_CONTEXTS, headerContext, modes } from './header.ts';
import { type Arena, bytesAt, integersAt, kernels, wordsAt } from './instance.ts';
import { decodedValues, TOKENS } from './tokens.ts';

/** Elements decoded by one call into the module; a multiple of the chunk. */
export const STRIP_ELEMENTS = 4096;
const TABLE_BYTES = 16384;
const DIRECT = 0xffffffff;
const FOR_EVER = 0x7fffffff;
/** Plain bits and words that a strip can read too many of. */
const OVERRUN_BYTES_MAX = STRIP_ELEMENTS * 12;

const values = decodedValues();

export class BlockDecoder {
  /** i32 of a strip: its differences. */
  readonly differences: number;
  /** u8 of a strip: fill it with the elements' clusters, by `maps` and `classes`. */
  readonly clusters: number;
  /** u8: cluster of each context, `stride` of them a class. */
  readonly maps: number;
  /** u8: class of each chunk. */
  readonly classes: number;
  private readonly tables: number;
  private readonly gaps: number;
  private readonly values: number;
  private readonly wordsEnd: number;
  private readonly bitsEnd: number;

  /** `payload` is what `encodeBlock` returned, for `count` elements with contexts below `stride`. */
  constructor(arena: Arena, payload: Uint8Array, count: number, stride: number) {
    const [headerLength, afterFirst] = readVarint(payload, 0);
    const [wordsLength, start] = readVarint(payload, afterFirst);
    if (wordsLength < 8 || headerLength + wordsLength > payload.length - start)
      throw new CorruptDiffError("a block's parts are longer than the block");
    const header = new BitReader(HEADER_CONTEXTS, payload.subarray(start, start + headerLength));
    const streams = payload.subarray(start + headerLength);

    const chunks = Math.ceil(count / CHUNK_ELEMENTS);
    this.classes = arena.takeZeroed(chunks);
    const classCount = readClasses(header, bytesAt(this.classes, chunks));
    const boundaries = readBoundaries(header, classCount * stride);
    this.maps = arena.takeCopy(mapsOf(boundaries, classCount, stride));
    this.tables = arena.take(boundaries.length * 2 * TABLE_BYTES);
    this.gaps = arena.take(boundaries.length * 4);
    this.values = arena.takeCopy(new Uint8Array(values.buffer));
    this.differences = arena.take(STRIP_ELEMENTS * 4);
    this.clusters = arena.take(STRIP_ELEMENTS);
    this.readTables(arena, header, boundaries.length);

    const words = arena.takeCopy(streams);
    arena.takeZeroed(OVERRUN_BYTES_MAX);
    this.wordsEnd = words + wordsLength;
    this.bitsEnd = (words + streams.length) * 8;
    let firstBit = this.wordsEnd * 8;
    for (let bit = 0; bit < 3; bit++) firstBit += header.plain() << bit;
    header.end();
    kernels.decoderStart(words, firstBit);
  }

  /** Decodes `count` elements into `differences`; `clusters` says which. Returns 0 when none of them changed. */
  strip(count: number): number {
    integersAt(this.differences, count).fill(0);
    const events = kernels.decodeTokens(this.clusters, this.differences, this.tables, this.gaps, this.values, count);
    if (kernels.wordsAddress() > this.wordsEnd || kernels.bitsAddress() > this.bitsEnd)
      throw new CorruptDiffError('a block ends too early');
    return events;
  }

  /** Call after the last strip. */
  end(): void {
    const used = kernels.wordsAddress() === this.wordsEnd && kernels.bitsAddress() === this.bitsEnd;
    if (!used || kernels.decoderSettled() === 0) throw new CorruptDiffError('a block does not end where it should');
  }

  private readTables(arena: Arena, header: BitReader, clusters: number): void {
    const frequencies = arena.take(TOKENS * 2);
    const expand = (table: Uint16Array, address: number) => {
      bytesAt(frequencies, TOKENS * 2).set(new Uint8Array(table.buffer));
      kernels.expandTable(frequencies, address);
    };
    const runs: number[] = [];
    for (let cluster = 0; cluster < clusters; cluster++) {
      const low = header.bit(headerContext.mode);
      const mode = low + 2 * header.bit(headerContext.mode + 1 + low);
      const gaps = wordsAt(this.gaps, clusters);
      gaps[cluster] = mode === modes.dead ? FOR_EVER : DIRECT;
      if (mode === modes.dead) continue;
      if (mode > modes.dead) throw new CorruptDiffError(`mode ${mode} of a table`);
      expand(frequenciesOf(readLevels(header, 'differences')), this.tables + cluster * 2 * TABLE_BYTES);
      if (mode !== modes.run) continue;
      expand(readGapTable(header), this.tables + (cluster * 2 + 1) * TABLE_BYTES);
      runs.push(cluster);
    }
    for (const cluster of runs)
      wordsAt(this.gaps, clusters)[cluster] = header.numberUpTo(headerContext.gap, FOR_EVER, 'a run');
  }
}

function readClasses(header: BitReader, classes: Uint8Array): number {
  if (header.bit(headerContext.classed) === 0) return 1;
  let before = 0;
  for (let chunk = 0; chunk < classes.length; chunk++) {
    const context = headerContext.classes + before * 3;
    const high = header.bit(context);
    before = high * 2 + header.bit(context + 1 + high);
    classes[chunk] = before;
    if (header.exhausted) throw new CorruptDiffError("a block's header ends too early");
  }
  return CLASSES;
}

/** First place of each cluster in the row of contexts (see clusters.ts); the first one is 0. */
function readBoundaries(header: BitReader, places: number): number[] {
  const clusters = header.numberUpTo(headerContext.clusters, CLUSTERS_MAX, 'the number of tables');
  if (clusters === 0) throw new CorruptDiffError('a block without tables');
  const boundaries = [0];
  while (boundaries.length < clusters) {
    const place = boundaries.at(-1)! + header.numberUpTo(headerContext.boundary, places, 'a boundary');
    if (place >= places || (boundaries.length > 1 && place === boundaries.at(-1)))
      throw new CorruptDiffError('boundaries out of order');
    boundaries.push(place);
  }
  return boundaries;
}

function mapsOf(boundaries: readonly number[], classCount: number, stride: number): Uint8Array {
  const maps = new Uint8Array(classCount * stride);
  let cluster = 0;
  for (let place = 0; place < maps.length; place++) {
    while (cluster + 1 < boundaries.length && boundaries[cluster + 1]! <= place) cluster++;
    const activity = classCount - 1 - (place % classCount);
    maps[activity * stride + Math.floor(place / classCount)] = cluster;
  }
  return maps;
}
