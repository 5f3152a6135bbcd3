import { LiveLine } from '../output/live-line.ts';
import { formatBytes, formatSeconds } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';

const RATE_WINDOW_MS = 10_000;

/** Bytes done of bytes to do, with the rate of the last ten seconds and the time still needed. */
export class Progress {
  private readonly line: LiveLine;
  private readonly marks: { atMs: number; bytes: number }[] = [];
  private doneBytes: number;

  constructor(
    private readonly terminal: Terminal,
    private readonly what: string,
    private readonly totalBytes: number,
    doneBytes = 0,
  ) {
    this.line = new LiveLine(terminal);
    this.doneBytes = doneBytes;
    this.show();
  }

  add(bytes: number): void {
    this.doneBytes += bytes;
    this.show();
  }

  /** After a cut: what really arrived. */
  reset(doneBytes: number): void {
    this.doneBytes = doneBytes;
    this.marks.length = 0;
    this.show();
  }

  note(text: string): void {
    this.line.end(text);
  }

  end(last?: string): void {
    this.line.end(last);
  }

  private show(): void {
    const nowMs = this.terminal.now().getTime();
    this.marks.push({ atMs: nowMs, bytes: this.doneBytes });
    while (this.marks.length > 2 && nowMs - this.marks[0]!.atMs > RATE_WINDOW_MS) this.marks.shift();
    this.line.update(renderProgress(this.what, this.doneBytes, this.totalBytes, this.bytesPerSecond(nowMs)));
  }

  private bytesPerSecond(nowMs: number): number | null {
    const first = this.marks[0]!;
    const elapsedMs = nowMs - first.atMs;
    return elapsedMs < 200 ? null : ((this.doneBytes - first.bytes) / elapsedMs) * 1000;
  }
}

/** `uploading  42 %  2.10 GB of 5.00 GB  110 MB/s  26 s left`; rate and time only when the rate is known. */
export function renderProgress(
  what: string,
  doneBytes: number,
  totalBytes: number,
  bytesPerSecond: number | null,
): string {
  const percent = totalBytes === 0 ? 100 : Math.floor((100 * Math.min(doneBytes, totalBytes)) / totalBytes);
  const parts = [what, `${String(percent).padStart(3)} %`, `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`];
  if (bytesPerSecond !== null) {
    parts.push(`${formatBytes(bytesPerSecond)}/s`);
    const leftBytes = Math.max(0, totalBytes - doneBytes);
    if (bytesPerSecond > 0 && leftBytes > 0) parts.push(`${formatSeconds(Math.ceil(leftBytes / bytesPerSecond))} left`);
  }
  return parts.join('  ');
}
