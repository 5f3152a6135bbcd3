/** Means, quantiles and ranges of measured values. */

/** Null of an empty list: there is no mean of nothing, and it is not zero. */
export function mean(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** Nearest rank; `share` in (0, 1]. Null of an empty list. */
export function quantile(values: readonly number[], share: number): number | null {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/** A measure over several seeds. */
export interface Range {
  readonly mean: number;
  readonly min: number;
  readonly max: number;
}

/** Over the values that are there; null when none is. */
export function rangeOf(values: readonly (number | null)[]): Range | null {
  const present = values.filter((value) => value !== null);
  const middle = mean(present);
  if (middle === null) return null;
  return { mean: middle, min: Math.min(...present), max: Math.max(...present) };
}

/** Every measure of `Outcome` as a range. */
export type Ranges<Outcome> = Readonly<Record<keyof Outcome, Range | null>>;

/** `outcomes`: of the same measures, at least one. */
export function rangesOf<Outcome extends object>(outcomes: readonly Outcome[]): Ranges<Outcome> {
  const measures = Object.keys(outcomes[0]!) as (keyof Outcome)[];
  const ranges = measures.map((measure) => [
    measure,
    rangeOf(outcomes.map((outcome) => outcome[measure] as number | null)),
  ]);
  return Object.fromEntries(ranges) as Ranges<Outcome>;
}

/** How far `value` is from `base`, in per cent of `base`; null when either is missing or the base is zero. */
export function changePercent(value: number | null, base: number | null): number | null {
  return value === null || base === null || base === 0 ? null : (value / base - 1) * 100;
}
