/**
 * One value on disk that must outlive this process, and a power cut. Written whole under another name, then renamed; a
 * checksum in the first line finds a torn or flipped file.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '#inference';

export class CheckedFile<Value> {
  private writing: Promise<void> = Promise.resolve();

  /** `parse` throws for what is of another release. */
  constructor(
    private readonly path: string,
    private readonly parse: (value: unknown) => Value,
  ) {}

  /** Null when there is none, or it is damaged: then nothing is known, which is better than something wrong. */
  async read(): Promise<Value | null> {
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
      return this.parse(JSON.parse(body));
    } catch {
      return null; // whole, but of another release
    }
  }

  /** Writes one after the other; the newest call's value is the one that stays. */
  write(value: Value): Promise<void> {
    this.writing = this.writing.catch(() => undefined).then(() => this.replace(JSON.stringify(value)));
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
    await syncFolder(dirname(this.path));
  }
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}
