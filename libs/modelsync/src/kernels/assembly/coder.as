// The entropy coder: two interleaved range-ANS states with 12-bit static frequencies for the tokens, plain bits beside
// them for what is below a token's precision. A cluster of contexts is either *direct* (every difference is a token) or
// *run* (a token for a difference that is not zero, then a token for how many zeros follow it in the same cluster).
// The encoder walks backwards, so the decoder reads both streams forwards.
//
// Bounds: a stream that ends early leaves `words`/`bits` beyond their ends, which the caller checks after each strip;
// a strip can overrun by no more than `overrunBytesMax` (the caller leaves that much memory behind the streams).
import { bitLength, differenceToken, gapToken } from './memory';

const tableBytes: usize = 16384; // 4096 entries: token << 24 | (frequency − 1) << 12 | slot − start
const frequencyBytes: usize = 1024; // 256 entries: start << 16 | frequency
const lowest: u32 = 1 << 16;

// ---- encoder ----
let stateA: u32 = 0;
let stateB: u32 = 0;
let words: usize = 0;
let bits: usize = 0; // a bit's address: byte address × 8 + bit

export function encoderStart(wordsEnd: usize, bitsEnd: usize): void {
  stateA = lowest;
  stateB = lowest;
  words = wordsEnd;
  bits = bitsEnd << 3;
}

export function wordsAddress(): usize {
  return words;
}

export function bitsAddress(): usize {
  return bits;
}

/** Writes both states in front of the words; the decoder starts with them. */
export function encoderFinish(): void {
  words -= 8;
  store<u32>(words, stateA);
  store<u32>(words + 4, stateB);
}

@inline
function putBits(value: u32, count: i32): void {
  if (count == 0) return;
  bits -= count;
  const address = bits >> 3;
  store<u64>(address, load<u64>(address) | ((value as u64) << ((bits & 7) as u64)));
}

@inline
function putToken(frequencies: usize, token: i32): void {
  const entry = load<u32>(frequencies + ((token as usize) << 2));
  const frequency = entry & 0xffff;
  let state = stateB;
  stateB = stateA;
  if (frequency < 4096) {
    if (state >= frequency << 20) {
      words -= 2;
      store<u16>(words, state);
      state >>= 16;
    }
    state = ((state / frequency) << 12) + (state % frequency) + (entry >> 16);
  }
  stateA = state;
}

/**
 * Codes `count` elements from the last to the first. `clusters` u8, `differences` i32, `frequencies`: two tables a
 * cluster (differences, gaps), `gaps`: u32 a cluster: 0xffffffff marks a direct one, others end as the zeros in front of
 * the first difference. With `histograms` set (256 u32 a cluster) it only counts the gaps' tokens.
 */
export function encodeTokens(clusters: usize, differences: usize, frequencies: usize, gaps: usize, histograms: usize, count: u32): void {
  for (let i: i32 = (count as i32) - 1; i >= 0; i--) {
    const cluster = load<u8>(clusters + i) as usize;
    const difference = load<i32>(differences + ((i as usize) << 2));
    const gap = load<u32>(gaps + (cluster << 2));
    if (gap != 0xffffffff) {
      if (difference == 0) {
        store<u32>(gaps + (cluster << 2), gap + 1);
        continue;
      }
      const token = gapToken(gap);
      store<u32>(gaps + (cluster << 2), 0);
      if (histograms) {
        const at = histograms + (cluster << 10) + ((token as usize) << 2);
        store<u32>(at, load<u32>(at) + 1);
        continue;
      }
      if (gap >= 16) {
        const rest = bitLength(gap) - 4;
        putBits(gap & ((1 << rest) - 1), rest);
      }
      putToken(frequencies + (cluster << 11) + frequencyBytes, token);
    } else if (histograms) continue;
    const token = differenceToken(difference);
    if (token > 30) {
      const sign = difference >> 31;
      const magnitude = ((difference ^ sign) - sign) as u32;
      const rest = bitLength(magnitude) - 3;
      putBits(magnitude & ((1 << rest) - 1), rest);
    }
    putToken(frequencies + (cluster << 11), token);
  }
}

// ---- statistics ----
/** Per context: how many elements, and the sum of their differences' bit lengths (u32 pairs). */
export function activityTotals(contexts: usize, differences: usize, totals: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const difference = load<i32>(differences + ((i as usize) << 2));
    const sign = difference >> 31;
    const at = totals + ((load<u16>(contexts + ((i as usize) << 1)) as usize) << 3);
    store<u32>(at, load<u32>(at) + 1);
    store<u32>(at + 4, load<u32>(at + 4) + bitLength(((difference ^ sign) - sign) as u32));
  }
}

/** Per chunk of 256 elements: sum of (256 × bit length − mean of the context), i32. */
export function activityDeviations(contexts: usize, differences: usize, means: usize, output: usize, count: u32): void {
  let sum: i32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const difference = load<i32>(differences + ((i as usize) << 2));
    const sign = difference >> 31;
    const context = load<u16>(contexts + ((i as usize) << 1)) as usize;
    sum += (bitLength(((difference ^ sign) - sign) as u32) << 8) - load<i32>(means + (context << 2));
    if ((i & 255) == 255 || i == count - 1) {
      store<i32>(output + ((i as usize) >> 8 << 2), sum);
      sum = 0;
    }
  }
}

/** Token histograms: row = class of the chunk × stride + compact id of the context; 256 u32 a row. */
export function histogram(contexts: usize, differences: usize, classes: usize, compact: usize, stride: u32, output: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const row = (load<u8>(classes + (i >> 8)) as u32) * stride + load<u16>(compact + ((load<u16>(contexts + ((i as usize) << 1)) as usize) << 1));
    const at = output + ((row as usize) << 10) + ((differenceToken(load<i32>(differences + ((i as usize) << 2))) as usize) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
}

/** Clusters (u8) of elements from `first` on, from their contexts: `map` has `stride` entries a class. */
export function assign(contexts: usize, classes: usize, map: usize, stride: u32, first: u32, output: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++)
    store<u8>(output + i, load<u8>(map + (load<u8>(classes + ((first + i) >> 8)) as usize) * stride + load<u16>(contexts + ((i as usize) << 1))));
}

// ---- decoder ----
/** Expands 256 frequencies (u16, sum 4096: checked by the caller) into a table of 4096 entries. */
export function expandTable(frequencies: usize, table: usize): void {
  let slot: u32 = 0;
  for (let token: u32 = 0; token < 256; token++) {
    const frequency: u32 = load<u16>(frequencies + (token << 1));
    for (let offset: u32 = 0; offset < frequency; offset++)
      store<u32>(table + ((slot++ as usize) << 2), (token << 24) | ((frequency - 1) << 12) | offset);
  }
}

export function decoderStart(wordsStart: usize, firstBit: usize): void {
  stateA = load<u32>(wordsStart);
  stateB = load<u32>(wordsStart + 4);
  words = wordsStart + 8;
  bits = firstBit;
}

/** 1 when both states are back where the encoder began. */
export function decoderSettled(): i32 {
  return (stateA == lowest && stateB == lowest) as i32;
}

/**
 * Decodes `count` differences (i32, already zero) of one strip. `gaps`: u32 a cluster, 0xffffffff for a direct one.
 * `values`: 256 × (i32 first value, i32 raw bits × 2 + negative) for difference tokens, then the same for gap tokens.
 * Returns how many were not zero or direct.
 */
export function decodeTokens(clusters: usize, differences: usize, tables: usize, gaps: usize, values: usize, count: u32): u32 {
  let a = stateA;
  let b = stateB;
  let word = words;
  let bit = bits;
  let events: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const cluster = load<u8>(clusters + i) as usize;
    const gap = load<u32>(gaps + (cluster << 2));
    if (gap + 1 > 1) {
      store<u32>(gaps + (cluster << 2), gap - 1);
      continue;
    }
    let table = tables + (cluster << 1) * tableBytes;
    let entry = load<u32>(table + ((a & 4095) << 2));
    let state = ((entry >> 12 & 4095) + 1) * (a >> 12) + (entry & 4095);
    a = b;
    if (state < lowest) {
      state = (state << 16) | load<u16>(word);
      word += 2;
    }
    b = state;
    let value = values + ((entry >> 24) << 3);
    let shape = load<i32>(value, 4);
    let rest = shape >> 1;
    let raw = ((load<u64>(bit >> 3) >> ((bit & 7) as u64)) as u32) & ((1 << rest) - 1);
    bit += rest;
    const negative = -(shape & 1);
    store<i32>(differences + ((i as usize) << 2), ((load<i32>(value) + (raw as i32)) ^ negative) - negative);
    events++;
    if (gap) continue;
    table += tableBytes;
    entry = load<u32>(table + ((a & 4095) << 2));
    state = ((entry >> 12 & 4095) + 1) * (a >> 12) + (entry & 4095);
    a = b;
    if (state < lowest) {
      state = (state << 16) | load<u16>(word);
      word += 2;
    }
    b = state;
    value = values + 2048 + ((entry >> 24) << 3);
    rest = load<i32>(value, 4) >> 1;
    raw = ((load<u64>(bit >> 3) >> ((bit & 7) as u64)) as u32) & ((1 << rest) - 1);
    bit += rest;
    store<u32>(gaps + (cluster << 2), load<i32>(value) + raw);
  }
  stateA = a;
  stateB = b;
  words = word;
  bits = bit;
  return events;
}
