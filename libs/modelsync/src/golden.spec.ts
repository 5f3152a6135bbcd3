/**
 * Golden vectors of docs/formats/diff-v1.md: containers that every version of this library must read, byte for byte the
 * same result. They were written once; never regenerate one to make a test pass. (zstd may write other bytes for the
 * same content one day, so what is pinned is the reading.)
 */
import { describe, expect, it } from '@jest/globals';
import { golden } from './golden.fixture.ts';
import { applyDiff, decodeSnapshot, MemorySink, memorySource, openContainer } from './index.ts';

const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));

describe('golden containers of version 1', () => {
  it.each(golden)('$name', async ({ base, container, result, codecs }) => {
    const source = memorySource(bytesOf(container));
    const sink = new MemorySink();
    if (base === null) await decodeSnapshot(source, sink);
    else await applyDiff(memorySource(bytesOf(base)), source, sink);
    expect(Buffer.from(sink.content()).toString('hex')).toBe(result.replaceAll(/\s/g, ''));
    const { blocks } = await openContainer(source);
    expect(blocks.map(({ codec }) => codec.name)).toEqual(codecs);
  });
});
