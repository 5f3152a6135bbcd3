/** Words of 32 bits; a copy where the bytes do not start at a multiple of four. Little-endian machines only. */
export function view32(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(buffer, byteOffset, length >>> 2);
}
