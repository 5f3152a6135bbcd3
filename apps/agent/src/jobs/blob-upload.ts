// Blobs of jobs to the registry: what is there already is not sent, what was cut goes on where it was cut.
//
// A blob goes in parts that begin small and double with each that arrived: a registry that says early that it has a part
// already is heard then, and not lost in a connection that it closes under a large body. Deadlines are by progress.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { z } from 'zod';
import { retryDelayMs } from '#domain';
import { messageOf, UploadError } from '../errors.ts';
import type { BlobSource } from '../sync/blob-download.ts';
import type { HashedContent } from './folder-content.ts';

const PART_BYTES_MIN = 65_536;
const PART_BYTES_MAX = 67_108_864;
/** Others wait for the room of what is being sent. */
const RETRY_MS_MAX = 10_000;
const ANSWER_BYTES_MAX = 65_536;
/** A registry that keeps saying that it has other bytes than it has. */
const TURNS_WITHOUT_PROGRESS_MAX = 8;

const receivedSchema = z.object({ receivedBytes: z.int().min(0) });

export interface Upload {
  readonly digest: string;
  readonly sizeBytes: number;
  /** A file, or the bytes. */
  readonly content: string | Buffer;
}

export interface UploadOptions {
  readonly attemptId: string;
  /** A source whose token is fresh enough; `isRefused` asks for a new one. */
  readonly source: (isRefused: boolean) => Promise<BlobSource>;
  readonly stallTimeoutMs: number;
  readonly signal: AbortSignal;
  /** Asked after each failure that may pass; true ends it. */
  readonly mayGiveUp: () => boolean;
  readonly onBytes?: (bytes: number) => void;
}

/** Every file, and the manifest last: who finds that can fetch all. @throws UploadError; the signal's reason */
export async function uploadContent(
  { files, manifest, manifestDigest }: HashedContent,
  options: UploadOptions,
): Promise<void> {
  const blobs = new Map(files.map(({ digest, sizeBytes, from }) => [digest, { digest, sizeBytes, content: from }]));
  for (const blob of blobs.values()) await uploadPersistently(blob, options);
  await uploadPersistently({ digest: manifestDigest, sizeBytes: manifest.length, content: manifest }, options);
}

async function uploadPersistently(blob: Upload, options: UploadOptions): Promise<void> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await uploadBlob(blob, options);
    } catch (cause) {
      options.signal.throwIfAborted();
      const isPassing = cause instanceof UploadError && cause.fault === 'unreachable';
      if (!isPassing || options.mayGiveUp()) throw cause;
      const waitMs = Math.min(RETRY_MS_MAX, retryDelayMs(failures));
      await delay(waitMs, undefined, { signal: options.signal }).catch(() => options.signal.throwIfAborted());
    }
  }
}

/** One try. @throws UploadError */
export async function uploadBlob(blob: Upload, options: UploadOptions): Promise<void> {
  await checkUnchanged(blob);
  if ((await send('HEAD', blob, 0, 0, options)).status === 200) return;
  let [offset, partBytes, idle] = [0, PART_BYTES_MIN, 0];
  do {
    const end = Math.min(blob.sizeBytes, offset + partBytes);
    const answer = await send('PUT', blob, offset, end, options);
    const received = receivedOf(answer, end);
    idle = received > offset ? 0 : idle + 1;
    if (idle > TURNS_WITHOUT_PROGRESS_MAX) throw new UploadError('unreachable', 'The registry takes no more of it.');
    if (received > offset) options.onBytes?.(received - offset);
    partBytes = answer.status === 409 ? PART_BYTES_MIN : Math.min(PART_BYTES_MAX, partBytes * 2);
    offset = Math.min(received, blob.sizeBytes);
    if (blob.sizeBytes === 0) return;
  } while (offset < blob.sizeBytes);
}

/** A file that was cut since would be an endless upload. */
async function checkUnchanged({ content, sizeBytes }: Upload): Promise<void> {
  if (typeof content !== 'string') return;
  const size = await stat(content).then(
    (found) => found.size,
    () => null,
  );
  if (size !== sizeBytes) throw new UploadError('changed', 'A file was changed or removed after it was hashed.');
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** How far the registry is, as it says. @throws UploadError */
function receivedOf({ status, text }: Answer, end: number): number {
  const said = receivedSchema.safeParse(parseJson(text)).data;
  if (status >= 200 && status < 300) return said?.receivedBytes ?? end;
  if (status === 409 && said !== undefined) return said.receivedBytes;
  const words = `The registry answered ${status} to an upload${text === '' ? '' : `: ${text.slice(0, 200)}`}.`;
  if (status === 422) throw new UploadError('changed', words);
  const isPassing = status === 409 || status === 401 || status === 408 || status === 429 || status >= 500;
  throw new UploadError(isPassing ? 'unreachable' : 'refused', words);
}

/** A token that is refused is renewed once. */
async function send(
  method: 'HEAD' | 'PUT',
  blob: Upload,
  from: number,
  end: number,
  options: UploadOptions,
): Promise<Answer> {
  const first = await sendOnce(method, blob, from, end, options, false);
  return first.status === 401 ? sendOnce(method, blob, from, end, options, true) : first;
}

async function sendOnce(
  method: 'HEAD' | 'PUT',
  blob: Upload,
  from: number,
  end: number,
  { attemptId, source, stallTimeoutMs, signal }: UploadOptions,
  isRefused: boolean,
): Promise<Answer> {
  const { digest, sizeBytes } = blob;
  try {
    const { url, token } = await source(isRefused);
    const query = new URLSearchParams({ attempt: attemptId, size: String(sizeBytes) });
    const { statusCode, body } = await request(`${url.replace(/\/+$/, '')}/${digest}?${query}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(method === 'PUT' ? partHeaders(from, end, sizeBytes) : {}),
      },
      body: method === 'PUT' ? part(blob, from, end) : null,
      headersTimeout: stallTimeoutMs,
      bodyTimeout: stallTimeoutMs,
      signal,
    });
    const text = await body.text();
    return { status: statusCode, text: text.slice(0, ANSWER_BYTES_MAX) };
  } catch (cause) {
    signal.throwIfAborted();
    throw new UploadError('unreachable', `The registry cannot be reached (${messageOf(cause)}).`, cause);
  }
}

function partHeaders(from: number, end: number, sizeBytes: number): Record<string, string> {
  const headers = { 'content-type': 'application/octet-stream', 'content-length': String(end - from) };
  return end > from ? { ...headers, 'content-range': `bytes ${from}-${end - 1}/${sizeBytes}` } : headers;
}

function part({ content }: Upload, from: number, end: number) {
  if (typeof content !== 'string') return content.subarray(from, end);
  return end > from ? createReadStream(content, { start: from, end: end - 1 }) : Buffer.alloc(0);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
