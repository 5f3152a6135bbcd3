// Reads a bounded text up to a delimiter from a socket in paused mode, and leaves everything after it unread.

import type { Socket } from 'node:net';
import { LinkRefusedError } from '../errors.ts';

/**
 * @param bytesMax of the text including its delimiter
 * @returns the text without the delimiter; bytes after it are back in the socket
 * @throws LinkRefusedError `malformed` when the delimiter does not come in time, `closed` when the socket ends,
 *   whatever `signal` was aborted with
 */
export function readUntil(socket: Socket, delimiter: string, bytesMax: number, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let collected = Buffer.alloc(0);
    const stop = () => {
      socket.off('readable', take).off('end', onEnd).off('close', onEnd).off('error', onEnd);
      signal.removeEventListener('abort', onAbort);
    };
    const fail = (cause: unknown) => {
      stop();
      reject(cause);
    };
    const onEnd = (cause?: unknown) => {
      const options = cause instanceof Error ? { cause } : {};
      fail(new LinkRefusedError('closed', 'The socket ended during the handshake.', options));
    };
    const onAbort = () => fail(signal.reason);
    const take = () => {
      for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
        collected = Buffer.concat([collected, chunk as Buffer]);
        const end = collected.indexOf(delimiter);
        const isTooLong = (end < 0 ? collected.length : end + delimiter.length) > bytesMax;
        if (isTooLong) return fail(new LinkRefusedError('malformed', `More than ${bytesMax} bytes.`));
        if (end < 0) continue;
        stop();
        const rest = collected.subarray(end + delimiter.length);
        if (rest.length > 0) socket.unshift(rest);
        return resolve(collected.toString('latin1', 0, end));
      }
    };
    if (signal.aborted) return reject(signal.reason);
    if (socket.destroyed || socket.readableEnded) return onEnd();
    socket.on('readable', take).on('end', onEnd).on('close', onEnd).on('error', onEnd);
    signal.addEventListener('abort', onAbort, { once: true });
    take();
  });
}

/**
 * One signal for a handshake: the caller's abort and the time bound, both as LinkRefusedError. `release` ends the timer.
 */
export function boundHandshake(timeoutMs: number, signal?: AbortSignal): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const abort = () => controller.abort(new LinkRefusedError('closed', 'The handshake was aborted.'));
  const timer = setTimeout(
    () => controller.abort(new LinkRefusedError('timeout', `The handshake took longer than ${timeoutMs} ms.`)),
    timeoutMs,
  );
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  return {
    signal: controller.signal,
    release: () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    },
  };
}
