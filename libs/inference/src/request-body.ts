// A request's body, whole and as it came: bounded in bytes and in how long it may pause.
import type { IncomingMessage } from 'node:http';

/** What is read and thrown away of a body that is too large, so that the client gets to read why. */
const DISCARDED_BYTES_MAX = 64 * 1024 * 1024;

/**
 * The whole body, `too-large` beyond the bound, or `gone` when the client left. The rest of a body that is too large is
 * thrown away, up to 64 MiB: closing with unread bytes would reset the connection before the answer is read.
 * A body that pauses for longer than `stallMs` is cut off; default: the server's own `requestTimeout` bounds it.
 */
export function readBody(
  request: IncomingMessage,
  bytesMax: number,
  stallMs?: number,
): Promise<Buffer | 'too-large' | 'gone'> {
  let isTooLarge = Number(request.headers['content-length'] ?? 0) > bytesMax;
  const stall = stallMs === undefined ? undefined : setTimeout(() => request.destroy(), stallMs);
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const finish = (outcome: Buffer | 'too-large' | 'gone') => {
      clearTimeout(stall);
      resolve(outcome);
    };
    request.on('data', (chunk: Buffer) => {
      stall?.refresh();
      bytes += chunk.length;
      if (!isTooLarge && bytes <= bytesMax) {
        chunks.push(chunk);
        return;
      }
      isTooLarge = true;
      chunks.length = 0;
      if (bytes > bytesMax + DISCARDED_BYTES_MAX) {
        request.pause();
        finish('too-large');
      }
    });
    request.on('end', () => {
      if (isTooLarge) finish('too-large');
      else finish(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    });
    request.on('error', () => finish('gone'));
    request.on('close', () => finish('gone'));
  });
}
