/**
 * A prompt's text → chained hashes of blocks of about 1 KiB, by which prompts with the same beginning are told.
 *
 * The hash of a block goes on from the state after the block before, so it stands for the whole text up to its end. Two
 * lanes of 32 bits, mixed into 53 (safe whole numbers): by chance two of a million prompts' beginnings collide once in
 * ten thousand such millions. No defence against who makes collisions on purpose: all that they get is a request that
 * goes to a replica where its beginning is not cached.
 *
 * Tokens are estimated, because only the engine has the tokenizer: 4 bytes of UTF-8 each. Of a prompt that is a list of
 * tokens each counts for one or a little more.
 */
const { imul } = Math;
const BLOCK_BYTES = 1_024;
const BYTES_A_TOKEN = 4;
export const PROMPT_BLOCK_TOKENS = BLOCK_BYTES / BYTES_A_TOKEN;
/** Half a megabyte of text; what comes after is taken not to be cached anywhere. */
const BLOCKS_MAX = 512;

export interface PromptBlocks {
  /** Chained hashes of whole blocks from the beginning, at most 512; an end shorter than a block has none. */
  readonly blocks: readonly number[];
  /** Estimated, of the whole prompt. */
  readonly promptTokens: number;
}

/**
 * `pieces`: the prompt's texts in their order. Where one ends and the next begins counts, so `['ab']` and `['a', 'b']`
 * are two prompts.
 */
export function promptBlocks(pieces: Iterable<string>): PromptBlocks {
  const hasher = new BlockHasher();
  let bytes = 0;
  for (const piece of pieces) bytes += hasher.add(piece);
  return { blocks: hasher.blocks, promptTokens: Math.ceil(bytes / BYTES_A_TOKEN) };
}

/** The fields of a parsed request body in which a prompt stands; they may hold anything, a stranger sent them. */
export interface PromptFields {
  /** Part of the beginning, because engines keep what is cached apart by model and adapter. */
  readonly model?: unknown;
  readonly tools?: unknown;
  readonly messages?: unknown;
  readonly prompt?: unknown;
}

/** In the order in which chat templates put them: tools, then messages or the prompt. */
export function* promptPieces({ model, tools, messages, prompt }: PromptFields): Generator<string> {
  if (typeof model === 'string') yield model;
  if (tools !== undefined && tools !== null) yield JSON.stringify(tools);
  if (Array.isArray(messages)) {
    for (const each of messages) yield* typeof each === 'string' ? [each] : messagePieces(each ?? {});
  } else {
    for (const each of Array.isArray(prompt) ? prompt.flat() : [prompt]) {
      if (typeof each === 'string') yield each;
      else if (typeof each === 'number') yield String(each).padStart(BYTES_A_TOKEN);
    }
  }
}

function* messagePieces(message: object): Generator<string> {
  const { role, content, ...rest } = message as Readonly<Record<string, unknown>>;
  if (typeof role === 'string') yield role;
  if (typeof content === 'string') yield content;
  else if (Array.isArray(content)) yield* content.map(partPiece);
  else if (content !== undefined && content !== null) yield JSON.stringify(content);
  for (const key in rest) yield JSON.stringify([key, rest[key]]);
}

/** Pictures and sound stand in a body as base64, of which an engine makes few tokens: they count by a digest of them. */
function partPiece(part: unknown): string {
  const text = (part as { readonly text?: unknown } | null)?.text;
  if (typeof text === 'string') return text;
  const hasher = new BlockHasher();
  hasher.add(JSON.stringify(part));
  return hasher.digest();
}

/** FNV-1a in one lane, a rotating multiply in the other; murmur3's finalizer on what is given out. */
class BlockHasher {
  readonly blocks: number[] = [];
  private left = 0x811c9dc5 | 0;
  private right = 0x9747b28c | 0;
  private blockBytes = 0;

  /** Bytes of UTF-8 that the text is. */
  add(text: string): number {
    let bytes = 0;
    for (let index = 0; index < text.length; index += 1) {
      const unit = text.charCodeAt(index);
      // A surrogate is half of a character of four bytes.
      const size = unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
      bytes += size;
      this.mix(unit, size);
    }
    this.mix(0x1_0000, 0);
    return bytes;
  }

  /** Of all until here. */
  digest(): string {
    return `${finalized(this.left) >>> 0}-${finalized(this.right) >>> 0}`;
  }

  private mix(unit: number, bytes: number): void {
    if (this.blocks.length === BLOCKS_MAX) return;
    this.left = imul(this.left ^ unit, 0x01000193);
    this.right = imul(((this.right << 13) | (this.right >>> 19)) ^ unit, 0x85ebca6b);
    this.blockBytes += bytes;
    if (this.blockBytes < BLOCK_BYTES) return;
    this.blockBytes -= BLOCK_BYTES;
    this.blocks.push((finalized(this.left ^ this.right) & 0x1f_ffff) * 2 ** 32 + (finalized(this.right) >>> 0));
  }
}

function finalized(hash: number): number {
  let mixed = imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
