/**
 * A pool of worker threads that code blocks. Blocks are independent, so a pool of n runs n times as fast as one thread
 * until memory or disk is the limit.
 */
import { Worker } from 'node:worker_threads';
import type { DecodeWork, EncodedBlock, EncodeWork, FitWork } from '../codecs/work.ts';
import { InvalidOptionError } from '../errors.ts';
import type { WorkerAnswer, WorkerRequest } from './messages.ts';
import { reviveError } from './messages.ts';
import type { BlockRunner } from './runner.ts';

/** Blocks under way for each thread: one at work, one waiting, so that no thread waits for the disk. */
const BLOCKS_PER_THREAD = 2;
const THREADS_MAX = 64;

interface Pending {
  readonly resolve: (result: EncodedBlock | Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
  /** A message to a worker that has ended goes nowhere, without a word. */
  hasEnded: boolean;
}

/**
 * A runner over `threads` worker threads, which start at once. One that dies (of memory, say) fails what it had under way
 * and is replaced when the next work comes. Close the pool, or the process stays.
 */
export class WorkerPool implements BlockRunner {
  readonly concurrency: number;
  private readonly threads: Thread[];
  private sequence = 0;
  private isClosed = false;

  /** Throws InvalidOptionError unless `threads` is a whole number in 1–64. */
  constructor(threads: number) {
    if (!Number.isInteger(threads) || threads < 1 || threads > THREADS_MAX)
      throw new InvalidOptionError('threads', `${threads} is not in 1–${THREADS_MAX}`);
    this.concurrency = threads * BLOCKS_PER_THREAD;
    this.threads = Array.from({ length: threads }, startThread);
  }

  async encode(work: EncodeWork): Promise<EncodedBlock> {
    return (await this.run({ kind: 'encode', work })) as EncodedBlock;
  }

  async decode(work: DecodeWork): Promise<Uint8Array> {
    return (await this.run({ kind: 'decode', work })) as Uint8Array;
  }

  async fit(work: FitWork): Promise<Uint8Array> {
    return (await this.run({ kind: 'fit', work })) as Uint8Array;
  }

  /** Ends the threads; what is under way fails, and so does what comes later. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all(this.threads.map(({ worker }) => worker.terminate()));
  }

  private run(request: Omit<WorkerRequest, 'id'>): Promise<EncodedBlock | Uint8Array> {
    if (this.isClosed) return Promise.reject(new Error('the codec threads were ended'));
    const thread = this.leastLoaded();
    const id = ++this.sequence;
    return new Promise((resolve, reject) => {
      thread.pending.set(id, { resolve, reject });
      thread.worker.postMessage({ ...request, id });
    });
  }

  private leastLoaded(): Thread {
    for (const [index, { hasEnded }] of this.threads.entries()) if (hasEnded) this.threads[index] = startThread();
    return this.threads.reduce((left, right) => (right.pending.size < left.pending.size ? right : left));
  }
}

function startThread(): Thread {
  // Compiled, the file beside this one is .js; run from source, it is .ts.
  const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
  const worker = new Worker(new URL(file, import.meta.url));
  const thread: Thread = { worker, pending: new Map(), hasEnded: false };
  const { pending } = thread;
  worker.on('message', ({ id, result, error }: WorkerAnswer) => {
    const waiting = pending.get(id);
    pending.delete(id);
    if (error !== undefined) waiting?.reject(reviveError(error));
    else waiting?.resolve(result!);
  });
  const failAll = (error: Error) => {
    thread.hasEnded = true;
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  };
  worker.on('error', (error) => failAll(error as Error));
  worker.on('exit', (code) => failAll(new Error(`a codec thread ended with code ${code}`)));
  return thread;
}
