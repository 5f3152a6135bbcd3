import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';

export interface ConfigurationFile {
  readonly text: string;
  /** Permission bits, as of `stat`. */
  readonly mode: number;
}

/** Reads a file whole. Throws an error with a `code` (`ENOENT`, `EACCES`, `EISDIR`, `EFBIG`, …) when it cannot. */
export type ReadFile = (path: string) => ConfigurationFile;

const bytesMax = 1024 * 1024;

/** The real one. Text and mode are of the same open file, so that no swap between check and use goes unseen. */
export const readFromDisk: ReadFile = (path) => {
  const descriptor = openSync(path, 'r');
  try {
    const stat = fstatSync(descriptor);
    if (stat.isDirectory()) throw Object.assign(new Error('is a folder'), { code: 'EISDIR' });
    if (stat.size > bytesMax) throw Object.assign(new Error('too large'), { code: 'EFBIG' });
    return { text: readFileSync(descriptor, 'utf8'), mode: stat.mode };
  } finally {
    closeSync(descriptor);
  }
};

/** A failed read in words. */
export function readFailure(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'no such file',
    EACCES: 'a file that this user may not read',
    EISDIR: 'a folder',
    EFBIG: `a file of more than ${bytesMax} bytes`,
  };
  return words[code] ?? `a file that cannot be read (${code})`;
}
