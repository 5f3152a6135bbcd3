// What a command says of how far it is: by lines of its output (which its runner keeps), by its progress file, and by the
// text of a checkpoint. The newest counts.
import { lstat, readFile, rename, rm } from 'node:fs/promises';
import { lastLine } from '../engines/engine-log.ts';
import { hasCode } from '../errors.ts';
import type { runnerFiles } from './runner/runner-contract.ts';
import { isThere } from './task-folder.ts';

const CHARACTERS_MAX = 500;
/** So often one that is over is asked for a checkpoint that cannot be taken; a minute of looks that failed. */
const TAKES_MAX = 30;

type Source = 'said' | 'progress';

export class TaskProgress {
  /** Undefined until it says something. */
  text: string | undefined;
  readonly #files: ReturnType<typeof runnerFiles>;
  readonly #onProgress: () => void;
  readonly #seenAtMs: Record<Source, number> = { said: 0, progress: 0 };
  #newestAtMs = 0;
  #takes = 0;

  constructor(files: ReturnType<typeof runnerFiles>, onProgress: () => void) {
    this.#files = files;
    this.#onProgress = onProgress;
  }

  async look(): Promise<void> {
    await this.#lookAt('said', async (path) => String(JSON.parse(await readFile(path, 'utf8'))));
    await this.#lookAt('progress', lastLine);
  }

  /** The command says that a checkpoint is whole. What cannot be taken does not keep for ever what `isOver`. */
  async hasDone(isOver: boolean): Promise<boolean> {
    if (isOver && this.#takes >= TAKES_MAX) return false;
    return (await isThere(this.#files.done)) || (await isThere(this.#files.doneTaken));
  }

  /** Takes the file that says that a checkpoint is whole out of the command's hands, and gives what is in it. */
  async takeDone(): Promise<string> {
    const { done, doneTaken } = this.#files;
    this.#takes += 1;
    await rename(done, doneTaken).catch((cause: unknown) => {
      // It was taken before, by an agent that was cut off then.
      if (!hasCode(cause, 'ENOENT')) throw cause;
    });
    return lastLine(doneTaken);
  }

  /** How long before now, or before the end of one that is over, the checkpoint in hand was whole. */
  async doneAgoSeconds(isOver: boolean): Promise<number> {
    const doneAtMs = await modifiedAtMs(this.#files.doneTaken);
    const untilMs = (isOver && (await modifiedAtMs(this.#files.exit))) || Date.now();
    return doneAtMs === 0 ? 0 : Math.max(0, (untilMs - doneAtMs) / 1000);
  }

  async dropDone(): Promise<void> {
    // A command may have made a folder of it.
    await rm(this.#files.doneTaken, { force: true, recursive: true });
    this.#takes = 0;
  }

  async #lookAt(source: Source, read: (path: string) => Promise<string>): Promise<void> {
    const path = this.#files[source];
    const atMs = await modifiedAtMs(path);
    if (atMs === this.#seenAtMs[source]) return;
    this.#seenAtMs[source] = atMs;
    if (atMs < this.#newestAtMs) return;
    const text = (await read(path).catch(() => '')).trim().slice(0, CHARACTERS_MAX);
    if (text === '') return;
    this.#newestAtMs = atMs;
    if (text === this.text) return;
    this.text = text;
    this.#onProgress();
  }
}

/** 0: there is no such file, or it is no plain one. */
async function modifiedAtMs(path: string): Promise<number> {
  return lstat(path).then(
    (found) => (found.isFile() ? found.mtimeMs : 0),
    () => 0,
  );
}
