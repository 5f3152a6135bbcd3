// Lines of the command's output that begin with `atoll: progress `. The newest is kept, at most once a second.
const MARK = 'atoll: progress ';
const LINE_BYTES_MAX = 4_096;
export const PROGRESS_CHARACTERS_MAX = 500;

/** Finds the newest such line in a stream that comes in pieces. A line longer than 4 KiB is no such line. */
export class SaidProgress {
  #rest = '';
  #newest: string | undefined;

  take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    // What is too long to be one stays as a mark that its end is no line of its own.
    if (this.#rest.length > LINE_BYTES_MAX) this.#rest = `.${this.#rest.slice(-1)}`;
    for (const line of lines) {
      if (line.startsWith(MARK)) this.#newest = line.slice(MARK.length).trim().slice(0, PROGRESS_CHARACTERS_MAX);
    }
  }

  /** What was said since the last call. */
  fresh(): string | undefined {
    const newest = this.#newest;
    this.#newest = undefined;
    return newest;
  }
}
