// Elements to (context, difference) and back. `up` = 32 − bits of a word; a context is the biased exponent of the base
// word (floats) or the bit length of its magnitude (integers). The difference is turned so that positive means away from
// zero: weight decay and growth then look alike on both sides of zero.
import { fromOrdered, integerContext, narrow, toOrdered } from './memory';

@inline
function wordAt<W>(address: usize, index: u32): i32 {
  return load<W>(address + (index as usize) * sizeof<W>()) as i32;
}

@inline
function differences<W>(base: usize, next: usize, contexts: usize, output: usize, count: u32, shift: i32, mask: i32): void {
  const up: i32 = 32 - (sizeof<W>() as i32) * 8;
  for (let i: u32 = 0; i < count; i++) {
    const from = wordAt<W>(base, i);
    const to = wordAt<W>(next, i);
    const sign = (from << up) >> 31;
    let difference: i32;
    let context: i32;
    if (mask) {
      difference = narrow(toOrdered(to, up) - toOrdered(from, up), up);
      context = (from >> shift) & mask;
    } else {
      difference = narrow(to - from, up);
      context = integerContext(narrow(from, up));
    }
    store<u16>(contexts + ((i as usize) << 1), context);
    store<i32>(output + ((i as usize) << 2), (difference ^ sign) - sign);
  }
}

@inline
function contextsOf<W>(base: usize, map: usize, output: usize, count: u32, shift: i32, mask: i32): void {
  const up: i32 = 32 - (sizeof<W>() as i32) * 8;
  if (mask) for (let i: u32 = 0; i < count; i++) store<u8>(output + i, load<u8>(map + ((wordAt<W>(base, i) >> shift) & mask)));
  else for (let i: u32 = 0; i < count; i++) store<u8>(output + i, load<u8>(map + integerContext(narrow(wordAt<W>(base, i), up))));
}

@inline
function added<W>(base: usize, differences: usize, output: usize, count: u32, mask: i32): void {
  const up: i32 = 32 - (sizeof<W>() as i32) * 8;
  if (mask) {
    for (let i: u32 = 0; i < count; i++) {
      const from = wordAt<W>(base, i);
      const sign = (from << up) >> 31;
      const difference = (load<i32>(differences + ((i as usize) << 2)) ^ sign) - sign;
      store<W>(output + (i as usize) * sizeof<W>(), fromOrdered(toOrdered(from, up) + difference, up) as W);
    }
  } else {
    for (let i: u32 = 0; i < count; i++) {
      const from = wordAt<W>(base, i);
      const sign = (from << up) >> 31;
      const difference = (load<i32>(differences + ((i as usize) << 2)) ^ sign) - sign;
      store<W>(output + (i as usize) * sizeof<W>(), (from + difference) as W);
    }
  }
}

/** Differences (i32) and contexts (u16) of `count` elements of `width` bytes; `mask` 0 means integers. */
export function prepare(base: usize, next: usize, contexts: usize, output: usize, count: u32, width: i32, shift: i32, mask: i32): void {
  if (width == 1) differences<u8>(base, next, contexts, output, count, shift, mask);
  else if (width == 2) differences<u16>(base, next, contexts, output, count, shift, mask);
  else differences<u32>(base, next, contexts, output, count, shift, mask);
}

/** Cluster (u8) of each element by its base word alone: what the receiver can know before it decodes. */
export function lookUp(base: usize, map: usize, output: usize, count: u32, width: i32, shift: i32, mask: i32): void {
  if (width == 1) contextsOf<u8>(base, map, output, count, shift, mask);
  else if (width == 2) contextsOf<u16>(base, map, output, count, shift, mask);
  else contextsOf<u32>(base, map, output, count, shift, mask);
}

/** Writes base + difference, the inverse of `prepare`. */
export function apply(base: usize, differences: usize, output: usize, count: u32, width: i32, mask: i32): void {
  if (width == 1) added<u8>(base, differences, output, count, mask);
  else if (width == 2) added<u16>(base, differences, output, count, mask);
  else added<u32>(base, differences, output, count, mask);
}

/** `lookUp` with a map a class: `classes` has one byte a chunk of 256 elements, `first` is a multiple of 256. */
export function lookUpChunks(base: usize, maps: usize, stride: u32, classes: usize, first: u32, output: usize, count: u32, width: i32, shift: i32, mask: i32): void {
  for (let start: u32 = 0; start < count; start += 256) {
    const map = maps + (load<u8>(classes + ((first + start) >> 8)) as usize) * stride;
    const size = min<u32>(256, count - start);
    lookUp(base + (start as usize) * (width as usize), map, output + start, size, width, shift, mask);
  }
}
