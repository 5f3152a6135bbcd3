/**
 * Codes the differences of one block, given a context for each: the half of *coded* and *predicted* that they share
 * (decoder.ts is the way back).
 *
 * 1. Chunks of 256 elements are put into one of four activity classes by how large their differences are against what
 *    their contexts expect (rows of a matrix are trained unevenly); the classes are sent, so no decoding waits for them.
 * 2. Contexts × classes are joined into at most 64 clusters with a frequency table each (clusters.ts, frequencies.ts).
 * 3. The module codes the tokens backwards (assembly/coder.as).
 *
 * Layout: header length, words length (varints), header (bits.ts), words, plain bits.
 */
import { writeVarint } from '../codecs/varint.ts';
import { BitWriter } from './bits.ts';
import { bitsOf, type Cluster, clustersOf, modeOf } from './clusters.ts';
import { frequenciesOf, levelsOf, writeLevels } from './frequencies.ts';
import { writeGapTable } from './gaps.ts';
import { CHUNK_ELEMENTS, CLASSES, HEADER_CONTEXTS, headerContext, modes } from './header.ts';
import { type Arena, bytesAt, halvesAt, integersAt, kernels, wordsAt } from './instance.ts';
import { TOKENS } from './tokens.ts';

/** Where a block's elements stand in the module's memory, and how many contexts there can be. */
export interface Prepared {
  readonly count: number;
  /** Contexts are below this. */
  readonly stride: number;
  /** Bytes of one element: bounds the plain bits. */
  readonly width: number;
  /** u16 each. */
  readonly contexts: number;
  /** i32 each. */
  readonly differences: number;
}

interface Plan {
  readonly classCount: number;
  readonly classes: number;
  readonly clusters: readonly Cluster[];
  readonly bits: number;
}

const ACTIVITY_ELEMENTS_MIN = 8 * CHUNK_ELEMENTS;
/** Classes part at these deviations of a chunk's mean bit length, in 1/256 bit. */
const ACTIVITY_BOUNDS = [-90, 0, 90] as const;

export function encodeBlock(arena: Arena, block: Prepared): Uint8Array {
  const plan = planOf(arena, block);
  const clusterOf = arena.take(block.count);
  const map = arena.takeCopy(mapOf(plan, block.stride));
  kernels.assign(block.contexts, plan.classes, map, block.stride, 0, clusterOf, block.count);
  const { header, frequencies, gaps, runs } = describe(arena, block, plan, clusterOf);

  const wordsEnd = arena.take(Math.ceil(block.count * 1.5) + 64) + Math.ceil(block.count * 1.5) + 64;
  const bitsBytes = block.count * (block.width + 1) + 64;
  const bitsEnd = arena.takeZeroed(bitsBytes + 16) + bitsBytes;
  for (const cluster of runs) wordsAt(gaps, plan.clusters.length)[cluster] = 0;
  kernels.encoderStart(wordsEnd, bitsEnd);
  kernels.encodeTokens(clusterOf, block.differences, frequencies, gaps, 0, block.count);
  kernels.encoderFinish();
  for (const cluster of runs) header.number(headerContext.gap, wordsAt(gaps, plan.clusters.length)[cluster]!);
  const firstBit = kernels.bitsAddress();
  for (let bit = 0; bit < 3; bit++) header.plain((firstBit >>> bit) & 1);
  return concatenated(header.finish(), kernels.wordsAddress(), wordsEnd, firstBit >>> 3, bitsEnd);
}

/** Estimated size in bits, without coding anything. */
export function estimateBlockBits(arena: Arena, block: Prepared): number {
  return planOf(arena, block).bits;
}

function planOf(arena: Arena, block: Prepared): Plan {
  const chunks = Math.ceil(block.count / CHUNK_ELEMENTS);
  const classes = arena.takeZeroed(chunks + 1);
  const present = countContexts(arena, block, classes, chunks);
  const classCount = present.classCount;
  const rows = present.contexts.length;
  const histogram = arena.takeZeroed(Math.max(1, rows * classCount) * TOKENS * 4);
  kernels.histogram(block.contexts, block.differences, classes, present.compact, rows, histogram, block.count);
  const row = (index: number) => wordsAt(histogram + index * TOKENS * 4, TOKENS);
  const parted: (Uint32Array | undefined)[] = [];
  const whole: (Uint32Array | undefined)[] = [];
  for (const [index, context] of present.contexts.entries()) {
    const sum = new Uint32Array(TOKENS);
    for (let activity = 0; activity < classCount; activity++) {
      const counts = row(activity * rows + index);
      if (counts.every((count) => count === 0)) continue;
      for (let token = 0; token < TOKENS; token++) sum[token]! += counts[token]!;
      parted[placeOf(context, activity, classCount)] = counts.slice();
    }
    whole[context] = sum;
  }
  return cheapest(parted, whole, classCount, classes, chunks);
}

function cheapest(
  parted: (Uint32Array | undefined)[],
  whole: (Uint32Array | undefined)[],
  classCount: number,
  classes: number,
  chunks: number,
): Plan {
  const clusters = clustersOf(Array.from(whole));
  const plain = { classCount: 1, classes, clusters, bits: bitsOf(clusters) };
  if (classCount > 1) {
    const finer = clustersOf(Array.from(parted));
    const bits = bitsOf(finer) + classBits(bytesAt(classes, chunks));
    if (bits < plain.bits) return { classCount, classes, clusters: finer, bits };
  }
  bytesAt(classes, chunks).fill(0);
  return plain;
}

/** Which contexts occur (and their compact numbers), and the chunks' activity classes. */
function countContexts(arena: Arena, block: Prepared, classes: number, chunks: number) {
  const { count, stride, contexts, differences } = block;
  const totals = arena.takeZeroed(stride * 8);
  kernels.activityTotals(contexts, differences, totals, count);
  const pairs = wordsAt(totals, stride * 2).slice();
  const present: number[] = [];
  for (let context = 0; context < stride; context++) if (pairs[context * 2]! > 0) present.push(context);
  const means = arena.take(stride * 4);
  const compact = arena.take(stride * 2);
  const deviations = arena.take(chunks * 4 + 4);
  let active = 0;
  for (const [index, context] of present.entries()) {
    halvesAt(compact, stride)[context] = index;
    const seen = pairs[context * 2]!;
    const bits = pairs[context * 2 + 1]!;
    integersAt(means, stride)[context] = Math.round((256 * bits) / seen);
    active += bits;
  }
  if (count < ACTIVITY_ELEMENTS_MIN || active === 0) return { contexts: present, compact, classCount: 1 };
  kernels.activityDeviations(contexts, differences, means, deviations, count);
  const sums = integersAt(deviations, chunks);
  const output = bytesAt(classes, chunks);
  for (let chunk = 0; chunk < chunks; chunk++) {
    const elements = Math.min(CHUNK_ELEMENTS, count - chunk * CHUNK_ELEMENTS);
    let activity = 0;
    for (const bound of ACTIVITY_BOUNDS) if (sums[chunk]! > bound * elements) activity++;
    output[chunk] = activity;
  }
  return { contexts: present, compact, classCount: CLASSES };
}

/** Bits that the classes take, each coded after the one before it. */
function classBits(classes: Uint8Array): number {
  const pairs = new Uint32Array(CLASSES * CLASSES);
  const firsts = new Uint32Array(CLASSES);
  for (let chunk = 1; chunk < classes.length; chunk++) {
    pairs[classes[chunk - 1]! * CLASSES + classes[chunk]!]!++;
    firsts[classes[chunk - 1]!]!++;
  }
  let bits = 32;
  for (const [index, count] of pairs.entries())
    if (count > 0) bits -= count * Math.log2(count / firsts[Math.floor(index / CLASSES)]!);
  return bits;
}

/** The row in which contexts stand for clusters.ts: within a context from the most active class to the least. */
const placeOf = (context: number, activity: number, classCount: number) =>
  context * classCount + classCount - 1 - activity;

/** Cluster of each class × context; contexts that do not occur belong to the cluster in front of them. */
function mapOf(plan: Plan, stride: number): Uint8Array {
  const map = new Uint8Array(plan.classCount * stride);
  let cluster = 0;
  for (let context = 0; context < stride; context++) {
    for (let activity = plan.classCount - 1; activity >= 0; activity--) {
      const place = placeOf(context, activity, plan.classCount);
      if (cluster + 1 < plan.clusters.length && plan.clusters[cluster + 1]!.first <= place) cluster++;
      map[activity * stride + context] = cluster;
    }
  }
  return map;
}

/** Writes the header but for the gaps, and puts the tables where the module reads them. */
function describe(arena: Arena, block: Prepared, plan: Plan, clusterOf: number) {
  const { clusters, classCount } = plan;
  const header = new BitWriter(HEADER_CONTEXTS);
  writeClasses(header, classCount, bytesAt(plan.classes, Math.ceil(block.count / CHUNK_ELEMENTS)));
  header.number(headerContext.clusters, clusters.length);
  for (let index = 1; index < clusters.length; index++)
    header.number(headerContext.boundary, clusters[index]!.first - (index > 1 ? clusters[index - 1]!.first : 0));

  const gaps = arena.take(clusters.length * 4);
  const histograms = arena.takeZeroed(clusters.length * TOKENS * 4);
  const frequencies = arena.takeZeroed(clusters.length * TOKENS * 8);
  const runs: number[] = [];
  for (const [index, cluster] of clusters.entries()) {
    const mode = modeOf(cluster);
    wordsAt(gaps, clusters.length)[index] = mode === 'direct' ? 0xffffffff : 0;
    if (mode === 'run') runs.push(index);
  }
  if (runs.length > 0) kernels.encodeTokens(clusterOf, block.differences, frequencies, gaps, histograms, block.count);
  for (const [index, cluster] of clusters.entries()) {
    const mode = modeOf(cluster);
    header.bit(headerContext.mode, modes[mode] & 1);
    header.bit(headerContext.mode + 1 + (modes[mode] & 1), modes[mode] >> 1);
    if (mode === 'dead') continue;
    const counts = cluster.counts.slice();
    if (mode === 'run') counts[0] = 0;
    const address = frequencies + index * TOKENS * 8;
    const levels = levelsOf(counts);
    writeLevels(header, 'differences', levels);
    putTable(frequenciesOf(levels), address);
    if (mode === 'run')
      putTable(writeGapTable(header, wordsAt(histograms + index * TOKENS * 4, TOKENS)), address + TOKENS * 4);
  }
  return { header, frequencies, gaps, runs };
}

/** Start and frequency of each token, as the module wants them. */
function putTable(frequencies: Uint16Array, address: number): void {
  const entries = wordsAt(address, TOKENS);
  let start = 0;
  for (const [token, frequency] of frequencies.entries()) {
    entries[token] = (start << 16) | frequency;
    start += frequency;
  }
}

function writeClasses(header: BitWriter, classCount: number, classes: Uint8Array): void {
  header.bit(headerContext.classed, classCount > 1 ? 1 : 0);
  if (classCount === 1) return;
  let before = 0;
  for (const activity of classes) {
    const context = headerContext.classes + before * 3;
    header.bit(context, activity >> 1);
    header.bit(context + 1 + (activity >> 1), activity & 1);
    before = activity;
  }
}

function concatenated(header: Uint8Array, words: number, wordsEnd: number, bits: number, bitsEnd: number): Uint8Array {
  const lengths = new Uint8Array(16);
  const lengthsEnd = writeVarint(lengths, writeVarint(lengths, 0, header.length), wordsEnd - words);
  const payload = new Uint8Array(lengthsEnd + header.length + (wordsEnd - words) + (bitsEnd - bits));
  payload.set(lengths.subarray(0, lengthsEnd));
  payload.set(header, lengthsEnd);
  payload.set(bytesAt(words, wordsEnd - words), lengthsEnd + header.length);
  payload.set(bytesAt(bits, bitsEnd - bits), lengthsEnd + header.length + (wordsEnd - words));
  return payload;
}
