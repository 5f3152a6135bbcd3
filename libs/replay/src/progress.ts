/** How far a comparison of policies is, for callers that show it. */
export interface ComparisonProgress {
  readonly policy: string;
  readonly seed: number;
  /** Of all replays, 0..1. */
  readonly doneShare: number;
}
