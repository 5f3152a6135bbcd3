// What a task leaves, brought to the registry: checkpoints and the output folder.
//
// A checkpoint is first set aside in `saved/<sequence>/` (by hard links, in a moment), so that the command may go on
// writing; that folder and its note beside it stay until every byte is in the registry, across restarts of the agent.
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { TaskCheckpoint } from '#domain';
import { writeDurably } from '#files';
import { ContentRefusedError, UploadError } from '../errors.ts';
import { type UploadOptions, uploadContent } from './blob-upload.ts';
import { type HashedContent, hashContent, snapshotContent } from './folder-content.ts';

/** Content that changes while it is read is read again so often. */
const READS_MAX = 5;

const noteSchema = z.object({
  sequence: z.int().min(1),
  progress: z.string().max(500),
  ranSeconds: z.number().min(0),
  /** The machine's clock when it was set aside: files written to after that are not what was saved. */
  atMs: z.number(),
});
export type SavedNote = z.infer<typeof noteSchema>;

/** @throws ContentRefusedError */
export async function setAside(checkpointFolder: string, savedFolder: string, note: SavedNote): Promise<void> {
  await mkdir(savedFolder, { recursive: true, mode: 0o700 });
  const aside = join(savedFolder, `.${note.sequence}`);
  await snapshotContent(checkpointFolder, aside);
  await rm(join(savedFolder, String(note.sequence)), { recursive: true, force: true });
  await rename(aside, join(savedFolder, String(note.sequence)));
  await writeDurably(join(savedFolder, `${note.sequence}.json`), JSON.stringify(note));
}

/** The newest that is set aside and was not brought to the registry; the older ones go. */
export async function newestAside(savedFolder: string): Promise<SavedNote | null> {
  const names = await readdir(savedFolder).catch(() => []);
  const sequences = names.flatMap((name) => (/^\d+\.json$/.test(name) ? [Number.parseInt(name, 10)] : []));
  const newest = Math.max(0, ...sequences);
  for (const sequence of sequences) if (sequence !== newest) await forgetAside(savedFolder, sequence);
  if (newest === 0) return null;
  const text = await readFile(join(savedFolder, `${newest}.json`), 'utf8').catch(() => '');
  return noteSchema.safeParse(parseJson(text)).data ?? null;
}

export async function forgetAside(savedFolder: string, sequence: number): Promise<void> {
  await rm(join(savedFolder, `${sequence}.json`), { force: true });
  await rm(join(savedFolder, String(sequence)), { recursive: true, force: true });
}

/** Every byte of it is in the registry when this resolves. @throws ContentRefusedError, UploadError, the signal's reason */
export async function sendCheckpoint(
  savedFolder: string,
  { sequence, progress, ranSeconds, atMs }: SavedNote,
  options: UploadOptions,
): Promise<TaskCheckpoint> {
  const content = await sendFolder(join(savedFolder, String(sequence)), options, atMs);
  if (content.files.length === 0) throw new ContentRefusedError('The checkpoint has no file.');
  const { manifestDigest, sizeBytes } = content;
  return { sequence, manifestDigest, sizeBytes, progress, ranSeconds };
}

/** The same for any folder; files may not be younger than `youngestMs`. @throws ContentRefusedError, UploadError, the signal's reason */
export async function sendFolder(
  folder: string,
  options: UploadOptions,
  youngestMs = Number.POSITIVE_INFINITY,
): Promise<HashedContent> {
  for (let read = 1; ; read += 1) {
    try {
      const content = await hashContent(folder, options.signal, youngestMs);
      await uploadContent(content, options);
      return content;
    } catch (cause) {
      options.signal.throwIfAborted();
      if (!(cause instanceof UploadError) || cause.fault !== 'changed' || read >= READS_MAX) throw cause;
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
