import { describe, expect, it } from '@jest/globals';
import { memoryWords } from './memory-words.ts';

describe('memory in words', () => {
  it.each([
    [80 * 2 ** 30, '80 GiB', '80 GiB'],
    [12_638_251_008, '11.78 GiB', '11.77 GiB'],
    [96_000_000_000, '89.41 GiB', '89.4 GiB'],
    [2 ** 30, '1 GiB', '1 GiB'],
    [2 ** 30 - 1, '1024 MiB', '1023.99 MiB'],
    [512 * 2 ** 20, '512 MiB', '512 MiB'],
    [90, '90 bytes', '90 bytes'],
    [0, '0 bytes', '0 bytes'],
  ])('%d bytes', (bytes, wantUp, wantDown) => {
    expect([memoryWords(bytes, 'up'), memoryWords(bytes, 'down')]).toEqual([wantUp, wantDown]);
  });
});
