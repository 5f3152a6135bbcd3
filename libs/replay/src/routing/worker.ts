/**
 * A worker that requests are routed to: one engine that computes prompts one after the other, in the order in which they
 * came, and gives all answers that are under way a token a step in between.
 *
 * A prompt's time is that of its uncached part (`promptMsOf`); what is computed is cached, up to `cacheBlocks`, the longest
 * unused dropped. A prompt is begun while fewer than `slots` requests are under way. While a prompt is computed the answers
 * wait, as in engines that put prompts first. Steps take the same time however many answers are under way.
 */
import { PrefixIndex } from '#routing';
import { promptMsOf, STEP_MS } from '../requests/service-model.ts';
import { Timeline } from '../timeline.ts';
import { TRACED_BLOCK_TOKENS } from '../traces/prompt-trace.ts';
import type { ReplayPrompt } from './workload.ts';

export interface WorkerShape {
  /** Requests under way at once. Default 32, the batch that `STEP_MS` was measured at. */
  readonly slots: number;
  /**
   * Blocks of 512 tokens. Default 2,600: what 8 × 80 GB hold beside a Llama-2-70B, of which each token takes 0.33 MB.
   */
  readonly cacheBlocks: number;
}

export const DEFAULT_WORKER: WorkerShape = { slots: 32, cacheBlocks: 2_600 };

export type WorkerEvent = 'first-token' | 'finished';

const CACHE = 'cache';

export class Worker {
  /** Milliseconds spent on prompts, tokens asked for, and tokens of them that were cached. */
  workMs = 0;
  promptTokens = 0;
  cachedTokens = 0;

  private readonly cache: PrefixIndex;
  private readonly waiting: ReplayPrompt[] = [];
  /** By the answers' own clock, which stands while a prompt is computed. */
  private readonly answers = new Timeline<ReplayPrompt>();
  private answering = 0;
  private answerClockMs = 0;
  private nowMs = 0;
  private computing: { readonly prompt: ReplayPrompt; readonly endsMs: number } | null = null;

  constructor(private readonly shape: WorkerShape) {
    this.cache = new PrefixIndex(shape.cacheBlocks);
  }

  /** Waiting and under way. */
  get outstanding(): number {
    return this.waiting.length + this.answering + (this.computing === null ? 0 : 1);
  }

  add(prompt: ReplayPrompt, nowMs: number): void {
    this.advance(nowMs);
    this.waiting.push(prompt);
    this.begin();
  }

  /** When something happens next by itself; null: never. */
  get nextMs(): number | null {
    if (this.computing !== null) return this.computing.endsMs;
    const { nextMs } = this.answers;
    return nextMs === null ? null : this.nowMs + Math.max(0, nextMs - this.answerClockMs);
  }

  /** What happens at `nextMs`, to be called at that time. */
  step(): { readonly prompt: ReplayPrompt; readonly event: WorkerEvent } {
    this.advance(this.nextMs!);
    if (this.computing === null) {
      // The clock was brought to it by adding and taking away, which need not meet to the last bit.
      const { happening: prompt } = this.answers.takeUntil(Number.POSITIVE_INFINITY)!;
      this.answering -= 1;
      this.begin();
      return { prompt, event: 'finished' };
    }
    const { prompt } = this.computing;
    this.computing = null;
    this.cache.served(CACHE, prompt.blocks);
    this.answers.add(this.answerClockMs + prompt.answerTokens * STEP_MS, prompt);
    this.answering += 1;
    this.begin();
    return { prompt, event: 'first-token' };
  }

  private advance(nowMs: number): void {
    if (this.computing === null) this.answerClockMs += nowMs - this.nowMs;
    this.nowMs = nowMs;
  }

  private begin(): void {
    if (this.computing !== null || this.answering >= this.shape.slots) return;
    const prompt = this.waiting.shift();
    if (prompt === undefined) return;
    const blocks = this.cache.cachedBlocks(CACHE, prompt.blocks);
    const cachedTokens = Math.min(prompt.promptTokens, blocks * TRACED_BLOCK_TOKENS);
    const tookMs = promptMsOf(prompt.promptTokens - cachedTokens);
    this.computing = { prompt, endsMs: this.nowMs + tookMs };
    this.workMs += tookMs;
    this.promptTokens += prompt.promptTokens;
    this.cachedTokens += cachedTokens;
  }
}
