/**
 * An engine's load from its own metrics: for each dialect the names, newest first, of what runs, what waits and how full
 * the cache is. A metric that is not there is absent, never zero (E07).
 *
 * Counts are summed over what an engine splits them by (data-parallel ranks, engines of one server), but not over ranks
 * that work on the same requests (tensor, pipeline and expert parallel): of those the largest counts. Of counts that are
 * also split by priority only the whole one counts. A cache is as full as its fullest part.
 */
import type { DialectName } from '#inference';
import type { EngineLoad } from '../engine-adapter.ts';
import { readSamples, type Sample } from './prometheus-text.ts';

interface LoadNames {
  readonly running: readonly string[];
  readonly waiting: readonly string[];
  readonly cacheUsage: readonly string[];
}

/**
 * Sources: docs.vllm.ai usage/metrics (`gpu_cache_usage_perc` before 0.10); docs.sglang.io references/production_metrics;
 * ggml-org/llama.cpp tools/server/README.md (`kv_cache_usage_ratio` until 2025); InternLM/lmdeploy lmdeploy/metrics;
 * hiascend.com MindIE "metrics (Prometheus)".
 */
const LOAD_NAMES: Readonly<Partial<Record<DialectName, LoadNames>>> = {
  vllm: {
    running: ['vllm:num_requests_running'],
    waiting: ['vllm:num_requests_waiting'],
    cacheUsage: ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc'],
  },
  sglang: {
    running: ['sglang:num_running_reqs'],
    waiting: ['sglang:num_queue_reqs'],
    cacheUsage: ['sglang:token_usage'],
  },
  llamacpp: {
    running: ['llamacpp:requests_processing'],
    waiting: ['llamacpp:requests_deferred'],
    cacheUsage: ['llamacpp:kv_cache_usage_ratio'],
  },
  lmdeploy: {
    running: ['lmdeploy:num_requests_running'],
    waiting: ['lmdeploy:num_requests_waiting'],
    cacheUsage: ['lmdeploy:gpu_cache_usage_perc'],
  },
  mindie: {
    running: ['num_requests_running'],
    waiting: ['num_requests_waiting'],
    cacheUsage: ['npu_cache_usage_perc', 'kv_cache_usage_perc'],
  },
};

/** No engine has so many requests: whoever says so says nothing. */
const COUNT_MAX = 1_000_000;

/** Labels of ranks that work on the same requests. */
const SAME_WORK = new Set(['tp_rank', 'pp_rank', 'moe_ep_rank', 'ep_rank', 'pid']);

/** Null: this dialect has no metrics, or none of them is there. `model`: what the engine calls the model. */
export function readLoad(dialect: DialectName, text: string, model: string): EngineLoad | null {
  const names = LOAD_NAMES[dialect];
  if (names === undefined) return null;
  const samples = ofModel(readSamples(text, new Set(Object.values(names).flat())), model);
  const running = countOf(firstOf(samples, names.running));
  const waiting = countOf(firstOf(samples, names.waiting));
  const cacheUsage = shareOf(firstOf(samples, names.cacheUsage));
  if (running === undefined && waiting === undefined && cacheUsage === undefined) return null;
  return {
    ...(running === undefined ? {} : { running }),
    ...(waiting === undefined ? {} : { waiting }),
    ...(cacheUsage === undefined ? {} : { cacheUsage }),
  };
}

/** Where a server tells of several models, what is said of this one or of none; where none of them is it, all. */
function ofModel(samples: readonly Sample[], model: string): readonly Sample[] {
  if (!samples.some(({ labels }) => labels.model_name === model)) return samples;
  return samples.filter(({ labels }) => labels.model_name === undefined || labels.model_name === model);
}

function firstOf(samples: readonly Sample[], names: readonly string[]): readonly Sample[] {
  for (const name of names) {
    const found = samples.filter((sample) => sample.name === name);
    if (found.length > 0) return found;
  }
  return [];
}

function countOf(samples: readonly Sample[]): number | undefined {
  const wholes = samples.filter(({ labels }) => labels.priority === undefined || labels.priority === '');
  const largest = new Map<string, number>();
  for (const { labels, value } of wholes.length > 0 ? wholes : samples) {
    const part = JSON.stringify(
      Object.entries(labels)
        .filter(([name]) => !SAME_WORK.has(name))
        .sort(),
    );
    largest.set(part, Math.max(largest.get(part) ?? 0, value));
  }
  const sum = [...largest.values()].reduce((before, value) => before + value, 0);
  return largest.size === 0 || sum > COUNT_MAX ? undefined : sum;
}

function shareOf(samples: readonly Sample[]): number | undefined {
  if (samples.length === 0) return undefined;
  return Math.min(1, Math.max(0, ...samples.map(({ value }) => value)));
}
