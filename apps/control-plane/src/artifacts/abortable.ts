import type { BlockRunner } from '#modelsync';

/**
 * Lets go of the work under way, and takes no more, as soon as `signal` aborts: with the signal's reason. Nor does it take
 * more once work failed: a thread that ended would never answer.
 */
export function abortable(runner: BlockRunner, signal: AbortSignal): BlockRunner {
  let broken: { readonly error: unknown } | null = null;
  const bound = <Result>(work: Promise<Result>): Promise<Result> =>
    new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      if (signal.aborted) onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      const onFailure = (error: unknown) => {
        broken ??= { error };
        reject(error);
      };
      work.then(resolve, onFailure).finally(() => signal.removeEventListener('abort', onAbort));
    });
  const start = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    signal.throwIfAborted();
    if (broken !== null) throw broken.error;
    return bound(work());
  };
  return {
    concurrency: runner.concurrency,
    encode: (work) => start(() => runner.encode(work)),
    decode: (work) => start(() => runner.decode(work)),
    fit: (work) => start(() => runner.fit(work)),
  };
}
