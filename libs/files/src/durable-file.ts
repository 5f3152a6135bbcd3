// Writing that survives a power cut: the new content is on disk before it takes the old one's place, and the folder's
// entry is on disk before the caller hears that it is done.
import { randomUUID } from 'node:crypto';
import { open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** So old, what nobody answers for was left by a crash. */
const STALE_MS = 30_000;
/** What filesystems say that know no fsync of a folder; the content itself was synced. */
const NO_FOLDER_SYNC = new Set(['EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EPERM', 'EBADF']);

/** Fsyncs a folder, so that a rename in it is durable. Filesystems that cannot are left alone; a broken disk throws. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (cause) {
    if (!NO_FOLDER_SYNC.has((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
  } finally {
    await handle.close();
  }
}

/** Writes and fsyncs a draft beside `path`; gives the draft's path. */
export async function writeDraft(path: string, text: string, mode = 0o600): Promise<string> {
  const draft = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
  const handle = await open(draft, 'wx', mode);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } catch (cause) {
    await rm(draft, { force: true });
    throw cause;
  } finally {
    await handle.close();
  }
  return draft;
}

/** Replaces `path` as a whole: a reader sees the old content or the new. Mode default 0600. */
export async function writeDurably(path: string, text: string, mode = 0o600): Promise<void> {
  const draft = await writeDraft(path, text, mode);
  try {
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { force: true });
    throw cause;
  }
  await syncFolder(dirname(path));
}

/**
 * As `writeDurably`, and waits for no disk: for notes of the moment, which need not outlive the machine's boot. One writer
 * at a time.
 */
export async function writeLightly(path: string, text: string, mode = 0o600): Promise<void> {
  await writeFile(`${path}.tmp`, text, { mode });
  await rename(`${path}.tmp`, path);
}

/**
 * Removes what writers that were killed left half done: stale entries of the folder whose names begin so. Younger ones may
 * be somebody's who writes right now.
 */
export async function sweepDrafts(folder: string, ...beginnings: readonly string[]): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((each) => beginnings.some((beginning) => each.startsWith(beginning)))) {
    const draft = join(folder, name);
    if (await isStale(draft)) await rm(draft, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** False when it is not there. */
export async function isStale(path: string): Promise<boolean> {
  const age = await stat(path).then(
    ({ mtimeMs }) => Math.abs(Date.now() - mtimeMs),
    () => 0,
  );
  return age > STALE_MS;
}
