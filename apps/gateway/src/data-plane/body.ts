import type { IncomingMessage } from 'node:http';

/** What is read and thrown away of a body that is too large, so that the client gets to read why. */
const DISCARDED_BYTES_MAX = 64 * 1024 * 1024;

/**
 * The whole body, `too-large` beyond the bound, or `gone` when the client left. The rest of a body that is too large is
 * thrown away, up to 64 MiB: closing with unread bytes would reset the connection before the answer is read.
 */
export function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer | 'too-large' | 'gone'> {
  let isTooLarge = Number(request.headers['content-length'] ?? 0) > bytesMax;
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (!isTooLarge && bytes <= bytesMax) {
        chunks.push(chunk);
        return;
      }
      isTooLarge = true;
      chunks.length = 0;
      if (bytes > bytesMax + DISCARDED_BYTES_MAX) {
        request.pause();
        resolve('too-large');
      }
    });
    request.on('end', () => {
      if (isTooLarge) resolve('too-large');
      else resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    });
    request.on('error', () => resolve('gone'));
    request.on('close', () => resolve('gone'));
  });
}
