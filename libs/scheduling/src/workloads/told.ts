/**
 * What was told last: tens of thousands of equal workloads that wait, one after the other, are told the same. Making it
 * once spares the next ones most of their memory.
 */
import type { VerdictParts } from './verdicts.ts';

type Waiting = Pick<VerdictParts, 'candidates' | 'changes'> & {
  readonly fit: string;
  readonly noVictims: string;
  readonly parts: VerdictParts;
};

export class Told {
  private last: Waiting | null = null;
  private lastBehind: { readonly parts: VerdictParts; readonly head: string; readonly behind: VerdictParts } | null =
    null;

  waiting(
    fit: string,
    noVictims: string,
    candidates: VerdictParts['candidates'],
    changes: VerdictParts['changes'],
  ): VerdictParts {
    const { last } = this;
    const isSame =
      last !== null &&
      last.fit === fit &&
      last.noVictims === noVictims &&
      last.candidates === candidates &&
      last.changes === changes;
    if (isSame) return last.parts;
    const parts: VerdictParts = { state: 'waiting', reason: `${fit}${noVictims}`, candidates, changes };
    this.last = { fit, noVictims, candidates, changes, parts };
    return parts;
  }

  /** The same, behind a head that is called so. */
  behind(parts: VerdictParts, head: string): VerdictParts {
    if (this.lastBehind?.parts === parts && this.lastBehind.head === head) return this.lastBehind.behind;
    const behind = { ...parts, reason: `${parts.reason}; ${head} is before it` };
    this.lastBehind = { parts, head, behind };
    return behind;
  }
}
