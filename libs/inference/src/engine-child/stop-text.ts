// Stop strings over text that comes in pieces: what might be the beginning of a stop string is held back until it is
// decided, so that no part of one ever reaches the client.

export interface StopTextStep {
  /** What may be shown now; may be empty. */
  readonly text: string;
  /** A stop string came: nothing after `text` is to be shown. */
  readonly isStopped: boolean;
}

export class StopText {
  #held = '';

  constructor(private readonly stops: readonly string[]) {}

  push(piece: string): StopTextStep {
    if (this.stops.length === 0) return { text: piece, isStopped: false };
    const text = this.#held + piece;
    const found = this.stops.map((stop) => text.indexOf(stop)).filter((index) => index !== -1);
    if (found.length > 0) return { text: text.slice(0, Math.min(...found)), isStopped: true };
    const heldLength = Math.max(...this.stops.map((stop) => overlap(text, stop)));
    this.#held = heldLength === 0 ? '' : text.slice(-heldLength);
    return { text: text.slice(0, text.length - heldLength), isStopped: false };
  }

  /** The end came undecided: what was held back was text after all. */
  flush(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }
}

/** Length of the longest end of `text` that is a beginning of `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length -= 1) {
    if (stop.startsWith(text.slice(-length))) return length;
  }
  return 0;
}
