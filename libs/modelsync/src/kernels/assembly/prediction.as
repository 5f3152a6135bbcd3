// Predicted elements: for each element the word that is expected (u32), its context (u16) and whether its difference is
// to be turned round (u8), so that a difference points to where the prediction lay within its rounding cell.
//
// float32 in a fixed order, multiplication and addition apart: the same bits on every machine. NaN, whose payload a
// machine may choose, never gets into a word: the base word stands in wherever base or prediction is not finite.
import { fromOrdered, narrow, toOrdered } from './memory';

const phases: i32 = 8;

@inline
function halfToFloat(word: i32): f32 {
  const magnitude = word & 0x7fff;
  const value: f32 = magnitude < 0x400 ? (magnitude as f32) * 5.9604644775390625e-8 : reinterpret<f32>((magnitude << 13) + 0x38000000);
  return word & 0x8000 ? -value : value;
}

@inline
function put(index: u32, words: usize, contexts: usize, flips: usize, word: i32, exponent: i32, phase: i32, flip: i32): void {
  store<u32>(words + ((index as usize) << 2), word);
  store<u16>(contexts + ((index as usize) << 1), exponent * phases + (phase < phases ? phase : phases - 1));
  store<u8>(flips + index, flip);
}

@inline
function predictBrain(base: i32, added: f32, index: u32, words: usize, contexts: usize, flips: usize): void {
  const bits = reinterpret<i32>(reinterpret<f32>(base << 16) + added);
  const word = ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) as i32;
  const isFinite = ((base & 0x7f80) != 0x7f80) & ((bits & 0x7f800000) != 0x7f800000) & ((word & 0x7f80) != 0x7f80);
  if (isFinite) {
    const rest = bits - (word << 16);
    put(index, words, contexts, flips, word, (word >> 7) & 255, (rest < 0 ? -rest : rest) >> 12, (rest < 0) as i32);
  } else put(index, words, contexts, flips, base, (base >> 7) & 255, 0, 0);
}

@inline
function predictHalf(base: i32, added: f32, index: u32, words: usize, contexts: usize, flips: usize): void {
  const bits = reinterpret<i32>(halfToFloat(base) + added);
  const magnitude = bits & 0x7fffffff;
  const sign = (bits >>> 16) & 0x8000;
  if ((base & 0x7c00) == 0x7c00 || magnitude >= 0x477ff000) {
    put(index, words, contexts, flips, base, (base >> 10) & 31, 0, 0);
  } else if (magnitude < 0x38800000) {
    const scaled = reinterpret<f32>(magnitude) * 16777216.0;
    const whole = nearest<f32>(scaled);
    const rest = scaled - whole;
    const word = whole as i32;
    put(index, words, contexts, flips, word | sign, (word >> 10) & 31, (abs<f32>(rest) * 16.0) as i32, (rest < 0) as i32);
  } else {
    const rebased = magnitude - 0x38000000;
    const word = (rebased + 0xfff + ((rebased >> 13) & 1)) >> 13;
    const rest = rebased - (word << 13);
    put(index, words, contexts, flips, word | sign, (word >> 10) & 31, (rest < 0 ? -rest : rest) >> 9, (rest < 0) as i32);
  }
}

@inline
function predictSingle(base: i32, added: f32, index: u32, words: usize, contexts: usize, flips: usize): void {
  const bits = reinterpret<i32>(reinterpret<f32>(base) + added);
  const isFinite = ((base & 0x7f800000) != 0x7f800000) & ((bits & 0x7f800000) != 0x7f800000);
  const word = isFinite ? bits : base;
  put(index, words, contexts, flips, word, (word >>> 23) & 255, 0, 0);
}

/**
 * Sums left[row][k] × right[k][column] for one stretch of a row into `sums` (f32), k ascending from 0.
 * `right` has `columns` values a component.
 */
export function lowRank(left: usize, right: usize, rank: u32, columns: u32, column: u32, count: u32, sums: usize): void {
  const pitch = (columns as usize) << 2;
  right += (column as usize) << 2;
  let i: u32 = 0;
  for (; i + 16 <= count; i += 16) {
    let first = f32x4.splat(0);
    let second = f32x4.splat(0);
    let third = f32x4.splat(0);
    let fourth = f32x4.splat(0);
    let at = right + ((i as usize) << 2);
    for (let k: u32 = 0; k < rank; k++) {
      const factor = v128.load32_splat(left + ((k as usize) << 2));
      first = f32x4.add(first, f32x4.mul(factor, v128.load(at)));
      second = f32x4.add(second, f32x4.mul(factor, v128.load(at, 16)));
      third = f32x4.add(third, f32x4.mul(factor, v128.load(at, 32)));
      fourth = f32x4.add(fourth, f32x4.mul(factor, v128.load(at, 48)));
      at += pitch;
    }
    const to = sums + ((i as usize) << 2);
    v128.store(to, first);
    v128.store(to, second, 16);
    v128.store(to, third, 32);
    v128.store(to, fourth, 48);
  }
  for (; i < count; i++) {
    let sum: f32 = 0;
    let at = right + ((i as usize) << 2);
    for (let k: u32 = 0; k < rank; k++) {
      sum = sum + load<f32>(left + ((k as usize) << 2)) * load<f32>(at);
      at += pitch;
    }
    store<f32>(sums + ((i as usize) << 2), sum);
  }
}

/** Words, contexts and flips of `count` elements from their base words and what is to be added (f32). */
export function predictFloats(base: usize, sums: usize, words: usize, contexts: usize, flips: usize, count: u32, width: i32, mask: i32): void {
  if (width == 4) {
    for (let i: u32 = 0; i < count; i++)
      predictSingle(load<i32>(base + ((i as usize) << 2)), load<f32>(sums + ((i as usize) << 2)), i, words, contexts, flips);
  } else if (mask == 31) {
    for (let i: u32 = 0; i < count; i++)
      predictHalf(load<u16>(base + ((i as usize) << 1)), load<f32>(sums + ((i as usize) << 2)), i, words, contexts, flips);
  } else {
    for (let i: u32 = 0; i < count; i++)
      predictBrain(load<u16>(base + ((i as usize) << 1)), load<f32>(sums + ((i as usize) << 2)), i, words, contexts, flips);
  }
}

/**
 * The same for Q8_0 quants: base quant × base scale / next scale, which is what the quant is if the weight stays.
 * Context: the next scale's exponent and top two mantissa bits, the phase, whether the quant is at its end.
 */
export function predictQuants(scales: usize, nextScales: usize, quants: usize, words: usize, contexts: usize, flips: usize, blocks: u32): void {
  for (let block: u32 = 0; block < blocks; block++) {
    const from = load<u16>(scales + ((block as usize) << 1)) as i32;
    const to = load<u16>(nextScales + ((block as usize) << 1)) as i32;
    const isUsable = ((from & 0x7c00) != 0x7c00) & ((to & 0x7c00) != 0x7c00) & ((to & 0x7fff) != 0) & (from != to);
    const ratio: f32 = isUsable ? halfToFloat(from) / halfToFloat(to) : 1;
    const kind = (to >> 8) & 127;
    for (let i: u32 = block << 5; i < (block + 1) << 5; i++) {
      const scaled = max<f32>(-128, min<f32>(127, (load<i8>(quants + i) as f32) * ratio));
      const whole = nearest<f32>(scaled);
      const rest = scaled - whole;
      const word = whole as i32;
      const isEnd = ((word > 126) | (word < -126)) as i32;
      put(i, words, contexts, flips, word, (isEnd << 7) | kind, (abs<f32>(rest) * 16.0) as i32, (rest < 0 != word < 0) as i32);
    }
  }
}

/** 34-byte Q8_0 blocks ↔ scales (u16) and quants (i8). */
export function splitQuantised(blocks: usize, scales: usize, quants: usize, count: u32): void {
  for (let block: u32 = 0; block < count; block++) {
    const from = blocks + (block as usize) * 34;
    store<u16>(scales + ((block as usize) << 1), load<u16>(from));
    v128.store(quants + ((block as usize) << 5), v128.load(from, 2));
    v128.store(quants + ((block as usize) << 5), v128.load(from, 18), 16);
  }
}

export function joinQuantised(blocks: usize, scales: usize, quants: usize, count: u32): void {
  for (let block: u32 = 0; block < count; block++) {
    const to = blocks + (block as usize) * 34;
    store<u16>(to, load<u16>(scales + ((block as usize) << 1)));
    v128.store(to, v128.load(quants + ((block as usize) << 5)), 2);
    v128.store(to, v128.load(quants + ((block as usize) << 5), 16), 18);
  }
}

@inline
function turn(word: i32, flip: i32, up: i32): i32 {
  return ((word << up) >> 31) ^ -flip;
}

@inline
function residualsOf<W>(next: usize, words: usize, flips: usize, output: usize, count: u32, isFloat: bool): void {
  const up: i32 = 32 - (sizeof<W>() as i32) * 8;
  for (let i: u32 = 0; i < count; i++) {
    const to = load<W>(next + (i as usize) * sizeof<W>()) as i32;
    const word = load<i32>(words + ((i as usize) << 2));
    const sign = turn(word, load<u8>(flips + i), up);
    const difference = isFloat ? toOrdered(to, up) - toOrdered(word, up) : to - word;
    store<i32>(output + ((i as usize) << 2), (narrow(difference, up) ^ sign) - sign);
  }
}

@inline
function restored<W>(words: usize, flips: usize, differences: usize, output: usize, count: u32, isFloat: bool): void {
  const up: i32 = 32 - (sizeof<W>() as i32) * 8;
  for (let i: u32 = 0; i < count; i++) {
    const word = load<i32>(words + ((i as usize) << 2));
    const sign = turn(word, load<u8>(flips + i), up);
    const difference = (load<i32>(differences + ((i as usize) << 2)) ^ sign) - sign;
    const value = isFloat ? fromOrdered(toOrdered(word, up) + difference, up) : word + difference;
    store<W>(output + (i as usize) * sizeof<W>(), value as W);
  }
}

/** Differences (i32) of `next` from the predicted words; `mask` 0: integers. */
export function residuals(next: usize, words: usize, flips: usize, output: usize, count: u32, width: i32, mask: i32): void {
  if (width == 1) residualsOf<u8>(next, words, flips, output, count, mask != 0);
  else if (width == 2) residualsOf<u16>(next, words, flips, output, count, mask != 0);
  else residualsOf<u32>(next, words, flips, output, count, mask != 0);
}

/** Predicted words + differences, the inverse of `residuals`. */
export function restore(words: usize, flips: usize, differences: usize, output: usize, count: u32, width: i32, mask: i32): void {
  if (width == 1) restored<u8>(words, flips, differences, output, count, mask != 0);
  else if (width == 2) restored<u16>(words, flips, differences, output, count, mask != 0);
  else restored<u32>(words, flips, differences, output, count, mask != 0);
}
