// One log file a replica, written by the engine itself so that it outlives the agent. Bounded: set aside at a start when
// it is large, and emptied while the engine runs when it is far too large; of replicas that are gone the newest few stay.
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const ROTATE_BYTES = 8 * 1_048_576;
const BYTES_MAX = 64 * 1_048_576;
/** Log files of replicas that are not here any more. */
const ENDED_KEPT_MAX = 16;
const TAIL_BYTES = 4_096;
const LINE_CHARACTERS_MAX = 300;

export function logPath(logsFolder: string, replicaId: string): string {
  return join(logsFolder, `${replicaId}.log`);
}

/** Opened for appending; the last large one stays as `.1`. */
export async function openLog(path: string): Promise<FileHandle> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const size = await sizeOf(path);
  if (size > ROTATE_BYTES) await rename(path, `${path}.1`);
  return open(path, 'a', 0o600);
}

/** Engines append, so an emptied file goes on from its start. */
export async function boundLog(path: string): Promise<void> {
  if ((await sizeOf(path)) > BYTES_MAX) await truncate(path, 0).catch(() => undefined);
}

/** Every version change makes new replicas, and so new files: the oldest of those that ended go. */
export async function sweepLogs(logsFolder: string, living: ReadonlySet<string>): Promise<void> {
  const names = await readdir(logsFolder);
  const ended = names.filter((name) => !living.has(name.replace(/\.log(\.1)?$/, '')));
  if (ended.length <= ENDED_KEPT_MAX) return;
  const written = await Promise.all(
    ended.map(async (name) => {
      const path = join(logsFolder, name);
      const writtenAtMs = await stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      );
      return { path, writtenAtMs };
    }),
  );
  written.sort((left, right) => right.writtenAtMs - left.writtenAtMs);
  for (const { path } of written.slice(ENDED_KEPT_MAX)) await rm(path, { force: true });
}

/** The last line with something on it, shortened; empty when there is none, or no plain file. It never waits for a pipe. */
export async function lastLine(path: string): Promise<string> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = await handle.stat();
      const size = found.isFile() ? found.size : 0;
      const length = Math.min(size, TAIL_BYTES);
      const { buffer } = await handle.read({ buffer: Buffer.alloc(length), position: size - length });
      const lines = buffer
        .toString('utf8')
        .split('\n')
        .filter((line) => line.trim() !== '');
      return (lines.at(-1) ?? '').trim().slice(0, LINE_CHARACTERS_MAX);
    } finally {
      await handle.close();
    }
  } catch {
    return '';
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}
