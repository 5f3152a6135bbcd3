// Files as the sources and sinks of the codecs. The handle stays the caller's.
import type { FileHandle } from 'node:fs/promises';
import type { ByteSink, ByteSource } from '#modelsync';

/** What the file has up to `size`; a file that was cut since gives fewer bytes, which the reader finds out. */
export function fileSource(handle: FileHandle, size: number): ByteSource {
  return {
    size,
    read: async (offset, length) => {
      const bytes = new Uint8Array(length);
      let have = 0;
      while (have < length) {
        const { bytesRead } = await handle.read(bytes, have, length - have, offset + have);
        if (bytesRead === 0) break;
        have += bytesRead;
      }
      return bytes.subarray(0, have);
    },
  };
}

export function fileSink(handle: FileHandle): ByteSink {
  return {
    write: async (offset, bytes) => {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done);
        done += bytesWritten;
      }
    },
  };
}
