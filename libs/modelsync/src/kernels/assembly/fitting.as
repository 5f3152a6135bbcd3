// The publisher's side of the prediction: products of (next − base) with thin matrices, row by row, so that the
// difference is never held whole. float32; `thin` is how many columns the thin matrices have, a multiple of 4.

/** float32 of next − base for `count` elements; 0 where either is not finite. */
export function deltas(base: usize, next: usize, output: usize, count: u32, width: i32, mask: i32): void {
  for (let i: u32 = 0; i < count; i++) {
    const change = valueAt(next, i, width, mask) - valueAt(base, i, width, mask);
    store<f32>(output + ((i as usize) << 2), change - change == 0 ? change : 0);
  }
}

@inline
function valueAt(address: usize, index: u32, width: i32, mask: i32): f32 {
  if (width == 4) return load<f32>(address + ((index as usize) << 2));
  const word = load<u16>(address + ((index as usize) << 1)) as i32;
  if (mask == 255) return reinterpret<f32>(word << 16);
  if ((word & 0x7c00) == 0x7c00) return NaN as f32;
  const magnitude = word & 0x7fff;
  const value: f32 = magnitude < 0x400 ? (magnitude as f32) * 5.9604644775390625e-8 : reinterpret<f32>((magnitude << 13) + 0x38000000);
  return word & 0x8000 ? -value : value;
}

/** output[row] (thin, zeroed) += Σ row[column] × matrix[column]. */
export function timesThin(row: usize, columns: u32, matrix: usize, thin: u32, output: usize): void {
  for (let part: u32 = 0; part < thin; part += 4) {
    let even = f32x4.splat(0);
    let odd = f32x4.splat(0);
    let at = matrix + ((part as usize) << 2);
    const pitch = (thin as usize) << 2;
    let column: u32 = 0;
    for (; column + 2 <= columns; column += 2) {
      even = f32x4.add(even, f32x4.mul(f32x4.splat(load<f32>(row + ((column as usize) << 2))), v128.load(at)));
      odd = f32x4.add(odd, f32x4.mul(f32x4.splat(load<f32>(row + ((column as usize) << 2), 4)), v128.load(at + pitch)));
      at += pitch << 1;
    }
    if (column < columns) even = f32x4.add(even, f32x4.mul(f32x4.splat(load<f32>(row + ((column as usize) << 2))), v128.load(at)));
    v128.store(output + ((part as usize) << 2), f32x4.add(even, odd));
  }
}

/** output[column] += row[column] × thinRow, for all columns. */
export function addOuter(row: usize, columns: u32, thinRow: usize, thin: u32, output: usize): void {
  const pitch = (thin as usize) << 2;
  for (let column: u32 = 0; column < columns; column++) {
    const factor = f32x4.splat(load<f32>(row + ((column as usize) << 2)));
    for (let part: usize = 0; part < pitch; part += 16)
      v128.store(output + part, f32x4.add(v128.load(output + part), f32x4.mul(factor, v128.load(thinRow + part))));
    output += pitch;
  }
}
