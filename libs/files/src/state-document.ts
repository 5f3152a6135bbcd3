// One state document with a checksum, and where it is of use one older generation (R4).
//
// Form of a file: `atoll-state/1 <SHA-256 of the rest>\n<JSON of the value>`; gateways once wrote the bare checksum, which
// is read too. A file that is cut, flipped anywhere or not of the schema is damaged; the older generation then counts.
// None left: the document is empty, which is better than wrong.
// Invariants: `<name>.json` is never absent between two writes; a damaged file never replaces the older generation.
import { createHash, randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { z } from 'zod';
import { sweepDrafts, syncFolder, writeDraft } from './durable-file.ts';

const MAGIC = 'atoll-state/1';

export interface DocumentOptions<Schema extends z.ZodType> {
  readonly folder: string;
  /** File name without its end: `desired` makes `desired.json` and `desired.previous.json`. */
  readonly name: string;
  readonly schema: Schema;
  /** 2 keeps what was written before, for when the newest is damaged; 1 where something older is worse than nothing. */
  readonly generations: 1 | 2;
  /** Called for each generation that was there and unusable; `why` is one sentence without content. */
  readonly onDamaged: (file: string, why: string) => void;
}

type Generation<Value> =
  | { readonly found: 'value'; readonly value: Value }
  | { readonly found: 'damaged' }
  | { readonly found: 'nothing' };

export class StateDocument<Schema extends z.ZodType> {
  readonly #options: DocumentOptions<Schema>;
  readonly #path: string;
  readonly #previousPath: string;
  #mayKeepCurrent = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: DocumentOptions<Schema>) {
    this.#options = options;
    this.#path = join(options.folder, `${options.name}.json`);
    this.#previousPath = join(options.folder, `${options.name}.previous.json`);
  }

  /** The newest usable generation, or null. Call once, before the first write. */
  async read(): Promise<z.output<Schema> | null> {
    const { folder, name } = this.#options;
    await sweepDrafts(folder, `.${name}.json.`, `${name}.previous.json.`);
    const current = await this.#readGeneration(this.#path);
    this.#mayKeepCurrent = this.#options.generations === 2 && current.found === 'value';
    if (current.found === 'value') return current.value;
    if (this.#options.generations === 1) return null;
    const previous = await this.#readGeneration(this.#previousPath);
    return previous.found === 'value' ? previous.value : null;
  }

  /** Durable when resolved. Writes are applied in the order of the calls. */
  write(value: z.output<Schema>): Promise<void> {
    const text = encodeDocument(value);
    const next = this.#writing.then(() => this.#replace(text));
    this.#writing = next.catch(() => undefined);
    return next;
  }

  async #replace(text: string): Promise<void> {
    const folder = dirname(this.#path);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const draft = await writeDraft(this.#path, text);
    try {
      if (this.#mayKeepCurrent) await this.#keepCurrent();
      await rename(draft, this.#path);
    } catch (cause) {
      await rm(draft, { force: true });
      throw cause;
    }
    await syncFolder(folder);
    this.#mayKeepCurrent = this.#options.generations === 2;
  }

  /** By a link and a rename, so that both names hold a whole document at every moment. */
  async #keepCurrent(): Promise<void> {
    const spare = `${this.#previousPath}.${randomUUID()}`;
    try {
      await link(this.#path, spare);
      await rename(spare, this.#previousPath);
    } catch (cause) {
      if (!isMissing(cause)) throw cause;
    } finally {
      // rename() of two links to one file does nothing, and leaves the spare name.
      await rm(spare, { force: true });
    }
  }

  async #readGeneration(path: string): Promise<Generation<z.output<Schema>>> {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (cause) {
      if (isMissing(cause)) return { found: 'nothing' };
      this.#options.onDamaged(path, 'it cannot be read');
      return { found: 'damaged' };
    }
    const decoded = decodeDocument(text);
    const parsed = decoded === undefined ? undefined : this.#options.schema.safeParse(decoded.value);
    if (parsed?.success) return { found: 'value', value: parsed.data };
    this.#options.onDamaged(path, decoded === undefined ? 'its checksum is wrong' : 'it is not of the schema');
    return { found: 'damaged' };
  }
}

export function encodeDocument(value: unknown): string {
  const body = JSON.stringify(value);
  return `${MAGIC} ${checksum(body)}\n${body}`;
}

/** Undefined when the text is not a whole document. */
export function decodeDocument(text: string): { readonly value: unknown } | undefined {
  const end = text.indexOf('\n');
  if (end < 0) return undefined;
  const body = text.slice(end + 1);
  const sum = checksum(body);
  if (![`${MAGIC} ${sum}`, sum].includes(text.slice(0, end))) return undefined;
  try {
    return { value: JSON.parse(body) };
  } catch {
    return undefined;
  }
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}

function isMissing(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException).code === 'ENOENT';
}
