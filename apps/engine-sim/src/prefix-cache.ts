/**
 * The prefix cache: blocks of tokens, each known by itself and all before it, the longest unused one forgotten first. As
 * vLLM does it (docs.vllm.ai design/prefix_caching): whole blocks only, and never the whole prompt, for the last token has
 * to be computed for the first one of the answer.
 */
import { createHash } from 'node:crypto';

export class PrefixCache {
  /** In order of use, the oldest first. */
  readonly #blocks = new Set<string>();
  queriedTokens = 0;
  hitTokens = 0;

  constructor(
    readonly blockTokens: number,
    readonly blocksMax: number,
  ) {}

  get blocks(): number {
    return this.#blocks.size;
  }

  /** How many of the prompt's tokens are here already; all of it is here afterwards, as far as there is room. */
  take(tokens: readonly string[]): number {
    const ids = this.#idsOf(tokens);
    const found = ids.findIndex((id) => !this.#blocks.has(id));
    const known = found === -1 ? ids.length : found;
    for (const id of ids) {
      this.#blocks.delete(id);
      this.#blocks.add(id);
    }
    this.#forget();
    const cached = Math.min(known * this.blockTokens, Math.max(0, tokens.length - 1));
    this.queriedTokens += tokens.length;
    this.hitTokens += cached;
    return cached;
  }

  #idsOf(tokens: readonly string[]): string[] {
    const ids: string[] = [];
    let before = '';
    for (let end = this.blockTokens; end <= tokens.length; end += this.blockTokens) {
      const block = tokens.slice(end - this.blockTokens, end);
      before = createHash('sha1').update(before).update(block.join('\u0000')).digest('base64');
      ids.push(before);
    }
    return ids;
  }

  #forget(): void {
    for (const id of this.#blocks) {
      if (this.#blocks.size <= this.blocksMax) return;
      this.#blocks.delete(id);
    }
  }
}
