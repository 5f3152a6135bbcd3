import { closeSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import type { ByteSink, ByteSource } from '#modelsync';

/** A file as a source; reads are synchronous, so that the work stays on the measured thread. */
export function openSource(path: string): ByteSource & { close(): void } {
  const file = openSync(path, 'r');
  return {
    size: statSync(path).size,
    read: async (offset, length) => {
      const bytes = new Uint8Array(length);
      return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
    },
    close: () => closeSync(file),
  };
}

/** A file as a sink, empty at first. */
export function openSink(path: string): ByteSink & { close(): void } {
  const file = openSync(path, 'w');
  return {
    write: async (offset, bytes) => {
      writeSync(file, bytes, 0, bytes.length, offset);
    },
    close: () => closeSync(file),
  };
}
