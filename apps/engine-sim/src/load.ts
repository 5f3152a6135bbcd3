// What the simulated engine has done and is doing, and how it tells it: vLLM's names (docs.vllm.ai usage/metrics).
import type { Slots } from '#inference';
import type { PrefixCache } from './prefix-cache.ts';

const FIRST_TOKEN_BUCKETS = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

export class Load {
  /** Tokens of what runs. */
  tokensHeld = 0;
  promptTokens = 0;
  generatedTokens = 0;
  requests = 0;
  failures = 0;
  readonly #firstTokens: number[] = [];
  #firstTokenSeconds = 0;
  #firstTokenCount = 0;

  firstTokenAfter(seconds: number): void {
    this.#firstTokenSeconds += seconds;
    this.#firstTokenCount += 1;
    for (const [index, bound] of FIRST_TOKEN_BUCKETS.entries()) {
      if (seconds <= bound) this.#firstTokens[index] = (this.#firstTokens[index] ?? 0) + 1;
    }
  }

  /** 0..1. */
  cacheUsage(cacheTokens: number): number {
    return Math.min(1, this.tokensHeld / cacheTokens);
  }

  /** Prometheus text. */
  render(model: string, slots: Slots, cache: PrefixCache, cacheTokens: number): string {
    const labels = `engine="0",model_name="${model.replace(/[\\"]/g, (letter) => `\\${letter}`)}"`;
    const lines: string[] = [];
    const say = (type: string, name: string, help: string, value: number) =>
      lines.push(`# HELP vllm:${name} ${help}`, `# TYPE vllm:${name} ${type}`, `vllm:${name}{${labels}} ${value}`);
    say('gauge', 'num_requests_running', 'Number of requests in model execution batches.', slots.running);
    say('gauge', 'num_requests_waiting', 'Number of requests waiting to be processed.', slots.queued);
    say('gauge', 'kv_cache_usage_perc', 'KV-cache usage. 1 means 100 percent usage.', this.cacheUsage(cacheTokens));
    say('counter', 'prefix_cache_queries_total', 'Prefix cache queries, in tokens.', cache.queriedTokens);
    say('counter', 'prefix_cache_hits_total', 'Prefix cache hits, in tokens.', cache.hitTokens);
    say('counter', 'prompt_tokens_total', 'Number of prefill tokens processed.', this.promptTokens);
    say('counter', 'generation_tokens_total', 'Number of generation tokens processed.', this.generatedTokens);
    say('counter', 'request_success_total', 'Count of successfully processed requests.', this.requests);
    const name = 'vllm:time_to_first_token_seconds';
    lines.push(`# HELP ${name} Histogram of time to first token in seconds.`, `# TYPE ${name} histogram`);
    for (const [index, bound] of FIRST_TOKEN_BUCKETS.entries()) {
      lines.push(`${name}_bucket{${labels},le="${bound}"} ${this.#firstTokens[index] ?? 0}`);
    }
    lines.push(
      `${name}_bucket{${labels},le="+Inf"} ${this.#firstTokenCount}`,
      `${name}_sum{${labels}} ${this.#firstTokenSeconds}`,
      `${name}_count{${labels}} ${this.#firstTokenCount}`,
    );
    return `${lines.join('\n')}\n`;
  }
}
