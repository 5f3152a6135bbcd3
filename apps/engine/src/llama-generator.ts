// TextGenerator on llama.cpp, CPU only. Nothing is downloaded or built at run time.
// Threads default to 1: with more, llama.cpp's spin barriers wait for each other's time slices on small machines, and
// a tiny model falls from 1500 to 2 tokens a second. Larger models on larger machines get theirs by the spec.
import { EngineExit, exitModelFailed } from '#inference';
import type {
  Llama,
  LlamaChatItem,
  LlamaChatWrapper,
  LlamaContext,
  LlamaModel,
  LlamaModule,
  LlamaSequence,
} from './llama-module.ts';
import { type GenerationOptions, type PromptMessage, TextGenerator } from './text-generator.ts';

export interface LlamaGeneratorOptions {
  readonly modelPath: string;
  /** Tokens a sequence; default: the model's own, at most 4096. */
  readonly contextSize?: number;
  /** Generations at a time. */
  readonly sequencesMax: number;
  /** Default 1. */
  readonly threads?: number;
  readonly log: (level: string, message: string) => void;
}

const contextSizeDefaultMax = 4096;
/** As llama.cpp's own default; keeps the long tail of improbable tokens out at temperature 1. */
const topK = 40;
/** A character has at most four bytes, so at most four byte tokens. */
const tokensPerCharacterMax = 4;

export class LlamaGenerator extends TextGenerator {
  readonly contextSize: number;
  readonly #llama: Llama;
  readonly #model: LlamaModel;
  readonly #chat: LlamaChatWrapper;
  readonly #idle: LlamaSequence[];

  private constructor(
    llama: Llama,
    model: LlamaModel,
    context: LlamaContext,
    chat: LlamaChatWrapper,
    sequencesMax: number,
  ) {
    super();
    this.#llama = llama;
    this.#model = model;
    this.#chat = chat;
    this.contextSize = context.contextSize;
    this.#idle = Array.from({ length: sequencesMax }, () => context.getSequence());
  }

  /** Loads the model, whose digest the agent has verified. Throws `EngineExit` when llama.cpp rejects the file. */
  static async load(module: LlamaModule, options: LlamaGeneratorOptions): Promise<LlamaGenerator> {
    const threads = options.threads ?? 1;
    const llama = await module.getLlama({
      gpu: false,
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      maxThreads: threads,
      logLevel: 'warn',
      logger: options.log,
    });
    try {
      const model = await llama.loadModel({ modelPath: options.modelPath, gpuLayers: 0 });
      const contextSize = options.contextSize ?? Math.min(model.trainContextSize, contextSizeDefaultMax);
      const context = await model.createContext({ contextSize, sequences: options.sequencesMax, threads });
      return new LlamaGenerator(llama, model, context, module.resolveChatWrapper(model), options.sequencesMax);
    } catch (cause) {
      throw new EngineExit(`the model could not be loaded: ${(cause as Error).message}`, exitModelFailed, { cause });
    }
  }

  encodeChat(messages: readonly PromptMessage[]): readonly number[] {
    const chatHistory: LlamaChatItem[] = messages.map(({ role, text }) =>
      role === 'assistant' ? { type: 'model', response: [text] } : { type: role, text },
    );
    chatHistory.push({ type: 'model', response: [] });
    // The wrapper marks which parts are the template's: control tokens inside a message stay plain text.
    return this.#chat.generateContextState({ chatHistory }).contextText.tokenize(this.#model.tokenizer);
  }

  encodeText(text: string): readonly number[] {
    const tokens = this.#model.tokenize(text, false);
    const { bos, shouldPrependBosToken } = this.#model.tokens;
    return shouldPrependBosToken && bos !== null ? [bos, ...tokens] : tokens;
  }

  async *generate(prompt: readonly number[], options: GenerationOptions): AsyncIterable<string> {
    const sequence = this.#idle.pop();
    if (sequence === undefined) throw new Error('more generations at a time than sequences');
    try {
      // Keeps what the last generation shares with this prompt; at least one token has to be evaluated.
      await sequence.adaptStateToTokens(prompt.slice(0, -1), false);
      const rest = prompt.slice(sequence.nextTokenIndex);
      const before = prompt.slice(-tokensPerCharacterMax);
      let half: number[] = [];
      for await (const token of sequence.evaluate(rest, { ...options, topK, minP: 0 })) {
        half.push(token);
        const text = this.#model.detokenize(half, false, before);
        if (text.endsWith('\ufffd') && half.length < tokensPerCharacterMax) {
          yield '';
          continue;
        }
        before.push(...half);
        before.splice(0, before.length - tokensPerCharacterMax);
        half = [];
        yield text;
      }
    } finally {
      this.#idle.push(sequence);
    }
  }

  async dispose(): Promise<void> {
    await this.#llama.dispose();
  }
}
