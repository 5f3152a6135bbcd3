// The inner loops of *grouped*: differences, zig-zag, stably sorted by the base's exponent, in byte planes. Each loop
// walks both halves of the block at once, with counters of their own: neighbours mostly have the same exponent, and one
// counter would make each element wait for the one before it.
import { fromOrdered, narrow, toOrdered } from './memory';

@inline
function wordAt<W>(address: usize, index: u32): i32 {
  return load<W>(address + (index as usize) * sizeof<W>()) as i32;
}

@inline
function nextPlace(places: usize, group: i32): usize {
  const at = places + ((group as usize) << 2);
  const place = load<u32>(at);
  store<u32>(at, place + 1);
  return place as usize;
}

@inline
function countAll<W>(base: usize, counts: usize, count: u32, shift: i32, mask: i32): void {
  const half = count >> 1;
  const second = counts + 1024;
  for (let i: u32 = 0; i < half; i++) {
    nextPlace(counts, (wordAt<W>(base, i) >> shift) & mask);
    nextPlace(second, (wordAt<W>(base, half + i) >> shift) & mask);
  }
  if (count & 1) nextPlace(second, (wordAt<W>(base, count - 1) >> shift) & mask);
}

@inline
function scatterOne<W>(base: usize, next: usize, index: u32, places: usize, planes: usize, pitch: usize, shift: i32, mask: i32): void {
  const up: i32 = 32 - (sizeof<W>() as i32) * 8;
  const from = wordAt<W>(base, index);
  const to = wordAt<W>(next, index);
  const step = narrow(mask ? toOrdered(to, up) - toOrdered(from, up) : to - from, up);
  const zigzag = (step << 1) ^ (step >> 31);
  const at = planes + nextPlace(places, (from >> shift) & mask);
  store<u8>(at, zigzag);
  if (sizeof<W>() > 1) store<u8>(at + pitch, zigzag >> 8);
  if (sizeof<W>() > 2) {
    store<u8>(at + pitch * 2, zigzag >> 16);
    store<u8>(at + pitch * 3, zigzag >> 24);
  }
}

@inline
function gatherOne<W>(base: usize, output: usize, index: u32, places: usize, planes: usize, pitch: usize, shift: i32, mask: i32): void {
  const up: i32 = 32 - (sizeof<W>() as i32) * 8;
  const from = wordAt<W>(base, index);
  const at = planes + nextPlace(places, (from >> shift) & mask);
  let zigzag = load<u8>(at) as u32;
  if (sizeof<W>() > 1) zigzag |= (load<u8>(at + pitch) as u32) << 8;
  if (sizeof<W>() > 2) zigzag |= ((load<u8>(at + pitch * 2) as u32) << 16) | ((load<u8>(at + pitch * 3) as u32) << 24);
  const step = ((zigzag >> 1) as i32) ^ -((zigzag & 1) as i32);
  const value = mask ? fromOrdered(toOrdered(from, up) + step, up) : from + step;
  store<W>(output + (index as usize) * sizeof<W>(), value as W);
}

@inline
function scatterAll<W>(base: usize, next: usize, places: usize, planes: usize, count: u32, shift: i32, mask: i32): void {
  const half = count >> 1;
  for (let i: u32 = 0; i < half; i++) {
    scatterOne<W>(base, next, i, places, planes, count, shift, mask);
    scatterOne<W>(base, next, half + i, places + 1024, planes, count, shift, mask);
  }
  if (count & 1) scatterOne<W>(base, next, count - 1, places + 1024, planes, count, shift, mask);
}

@inline
function gatherAll<W>(base: usize, output: usize, places: usize, planes: usize, count: u32, shift: i32, mask: i32): void {
  const half = count >> 1;
  for (let i: u32 = 0; i < half; i++) {
    gatherOne<W>(base, output, i, places, planes, count, shift, mask);
    gatherOne<W>(base, output, half + i, places + 1024, planes, count, shift, mask);
  }
  if (count & 1) gatherOne<W>(base, output, count - 1, places + 1024, planes, count, shift, mask);
}

/** Elements of each exponent (256 u32 a half, zeroed); `mask` 0: one group. */
export function groupCounts(base: usize, counts: usize, count: u32, width: i32, shift: i32, mask: i32): void {
  if (width == 1) countAll<u8>(base, counts, count, shift, mask);
  else if (width == 2) countAll<u16>(base, counts, count, shift, mask);
  else countAll<u32>(base, counts, count, shift, mask);
}

/** `places`: where the next element of each exponent goes, 256 u32 a half; `planes`: `width` planes of `count` bytes. */
export function groupScatter(base: usize, next: usize, places: usize, planes: usize, count: u32, width: i32, shift: i32, mask: i32): void {
  if (width == 1) scatterAll<u8>(base, next, places, planes, count, shift, mask);
  else if (width == 2) scatterAll<u16>(base, next, places, planes, count, shift, mask);
  else scatterAll<u32>(base, next, places, planes, count, shift, mask);
}

/** The way back. */
export function groupGather(base: usize, output: usize, places: usize, planes: usize, count: u32, width: i32, shift: i32, mask: i32): void {
  if (width == 1) gatherAll<u8>(base, output, places, planes, count, shift, mask);
  else if (width == 2) gatherAll<u16>(base, output, places, planes, count, shift, mask);
  else gatherAll<u32>(base, output, places, planes, count, shift, mask);
}
