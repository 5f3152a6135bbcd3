import { statfs } from 'node:fs/promises';
import { SyncError } from '../errors.ts';

export interface DiskOptions {
  /** Must stay free beside what is fetched. */
  readonly headroomBytes: number;
  /** Free bytes of the disk that holds a path. Default: what the filesystem says. */
  readonly freeBytes?: ((path: string) => Promise<number>) | undefined;
}

/** @throws SyncError with the numbers, when the disk of `path` cannot take so many bytes more */
export async function checkDisk(path: string, neededBytes: number, options: DiskOptions): Promise<void> {
  const { headroomBytes, freeBytes = freeBytesOf } = options;
  const free = await freeBytes(path);
  if (neededBytes <= 0 || free >= neededBytes + headroomBytes) return;
  throw new SyncError(
    `Not enough disk: ${neededBytes} bytes are missing and ${headroomBytes} must stay free, but only ${free} are. Free some, or give the state folder a larger disk.`,
    { fault: 'disk-full' },
  );
}

export async function freeBytesOf(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
