// Writing that survives a power cut: the new content is on disk before it takes the old one's place, and the folder's
// entry is on disk before the caller hears that it is done.
import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Fsyncs a folder, so that a rename in it is durable. Filesystems that cannot are left alone. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch {
    // Some network filesystems refuse to sync a folder; the content itself was synced.
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
