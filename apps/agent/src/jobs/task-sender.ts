// What a task sends to the registry, one thing at a time: a checkpoint, or at the end its output. A newer checkpoint takes
// the place of one that is on its way. What passes is tried again until it is aborted; what will not pass is said.
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { retryDelayMs, type TaskCheckpoint } from '#domain';
import { ContentRefusedError, messageOf, UploadError } from '../errors.ts';
import type { UploadOptions } from './blob-upload.ts';
import type { HashedContent } from './folder-content.ts';
import type { attemptFolders } from './task-folder.ts';
import { forgetAside, newestAside, type SavedNote, sendCheckpoint, sendFolder, setAside } from './task-saving.ts';
import type { TaskServices } from './task-services.ts';

const TRIES_MAX = 8;

export type Sent =
  | { readonly sent: 'content'; readonly digest: string; readonly files: number }
  | { readonly sent: 'nothing'; readonly reason: string };

export interface TaskSenderOptions
  extends Pick<TaskServices, 'blobSource' | 'stallTimeoutMs' | 'uptime' | 'onChange' | 'metrics'> {
  readonly attemptId: string;
  readonly log: Logger;
}

export class TaskSender {
  /** Why the newest checkpoint is not in the registry and will not be; undefined while all is well. */
  fault: string | undefined;
  /** Once the output was sent, or will not be. */
  output: Sent | undefined;
  readonly #folders: ReturnType<typeof attemptFolders>;
  readonly #options: TaskSenderOptions;
  #abort: AbortController | undefined;
  #work: Promise<void> = Promise.resolve();
  #movedAtSeconds: number;

  constructor(folders: ReturnType<typeof attemptFolders>, options: TaskSenderOptions) {
    this.#folders = folders;
    this.#options = options;
    this.#movedAtSeconds = options.uptime();
  }

  get isBusy(): boolean {
    return this.#abort !== undefined;
  }

  /** Since the last byte. */
  idleSeconds(nowSeconds: number): number {
    return nowSeconds - this.#movedAtSeconds;
  }

  /** False when it cannot be kept as it is: `fault` says why. */
  async setAside(note: Omit<SavedNote, 'atMs'>): Promise<boolean> {
    const { checkpoint, saved } = this.#folders;
    try {
      await setAside(checkpoint, saved, { ...note, atMs: Date.now() });
      return true;
    } catch (cause) {
      this.fault = `its checkpoint ${note.sequence} cannot be kept: ${messageOf(cause)}`;
      this.#options.log.warn({ sequence: note.sequence, reason: messageOf(cause) }, 'checkpoint not kept');
      return false;
    }
  }

  /** Whether something newer than checkpoint `sequence` waits to be sent. */
  async hasAside(sequence: number): Promise<boolean> {
    return ((await newestAside(this.#folders.saved))?.sequence ?? 0) > sequence;
  }

  /** The newest that is set aside. `onSent` may reject: then it is sent again, which costs little. */
  sendCheckpoint(onSent: (checkpoint: TaskCheckpoint) => Promise<void>): void {
    const { saved } = this.#folders;
    this.#begin(async (options) => {
      const note = await newestAside(saved);
      if (note === null) return;
      const tell = async () => {
        const checkpoint = await sendCheckpoint(saved, note, options);
        await onSent(checkpoint);
        this.#options.metrics.checkpointSaved(checkpoint.sizeBytes);
      };
      const fault = await whyNot(tell, options.signal);
      this.fault = fault === null ? undefined : `its checkpoint ${note.sequence} is not saved: ${fault}`;
      if (fault !== null) this.#options.log.warn({ sequence: note.sequence, reason: fault }, 'checkpoint not saved');
      await forgetAside(saved, note.sequence);
    });
  }

  sendOutput(): void {
    this.#begin(async (options) => {
      const send = async () => {
        this.output = sentOf(await sendFolder(this.#folders.output, options));
      };
      const fault = await whyNot(send, options.signal).catch(() => 'it took too long');
      if (fault !== null) this.output = { sent: 'nothing', reason: fault };
    });
  }

  /** What is on its way is given up; a checkpoint that is set aside stays there. */
  abort(): void {
    this.#abort?.abort();
  }

  /** Resolves when nothing is on its way. */
  async idle(): Promise<void> {
    await this.#work;
  }

  #begin(work: (options: UploadOptions) => Promise<void>): void {
    this.#abort?.abort();
    const abort = new AbortController();
    const before = this.#work;
    const { attemptId, blobSource, stallTimeoutMs, uptime, onChange } = this.#options;
    this.#abort = abort;
    this.#movedAtSeconds = uptime();
    const onBytes = () => {
      this.#movedAtSeconds = uptime();
    };
    const options = {
      attemptId,
      source: blobSource,
      stallTimeoutMs,
      signal: abort.signal,
      mayGiveUp: () => false,
      onBytes,
    };
    this.#work = before
      .then(() => work(options))
      .catch(() => undefined)
      .finally(() => {
        if (this.#abort === abort) this.#abort = undefined;
        onChange();
      });
  }
}

/** Null once it is done. What this machine's disk did not do is tried again. Rejects with the signal's reason. */
async function whyNot(work: () => Promise<void>, signal: AbortSignal): Promise<string | null> {
  for (let failures = 1; ; failures += 1) {
    try {
      await work();
      return null;
    } catch (cause) {
      signal.throwIfAborted();
      const isFinal = cause instanceof ContentRefusedError || cause instanceof UploadError;
      if (isFinal || failures >= TRIES_MAX) return messageOf(cause);
      await delay(retryDelayMs(failures), undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

function sentOf({ files, manifestDigest }: HashedContent): Sent {
  return { sent: 'content', digest: manifestDigest, files: files.length };
}
