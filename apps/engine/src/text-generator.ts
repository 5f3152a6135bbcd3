// The port between the HTTP surface and a model that writes text.

export interface PromptMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly text: string;
}

export interface GenerationOptions {
  /** 0 picks the likeliest token; 1 samples from the model's own distribution. */
  readonly temperature: number;
  /** In (0, 1]; 1 leaves all tokens in. */
  readonly topP: number;
  /** The same seed, prompt and options give the same text. */
  readonly seed: number;
}

/** At most `sequencesMax` generations run at a time; its user keeps to that. */
export abstract class TextGenerator {
  /** Tokens that prompt and answer share. */
  abstract readonly contextSize: number;
  /** The model's own chat template, up to where the assistant starts to speak. */
  abstract encodeChat(messages: readonly PromptMessage[]): readonly number[];
  abstract encodeText(text: string): readonly number[];
  /**
   * One item a token, as it is made: its text, empty while a character is incomplete. Ends when the model ends; the
   * consumer stops earlier by leaving the loop. The prompt must be shorter than the context.
   */
  abstract generate(prompt: readonly number[], options: GenerationOptions): AsyncIterable<string>;
  abstract dispose(): Promise<void>;
}
