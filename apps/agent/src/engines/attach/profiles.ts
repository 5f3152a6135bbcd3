// Where engines of each dialect tell how they are. What they tell is read in `probe-answers.ts` and `load-metrics.ts`,
// how adapters are loaded in `adapter-calls.ts`.
import type { DialectName } from '#inference';

export interface EngineProfile {
  /** Answers 2xx while it can take requests; null: nothing but its list of models says so. */
  readonly healthPath: string | null;
  /** Prometheus text; null: none, or on another port (`metricsUrl` says which). */
  readonly metricsPath: string | null;
  /** How to make it show its load, when `metricsPath` answers 404 or 501. */
  readonly metricsAdvice: string;
  /** `name` and `name:latest` are the same model. */
  readonly hasTags: boolean;
}

const common = { healthPath: '/health', metricsPath: '/metrics', metricsAdvice: '', hasTags: false };

export const ENGINE_PROFILES: Readonly<Record<DialectName, EngineProfile>> = {
  openai: { ...common, healthPath: null, metricsPath: null },
  vllm: common,
  sglang: { ...common, metricsAdvice: 'start it with --enable-metrics' },
  llamacpp: { ...common, metricsAdvice: 'start it with --metrics' },
  /** It has no queue that it tells of: `/api/ps` lists loaded models only. */
  ollama: { ...common, healthPath: '/api/version', metricsPath: null, hasTags: true },
  lmdeploy: { ...common, metricsAdvice: 'start it with --enable-metrics' },
  /** Health and metrics are on its management ports. */
  mindie: {
    ...common,
    healthPath: null,
    metricsPath: null,
    metricsAdvice: 'start it with MIES_SERVICE_MONITOR_MODE=1',
  },
};
