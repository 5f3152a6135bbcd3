/**
 * What scaling looks at: a series of samples of one deployment, oldest first, and what can be told from it. A metric that
 * is missing is null and never taken for 0 (E07): what depends on it is then not known, and no window holds over it.
 */

export interface ScalingSample {
  /** Unix milliseconds. */
  readonly atMs: number;
  /** Replicas that were ready then. */
  readonly readyReplicas: number;
  /** Milliseconds to the first token, 99th percentile since the sample before. */
  readonly p99Ms: number | null;
  /** Mean of the ready replicas, 0..1; of serving only: deferrable work that fills head-room is no load. */
  readonly utilisation: number | null;
  /** Requests that wait for a replica. */
  readonly queueLength: number | null;
  readonly requestsPerSecond: number | null;
}

/** Samples further apart than this are two series: nobody knows what was between. */
export const SAMPLE_GAP_SECONDS_MAX = 90;
/** The newest so many are looked at, the older ones ignored: a day of minutes. */
export const SAMPLES_MAX = 1_440;
/** Above this a replica is as good as full, and what it does says no longer what is asked of it. */
const SATURATED_UTILISATION = 0.95;

/** Up to now: samples that claim to be of the future (a clock was set back) are no help. */
export function pastSamples(samples: readonly ScalingSample[], nowMs: number): readonly ScalingSample[] {
  return samples.filter(({ atMs }) => atMs <= nowMs).slice(-SAMPLES_MAX);
}

/** Whether the newest sample is young enough to act on. */
export function isCurrent(samples: readonly ScalingSample[], nowMs: number): boolean {
  const newest = samples.at(-1);
  return newest !== undefined && nowMs - newest.atMs <= SAMPLE_GAP_SECONDS_MAX * 1_000;
}

/**
 * The samples up to now over which `holds` was true without a break (E06); empty when it is not true now. One sample that
 * says no, or a gap, or what was before `sinceMs`, ends it.
 */
export function unbroken<Sample extends Pick<ScalingSample, 'atMs'>>(
  samples: readonly Sample[],
  nowMs: number,
  sinceMs: number,
  holds: (sample: Sample) => boolean,
): readonly Sample[] {
  let nextMs = nowMs;
  let first = samples.length;
  while (first > 0) {
    const sample = samples[first - 1]!;
    const isNear = nextMs - sample.atMs <= SAMPLE_GAP_SECONDS_MAX * 1_000;
    if (!isNear || sample.atMs < sinceMs || !holds(sample)) break;
    nextMs = sample.atMs;
    first -= 1;
  }
  return samples.slice(first);
}

/** Seconds from the first of them until now; 0 when there is none. */
export function spanSeconds(samples: readonly Pick<ScalingSample, 'atMs'>[], nowMs: number): number {
  return samples.length === 0 ? 0 : (nowMs - samples[0]!.atMs) / 1_000;
}

export interface Demand {
  readonly atMs: number;
  /** Replicas that would be fully busy with what is asked; null: not known. */
  readonly replicas: number | null;
}

/**
 * `utilisation × ready replicas`; where these are full, `requests per second × replica-seconds that one took when they
 * were not`, since a full replica hides how much more is asked. At least what is busy.
 */
export function demandOf(samples: readonly ScalingSample[]): Demand[] {
  let secondsPerRequest: number | null = null;
  return samples.map(({ atMs, utilisation, readyReplicas, requestsPerSecond }) => {
    if (utilisation === null) return { atMs, replicas: null };
    const busy = utilisation * readyReplicas;
    if (utilisation >= SATURATED_UTILISATION) {
      const asked = (requestsPerSecond ?? 0) * (secondsPerRequest ?? 0);
      return { atMs, replicas: Math.max(busy, asked) };
    }
    if (requestsPerSecond !== null && requestsPerSecond > 0 && busy > 0) secondsPerRequest = busy / requestsPerSecond;
    return { atMs, replicas: busy };
  });
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

interface Point {
  readonly atMs: number;
  readonly value: number;
}

/**
 * Rise per second: the median over points of the slope to the last point at least `apartSeconds` (and one) before, so that a single
 * jump of the level is not taken for a slope. 0 when no two are so far apart.
 */
export function slopePerSecond(points: readonly Point[], apartSeconds: number): number {
  const apartMs = Math.max(1, apartSeconds) * 1_000;
  const slopes: number[] = [];
  let before = -1;
  for (const { atMs, value } of points) {
    while (atMs - points[before + 1]!.atMs >= apartMs) before += 1;
    const from = points[before];
    if (from !== undefined) slopes.push((value - from.value) / ((atMs - from.atMs) / 1_000));
  }
  return median(slopes);
}

/**
 * Standard deviation of the noise about a level that rises by `risePerSecond`: from the median absolute step between
 * neighbours (× 1.4826 ÷ √2 for normal noise), so that a single jump of the level is not taken for noise. 0 with fewer
 * than three.
 */
export function noiseDeviation(points: readonly Point[], risePerSecond: number): number {
  if (points.length < 3) return 0;
  const steps = points.slice(1).map(({ atMs, value }, at) => {
    const before = points[at]!;
    return Math.abs(value - before.value - (risePerSecond * (atMs - before.atMs)) / 1_000);
  });
  return (1.4826 * median(steps)) / Math.SQRT2;
}

/** The upper one of an even count; 0 of none. */
function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0;
}
