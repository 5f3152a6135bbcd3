/**
 * The last known good routes on disk, so that a gateway that starts without NATS still serves (DESIGN §3.4).
 * Written whole under another name, then renamed; a checksum in the first line finds a torn or flipped file.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { routesViewSchema } from '#contracts';
import type { RoutesView } from '#domain';

export class RoutesFile {
  private writing: Promise<void> = Promise.resolve();

  constructor(private readonly path: string) {}

  /** Null when there is none, or it is damaged: then nothing is known, which is better than something wrong. */
  async read(): Promise<RoutesView | null> {
    let text: string;
    try {
      text = await readFile(this.path, 'utf8');
    } catch {
      return null;
    }
    const lineEnd = text.indexOf('\n');
    const body = text.slice(lineEnd + 1);
    if (lineEnd === -1 || text.slice(0, lineEnd) !== checksum(body)) return null;
    try {
      return routesViewSchema.parse(JSON.parse(body));
    } catch {
      return null; // whole, but of another release
    }
  }

  /** Writes one after the other; the newest call's view is the one that stays. */
  write(view: RoutesView): Promise<void> {
    this.writing = this.writing.catch(() => undefined).then(() => this.replace(JSON.stringify(view)));
    return this.writing;
  }

  private async replace(body: string): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    const draft = `${this.path}.draft`;
    const file = await open(draft, 'w', 0o600);
    try {
      await file.writeFile(`${checksum(body)}\n${body}`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, this.path);
  }
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}
