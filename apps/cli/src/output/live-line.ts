import type { Terminal } from '../terminal.ts';
import { plain } from './plain.ts';

const LINE_INTERVAL_MS = 5_000;
const REWRITE_INTERVAL_MS = 100;

/**
 * One line on stderr that says what is going on: rewritten in place on a screen; elsewhere a new line when `key`
 * changes, and otherwise at most every 5 seconds.
 */
export class LiveLine {
  private shownAtMs = Number.NEGATIVE_INFINITY;
  private shownKey: string | undefined;
  private isOpen = false;

  constructor(private readonly terminal: Pick<Terminal, 'err' | 'hasLiveLine' | 'columns' | 'now'>) {}

  update(text: string, key = ''): void {
    const nowMs = this.terminal.now().getTime();
    const intervalMs = this.terminal.hasLiveLine ? REWRITE_INTERVAL_MS : LINE_INTERVAL_MS;
    if (key === this.shownKey && nowMs - this.shownAtMs < intervalMs) return;
    this.shownAtMs = nowMs;
    this.shownKey = key;
    const line = plain(text).replaceAll('\n', ' ');
    if (this.terminal.hasLiveLine) {
      this.terminal.err(`\r\u001b[2K${line.slice(0, this.terminal.columns - 1)}`);
      this.isOpen = true;
    } else {
      this.terminal.err(`${line}\n`);
    }
  }

  /** Takes the line away, or leaves `last` in its place. */
  end(last?: string): void {
    if (this.isOpen) this.terminal.err('\r\u001b[2K');
    this.isOpen = false;
    if (last !== undefined) this.terminal.err(`${plain(last)}\n`);
  }
}
