// Sends the files of a version. The server knows how much of each it has: after a cut it is asked, and the rest is sent
// from there. Tries that move nothing are bounded; any progress earns new ones.
import { createReadStream } from 'node:fs';
import { ReadableStream } from 'node:stream/web';
import { setTimeout as delay } from 'node:timers/promises';
import { type AdminClient, ProblemError, type VersionDto } from '#contracts';
import { FailedError } from '../errors.ts';
import type { HashedFile } from './files.ts';

export interface UploadPace {
  /** Tries in a row that move nothing until it gives up. Default 8. */
  readonly triesMax: number;
  /** Before the second try; doubles up to `delayMsMax`. Default 500. */
  readonly delayMsMin: number;
  /** Default 15,000. */
  readonly delayMsMax: number;
  /** No byte taken for so long: cut and try again. Default 60,000. */
  readonly stallMs: number;
}

export const defaultPace: UploadPace = { triesMax: 8, delayMsMin: 500, delayMsMax: 15_000, stallMs: 60_000 };

export interface UploadEvents {
  onBytes(bytes: number): void;
  /** After a cut, before the next try: bytes of the whole version that have arrived. */
  onResumed(receivedBytes: number): void;
  onTrouble(reason: string, delayMs: number): void;
}

interface Upload {
  readonly client: AdminClient;
  readonly version: VersionDto;
  readonly events: UploadEvents;
  readonly signal: AbortSignal;
  readonly pace: UploadPace;
}

/** Resolves when every file is complete. Throws ProblemError as the API said it, or FailedError after the last try. */
export async function uploadFiles(files: readonly HashedFile[], upload: Upload): Promise<void> {
  for (const file of files) await uploadOne(file, upload);
}

export function receivedBytesOf(version: VersionDto): number {
  return version.files.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
}

async function uploadOne(file: HashedFile, upload: Upload): Promise<void> {
  const { client, events, signal, pace } = upload;
  let known = entryOf(upload.version, file);
  let tries = 0;
  while (known.digest === null) {
    const before = known.receivedBytes;
    const trouble = await send(file, before, upload);
    if (trouble === undefined) return;
    signal.throwIfAborted();
    if (!mayPass(trouble)) throw trouble;
    // How much arrived is asked even after the last try: it says whether there is progress.
    const version = await ask(client, upload.version);
    if (version !== undefined) {
      known = entryOf(version, file);
      events.onResumed(receivedBytesOf(version));
    }
    tries = known.receivedBytes > before ? 0 : tries + 1;
    if (tries >= pace.triesMax) {
      throw new FailedError(`${file.path}: ${tries} tries moved nothing. The last: ${reasonOf(trouble)}`);
    }
    const delayMs = Math.min(pace.delayMsMin * 2 ** tries, pace.delayMsMax);
    events.onTrouble(reasonOf(trouble), delayMs);
    await delay(delayMs, undefined, { signal });
  }
}

/** One try. Undefined when the file is complete, else what stood in the way. */
async function send(file: HashedFile, offset: number, { client, version, events, signal, pace }: Upload) {
  const stall = new AbortController();
  const timer = setTimeout(() => stall.abort(), pace.stallMs);
  const onPiece = (bytes: number) => {
    timer.refresh();
    events.onBytes(bytes);
  };
  try {
    const sent = await client.uploadFile(version.model, version.number, {
      path: file.path,
      offset,
      content: file.sizeBytes === offset ? new Uint8Array() : ReadableStream.from(pieces(file, offset, onPiece)),
      signal: AbortSignal.any([signal, stall.signal]),
    });
    if (sent.digest !== null) return undefined;
    return new FailedError(`${sent.receivedBytes} of ${sent.sizeBytes} bytes arrived; did ${file.source} shrink?`);
  } catch (error) {
    return stall.signal.aborted ? new FailedError(`nothing moved for ${pace.stallMs / 1000} s`) : (error as Error);
  } finally {
    clearTimeout(timer);
  }
}

async function* pieces(file: HashedFile, offset: number, onPiece: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  // `end` keeps a file that has grown since it was hashed from sending more than was announced.
  const range = { start: offset, end: file.sizeBytes - 1, highWaterMark: 256 * 1024 };
  for await (const piece of createReadStream(file.source, range)) {
    yield piece as Buffer;
    onPiece((piece as Buffer).length);
  }
}

async function ask(client: AdminClient, { model, number }: VersionDto): Promise<VersionDto | undefined> {
  try {
    return await client.version(model, number);
  } catch (error) {
    if (mayPass(error as Error)) return undefined;
    throw error;
  }
}

/** Cut, overloaded, restarting, or at another offset than we thought: worth another try. A refusal is not. */
function mayPass(trouble: Error): boolean {
  if (!(trouble instanceof ProblemError)) return trouble instanceof FailedError;
  const status = trouble.problem?.status;
  return status === undefined || status >= 500 || [408, 409, 429].includes(status);
}

function reasonOf(trouble: Error): string {
  return trouble.message.replaceAll('\n', ' ');
}

function entryOf(version: VersionDto, { path }: HashedFile) {
  const entry = version.files.find((file) => file.path === path);
  if (!entry) throw new FailedError(`version ${version.number} of ${version.model} has no file ${path}`);
  return entry;
}
