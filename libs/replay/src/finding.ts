/** What was measured before, and whether this replay says the same: SCHEDULING.md's orders of merit, and the bars. */

export interface Finding {
  /** One sentence that is true or not. */
  readonly claim: string;
  /** What was measured when the claim was made, or the bar. */
  readonly reference: string;
  /** What this replay measured. */
  readonly measured: string;
  /** Null: what was replayed cannot tell, and `measured` says why. */
  readonly holds: boolean | null;
}

/** From measures of this replay; null where a policy that the claim speaks of was not replayed. */
export type FindingRule<Comparison> = (comparisons: readonly Comparison[]) => Finding | null;

export function findingsOf<Comparison>(
  rules: readonly FindingRule<Comparison>[],
  comparisons: readonly Comparison[],
): Finding[] {
  return rules.map((rule) => rule(comparisons)).filter((finding) => finding !== null);
}

/** Whether each is more than the next. */
export function isFalling(values: readonly number[]): boolean {
  return values.every((value, index) => index === 0 || values[index - 1]! > value);
}
