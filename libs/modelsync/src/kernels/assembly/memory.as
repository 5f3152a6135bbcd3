// What every kernel shares: words ↔ ordered integers, differences ↔ tokens. Addresses are handed in by the caller
// (`../instance.ts` lays the memory out); nothing here allocates, and no function keeps a reference between blocks.
//
// Ordered integer of a float word: its magnitude, or −magnitude − 1 when the sign bit is set; neighbours in value are
// neighbours in number, and every bit pattern (NaN payloads, −0) has its own number. Arithmetic wraps at the width.

/** Sign-extends the low 32 − `up` bits. */
@inline
export function narrow(value: i32, up: i32): i32 {
  return (value << up) >> up;
}

/** Float word ↔ ordered integer, for words of 32 − `up` bits. */
@inline
export function toOrdered(word: i32, up: i32): i32 {
  const sign = (word << up) >> 31;
  return (word & (0x7fffffff >>> up)) ^ sign;
}

@inline
export function fromOrdered(value: i32, up: i32): i32 {
  const sign = (value << up) >> 31;
  return ((value ^ sign) & (0x7fffffff >>> up)) | (sign << (31 - up));
}

@inline
export function bitLength(value: u32): i32 {
  return 32 - clz<u32>(value);
}

/** Context of an integer word: the bit length of its magnitude. */
@inline
export function integerContext(word: i32): i32 {
  return bitLength((word ^ (word >> 31)) as u32);
}

/** Token of a signed difference: exact up to ±15, above it bit length, sign and the next two bits. 0 … 254. */
@inline
export function differenceToken(difference: i32): i32 {
  const sign = difference >> 31;
  const magnitude = ((difference ^ sign) - sign) as u32;
  if (magnitude < 16) return ((magnitude << 1) as i32) + sign;
  const length = bitLength(magnitude);
  return 31 + ((length - 5) << 3) + ((sign & 1) << 2) + (((magnitude >> (length - 3)) & 3) as i32);
}

/** Token of a run length: exact up to 15, above it bit length and the next three bits. 0 … 239. */
@inline
export function gapToken(gap: u32): i32 {
  if (gap < 16) return gap as i32;
  const length = bitLength(gap);
  return 16 + ((length - 5) << 3) + (((gap >> (length - 4)) & 7) as i32);
}
