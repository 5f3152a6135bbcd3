// The log of a task: parts of at most 10 MiB, named by the byte they begin with, of which the newest two stay. Written
// synchronously: the command waits for the disk, and nothing is lost when the runner is killed.
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { LOG_PART_BYTES_MAX, logPartName, logPartStart } from './runner-contract.ts';

const PARTS_KEPT = 2;

export class RotatingLog {
  readonly #folder: string;
  readonly #partBytesMax: number;
  #start: number;
  #bytes: number;
  #file: number;

  constructor(folder: string, partBytesMax = LOG_PART_BYTES_MAX) {
    this.#folder = folder;
    this.#partBytesMax = partBytesMax;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#start = this.#starts().at(-1) ?? 0;
    this.#file = openPart(this.#path(this.#start));
    this.#bytes = statSync(this.#path(this.#start)).size;
  }

  /** What a full disk does not take is dropped: a command must not die of its own words. */
  write(chunk: Uint8Array): void {
    for (let from = 0; from < chunk.length; ) {
      if (this.#bytes >= this.#partBytesMax && !this.#rotate()) return;
      const piece = chunk.subarray(from, from + this.#partBytesMax - this.#bytes);
      const written = tryWrite(this.#file, piece);
      if (written === 0) return;
      this.#bytes += written;
      from += written;
    }
  }

  close(): void {
    closeSync(this.#file);
  }

  /** False when the disk has no room for another part: the next words ask again. */
  #rotate(): boolean {
    const start = this.#start + this.#bytes;
    const file = tryOpen(this.#path(start));
    if (file === null) return false;
    closeSync(this.#file);
    [this.#start, this.#bytes, this.#file] = [start, 0, file];
    for (const start of this.#starts().slice(0, -PARTS_KEPT)) rmSync(this.#path(start), { force: true });
    return true;
  }

  #starts(): number[] {
    return readdirSync(this.#folder)
      .map(logPartStart)
      .filter((start) => start !== null)
      .sort((left, right) => left - right);
  }

  #path(start: number): string {
    return join(this.#folder, logPartName(start));
  }
}

function openPart(path: string): number {
  return openSync(path, 'a', 0o600);
}

function tryOpen(path: string): number | null {
  try {
    return openPart(path);
  } catch {
    return null;
  }
}

function tryWrite(file: number, bytes: Uint8Array): number {
  try {
    return writeSync(file, bytes);
  } catch {
    return 0;
  }
}
