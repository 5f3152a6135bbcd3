import {
  type DecodeWork,
  decodeBlock,
  type EncodedBlock,
  type EncodeWork,
  encodeBlock,
  type FitWork,
  fitModel,
} from '../codecs/work.ts';

/** Where blocks are coded. */
export interface BlockRunner {
  /** Blocks worth having under way at once; memory grows with it. */
  readonly concurrency: number;
  encode(work: EncodeWork): Promise<EncodedBlock>;
  decode(work: DecodeWork): Promise<Uint8Array>;
  fit(work: FitWork): Promise<Uint8Array>;
}

/** On the caller's own thread, one block after another. */
export const inlineRunner: BlockRunner = {
  concurrency: 1,
  encode: async (work) => encodeBlock(work),
  decode: async (work) => decodeBlock(work),
  fit: async (work) => fitModel(work),
};

/**
 * Runs `start` for up to `concurrency` items at once and hands the results to `finish` in the items' order.
 * The first failure ends it, after what is under way has settled.
 */
export async function inOrder<Item, Result>(
  items: AsyncIterable<Item> | Iterable<Item>,
  concurrency: number,
  start: (item: Item) => Promise<Result>,
  finish: (result: Result, item: Item) => Promise<void>,
): Promise<void> {
  const underWay: { item: Item; result: Promise<Result> }[] = [];
  const finishFirst = async () => {
    const { item, result } = underWay.shift()!;
    await finish(await result, item);
  };
  try {
    for await (const item of items) {
      const result = start(item);
      result.catch(() => undefined); // reported where it is awaited, in order
      underWay.push({ item, result });
      if (underWay.length >= concurrency) await finishFirst();
    }
    while (underWay.length > 0) await finishFirst();
  } finally {
    await Promise.allSettled(underWay.map(({ result }) => result));
  }
}
