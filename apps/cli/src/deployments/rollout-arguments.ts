// Waves and the abort rule on the command line: parsed, and said back in the same words.
import { type Command, InvalidArgumentError } from 'commander';
import type { z } from 'zod';
import { type CreateDeployment, type DeploymentDto, rolloutWaveSchema, WAVES_MAX } from '#contracts';
import { DEFAULT_ROLLOUT_POLICY, type RolloutAbortRule, type RolloutPolicy, type RolloutWave } from '#domain';
import { durationSeconds, parseLabel, parseName, parsePercent, parseTimes, wholeNumber } from '../arguments.ts';
import { UsageError } from '../errors.ts';
import { renderLabels } from '../output/output.ts';

export interface RolloutOptions {
  readonly wave?: RolloutWave[];
  readonly strict?: true;
  readonly rolling?: true;
  /** False: `--no-abort`. */
  readonly abort: boolean;
  /** Percent. */
  readonly abortErrors?: number;
  readonly abortLatency?: number;
  readonly abortRequests?: number;
  readonly abortStarts?: number;
}

const SOAK_SECONDS_MAX = 2_592_000;
const REQUESTS_MAX = 1_000_000;
const RATIO_MAX = 1_000;
const STARTS_MAX = 1_000;

export function addRolloutOptions(command: Command): Command {
  return command
    .option(
      '--wave <where>',
      'who goes next, in order: edge-1,edge-2 or 25% or site=harbour; then :soak=30s and :pause; the last one takes all',
      collectWave,
    )
    .option('--strict', 'never two versions at once: the new one takes traffic when all of it is ready')
    .option('--rolling', 'old and new serve side by side (the default)')
    .option('--no-abort', 'never take a rollout back by itself')
    .option('--abort-errors <percent>', 'take it back when so many more answers fail, such as 5%', parsePercent(0, 100))
    .option(
      '--abort-latency <times>',
      'or when the first byte takes so much longer, such as 3x',
      parseTimes(1, RATIO_MAX),
    )
    .option('--abort-requests <number>', 'judge after so many requests', wholeNumber(1, REQUESTS_MAX))
    .option('--abort-starts <number>', 'or when a replica failed to start so often', wholeNumber(1, STARTS_MAX));
}

/**
 * The policy with what the options say changed; null when they say nothing. An abort option turns the rule on again.
 * Throws UsageError for options that contradict each other.
 */
export function rolloutPolicyOf(
  options: RolloutOptions,
  current: RolloutPolicy | DeploymentDto['rolloutPolicy'] = DEFAULT_ROLLOUT_POLICY,
): CreateDeployment['rollout'] | null {
  if (!changesRollout(options)) return null;
  const { wave, strict, rolling, abort, abortErrors, abortLatency, abortRequests, abortStarts } = options;
  const hasRule = hasAbortRule(options);
  if (strict && rolling) throw new UsageError('--strict and --rolling contradict each other');
  if (!abort && hasRule) throw new UsageError('--no-abort contradicts the other --abort options');
  const rule: Partial<RolloutAbortRule> = {
    ...current.abort,
    ...(abortErrors !== undefined && { errorRateAbove: abortErrors / 100 }),
    ...(abortLatency !== undefined && { firstByteRatioAbove: abortLatency }),
    ...(abortRequests !== undefined && { requestsMin: abortRequests }),
    ...(abortStarts !== undefined && { failedStarts: abortStarts }),
  };
  return {
    waves: (wave ?? current.waves) as z.input<typeof rolloutWaveSchema>[],
    abort: abort && (hasRule || current.abort !== null) ? rule : null,
    consistency: strict ? 'strict' : rolling ? 'rolling' : current.consistency,
  };
}

function changesRollout(options: RolloutOptions): boolean {
  const { wave, strict, rolling, abort } = options;
  return !abort || hasAbortRule(options) || [wave, strict, rolling].some((each) => each !== undefined);
}

function hasAbortRule({ abortErrors, abortLatency, abortRequests, abortStarts }: RolloutOptions): boolean {
  return [abortErrors, abortLatency, abortRequests, abortStarts].some((each) => each !== undefined);
}

function collectWave(text: string, earlier: RolloutWave[] = []): RolloutWave[] {
  if (earlier.length >= WAVES_MAX) throw new InvalidArgumentError(`At most ${WAVES_MAX} waves.`);
  return [...earlier, parseWave(text)];
}

/** `edge-1,edge-2`, `25%`, `site=harbour,tier=test`; each with `:soak=30s` and `:pause` in any order. */
export function parseWave(text: string): RolloutWave {
  const [where = '', ...suffixes] = text.split(':');
  let soakSeconds: number | undefined;
  let pauseAfter = false;
  for (const suffix of suffixes) {
    if (suffix === 'pause' && !pauseAfter) pauseAfter = true;
    else if (suffix.startsWith('soak=') && soakSeconds === undefined) soakSeconds = parseSoak(suffix.slice(5));
    else throw new InvalidArgumentError(`After the wave come :soak=30s and :pause, each once, not ":${suffix}".`);
  }
  const wave = { ...parseWhere(where), soakSeconds: soakSeconds ?? 0, pauseAfter };
  const parsed = rolloutWaveSchema.safeParse(wave);
  if (parsed.success) return wave;
  throw new InvalidArgumentError(parsed.error.issues.map(({ message }) => message).join('; '));
}

const parseSoak = durationSeconds(0, SOAK_SECONDS_MAX);

function parseWhere(text: string): Pick<RolloutWave, 'clusterNames' | 'labels' | 'percent'> {
  if (text === '') throw new InvalidArgumentError('It must say who: edge-1,edge-2 or 25% or site=harbour.');
  if (text.includes('%')) return { percent: parsePercent(1, 100)(text) };
  const parts = text.split(',');
  const labelled = parts.filter((part) => part.includes('='));
  if (labelled.length === 0) return { clusterNames: [...new Set(parts.map(parseName))] };
  if (labelled.length < parts.length) {
    throw new InvalidArgumentError('A wave is clusters (edge-1,edge-2) or labels (site=harbour), not both.');
  }
  return { labels: parts.reduce((labels, part) => parseLabel(part, labels), {}) };
}

/** As it is written on the command line. */
export function formatWave({ clusterNames, labels, percent, soakSeconds, pauseAfter }: RolloutWave): string {
  const where =
    clusterNames?.join(',') ??
    (percent === undefined ? renderLabels(labels ?? {}).replaceAll(' ', ',') : `${percent}%`);
  return `${where}${soakSeconds > 0 ? `:soak=${soakSeconds}s` : ''}${pauseAfter ? ':pause' : ''}`;
}

/** For the fields of a deployment. */
export function policyFields({ waves, abort, consistency }: DeploymentDto['rolloutPolicy']): [string, string][] {
  const words =
    abort === null
      ? 'never by itself'
      : `above ${tidy(abort.errorRateAbove * 100)}% more errors or ${tidy(abort.firstByteRatioAbove)}x the first byte, after ${abort.requestsMin} requests`;
  return [
    ['Rolls out', CONSISTENCY_WORDS[consistency]],
    ['In waves', waves.map((wave) => formatWave(wave as RolloutWave)).join('\n')],
    ['Taken back', words],
  ];
}

const CONSISTENCY_WORDS = {
  rolling: 'rolling: old and new serve side by side',
  strict: 'strict: never two versions at once',
} as const;

function tidy(value: number): string {
  return String(Number(value.toFixed(3)));
}
