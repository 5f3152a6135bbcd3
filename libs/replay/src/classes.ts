/** How important each job or request of a trace is. No trace says it, so it is drawn for each by the seed. */

export const REPLAY_CLASSES = ['high', 'medium', 'low'] as const;
export type ReplayClass = (typeof REPLAY_CLASSES)[number];

/** Of arrivals, not of work: a few important ones among many that are not. */
export const CLASS_SHARES: Readonly<Record<ReplayClass, number>> = { high: 0.2, medium: 0.3, low: 0.5 };

/** `uniform` in [0, 1). */
export function drawClass(uniform: number): ReplayClass {
  if (uniform < CLASS_SHARES.high) return 'high';
  return uniform < CLASS_SHARES.high + CLASS_SHARES.medium ? 'medium' : 'low';
}

export function byClass<Value>(of: (name: ReplayClass) => Value): Readonly<Record<ReplayClass, Value>> {
  return { high: of('high'), medium: of('medium'), low: of('low') };
}

/** Ids are in the order of arrival, by which planners break ties. */
export function replayId(what: string, index: number): string {
  return `${what}-${String(index + 1).padStart(7, '0')}`;
}
