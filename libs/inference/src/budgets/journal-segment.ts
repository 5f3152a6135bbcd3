// One file of the usage journal: lines that are only appended, each with a checksum of its own, written in batches that are
// on disk when their promise resolves.
//
// Form of a line: `<CRC-32 in 8 hex digits> <JSON>\n`. What is no such line (torn by a crash or a full disk, flipped) is
// skipped. After a failed write the next one begins with a line break, so that only what was torn is lost.
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { z } from 'zod';

const subjectShape = {
  tenantId: z.string(),
  keyPublicId: z.string(),
  deploymentId: z.string(),
  servedModel: z.string(),
  versionDigest: z.string(),
  leaseIds: z.array(z.string()),
};
const tokens = z.int().min(0);

export const journalRecordSchema = z.discriminatedUnion('kind', [
  /** `promptTokens`: estimated; with `reservedTokens` what it is settled at when no end is found. */
  z.object({ kind: z.literal('begin'), id: z.string(), ...subjectShape, promptTokens: tokens, reservedTokens: tokens }),
  z.object({
    kind: z.literal('end'),
    id: z.string(),
    ...subjectShape,
    promptTokens: tokens,
    completionTokens: tokens,
    isEstimated: z.boolean(),
    /** Of several that were summed before they came here; default 1. */
    requests: tokens.optional(),
    /** Of them; default: as `isEstimated` says of one. */
    estimatedRequests: tokens.optional(),
  }),
  /** Nothing came of it. */
  z.object({ kind: z.literal('nothing'), id: z.string() }),
]);
export type JournalRecord = z.infer<typeof journalRecordSchema>;
export type BeginRecord = Extract<JournalRecord, { kind: 'begin' }>;
export type EndRecord = Extract<JournalRecord, { kind: 'end' }>;

export function encodeRecord(record: JournalRecord): string {
  const body = JSON.stringify(record);
  return `${checksum(body)} ${body}\n`;
}

/** The whole records of a text, and how many lines were none. */
export function decodeRecords(text: string): { readonly records: JournalRecord[]; readonly damaged: number } {
  const records: JournalRecord[] = [];
  let damaged = 0;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const record = decodeRecord(line);
    if (record === undefined) damaged += 1;
    else records.push(record);
  }
  return { records, damaged };
}

function decodeRecord(line: string): JournalRecord | undefined {
  const body = line.slice(9);
  if (line[8] !== ' ' || line.slice(0, 8) !== checksum(body)) return undefined;
  try {
    return journalRecordSchema.safeParse(JSON.parse(body)).data;
  } catch {
    return undefined;
  }
}

function checksum(body: string): string {
  return crc32(body).toString(16).padStart(8, '0');
}

export async function readSegment(path: string): Promise<ReturnType<typeof decodeRecords>> {
  return decodeRecords(await readFile(path, 'utf8'));
}

export type SegmentHandle = Pick<FileHandle, 'appendFile' | 'datasync' | 'close'>;

/** Appends to one file. What could not be written is kept and written with the next batch. */
export class SegmentWriter {
  readonly #handle: SegmentHandle;
  #waiting: string[] = [];
  #isTorn = false;
  #writing: Promise<void> | undefined;
  bytes = 0;

  constructor(handle: SegmentHandle) {
    this.#handle = handle;
  }

  /** @throws when there is a file already, or none can be made */
  static async create(path: string): Promise<SegmentWriter> {
    return new SegmentWriter(await open(path, 'ax', 0o600));
  }

  /** Lines that are not on disk yet. */
  get pending(): number {
    return this.#waiting.length;
  }

  add(record: JournalRecord): void {
    this.#waiting.push(encodeRecord(record));
  }

  /** Resolves when all that was added before is on disk; one batch at a time, whoever waits for it. */
  async flush(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    if (this.#waiting.length === 0) return this.#writing;
    // Who comes while a batch is written shares the next one.
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #write(): Promise<void> {
    const batch = this.#waiting;
    this.#waiting = [];
    const text = (this.#isTorn ? '\n' : '') + batch.join('');
    try {
      await this.#handle.appendFile(text);
      await this.#handle.datasync();
    } catch (cause) {
      this.#isTorn = true;
      this.#waiting = [...batch, ...this.#waiting];
      throw cause;
    }
    this.#isTorn = false;
    this.bytes += Buffer.byteLength(text);
  }
}
