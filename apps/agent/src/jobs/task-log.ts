// Reading the log of a task that its runner writes (runner/rotating-log.ts): any range of bytes that is still kept.
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { logPartName, logPartStart } from './runner/runner-contract.ts';

export interface LogRange {
  /** Where `text` begins. */
  readonly offset: number;
  readonly next: number;
  readonly text: string;
  /** `next` is the end of what is written now. */
  readonly isAtEnd: boolean;
}

/** A file of a log: which of its bytes it holds. */
export interface LogPart {
  readonly path: string;
  readonly start: number;
  readonly end: number;
}

/**
 * From `offset` (negative: so many bytes before the end), at most `bytesMax` bytes. What rotation dropped is skipped. No
 * character is cut: a range ends before one that does not fit, and begins after one that was cut before.
 */
export async function readTaskLog(folder: string, offset: number, bytesMax: number): Promise<LogRange> {
  return readLogParts(await listParts(folder), offset, bytesMax);
}

/** The same of parts in their order. */
export async function readLogParts(parts: readonly LogPart[], offset: number, bytesMax: number): Promise<LogRange> {
  const [first, last] = [parts[0]?.start ?? 0, parts.at(-1)?.end ?? 0];
  const from = Math.min(Math.max(offset < 0 ? last + offset : offset, first), last);
  const bytes = await readBytes(parts, from, Math.min(last, from + bytesMax));
  const isStart = from === 0 || from === offset;
  const begin = isStart ? 0 : skipContinuation(bytes);
  const isAll = from + bytes.length === last;
  const end = isAll ? bytes.length : wholeCharacters(bytes);
  // A limit smaller than one character would stand still for ever.
  const stop = end > begin ? end : bytes.length;
  const text = bytes.subarray(begin, stop).toString('utf8');
  return { offset: from + begin, next: from + stop, text, isAtEnd: from + stop === last };
}

/** A path that does not exist when there is none. */
export async function newestLogPart(folder: string): Promise<string> {
  return (await listParts(folder)).at(-1)?.path ?? join(folder, logPartName(0));
}

async function listParts(folder: string): Promise<LogPart[]> {
  const names = await readdir(folder).catch(() => []);
  const parts = await Promise.all(
    names.map(async (name): Promise<LogPart | null> => {
      const start = logPartStart(name);
      if (start === null) return null;
      const path = join(folder, logPartName(start));
      return stat(path).then(
        ({ size }) => ({ path, start, end: start + size }),
        () => null,
      );
    }),
  );
  return parts.filter((part) => part !== null).sort((left, right) => left.start - right.start);
}

async function readBytes(parts: readonly LogPart[], from: number, to: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (const { path, start, end } of parts) {
    const [begin, stop] = [Math.max(from, start), Math.min(to, end)];
    if (begin >= stop) continue;
    const piece = await readPiece(path, begin - start, stop - begin);
    pieces.push(piece);
    // Rotation took the part away between the look and the read: what follows would not join.
    if (piece.length < stop - begin) break;
  }
  return Buffer.concat(pieces);
}

async function readPiece(path: string, position: number, length: number): Promise<Buffer> {
  const handle = await open(path, 'r').catch(() => null);
  if (handle === null) return Buffer.alloc(0);
  try {
    const { bytesRead, buffer } = await handle.read({ buffer: Buffer.alloc(length), position });
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Bytes at the beginning that belong to a character which began before. */
function skipContinuation(bytes: Buffer): number {
  let skipped = 0;
  while (skipped < Math.min(3, bytes.length) && (bytes[skipped]! & 0xc0) === 0x80) skipped += 1;
  return skipped;
}

/** Length up to the last whole character. */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(4, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
