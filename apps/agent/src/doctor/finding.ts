// What a check of `atoll doctor` found, and how it reads.

/** `unknown`: it could not be looked at, which is said and counts against nobody. */
export const VERDICTS = ['ok', 'warning', 'failed', 'unknown'] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Finding {
  /** `folder`, `identity`, `clock` … */
  readonly check: string;
  readonly verdict: Verdict;
  /** One sentence; never a secret. */
  readonly says: string;
  /** What to do; absent when there is nothing to do. */
  readonly advice?: string;
}

const MARKS: Readonly<Record<Verdict, string>> = { ok: 'ok', warning: 'WARN', failed: 'FAIL', unknown: '?' };

/** A line a finding, its advice below it. */
export function renderFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return findings
    .map(({ check, verdict, says, advice }) => {
      const line = `${MARKS[verdict].padEnd(4)}  ${check.padEnd(width)}  ${says}`;
      return advice === undefined ? line : `${line}\n${' '.repeat(width + 8)}→ ${advice}`;
    })
    .join('\n');
}

/** The whole in a sentence. */
export function summarise(findings: readonly Finding[]): string {
  const count = (verdict: Verdict) => findings.filter((finding) => finding.verdict === verdict).length;
  const [failed, warnings, unknown] = [count('failed'), count('warning'), count('unknown')];
  const unseen = unknown === 0 ? '' : ` ${unknown} could not be looked at.`;
  if (failed === 0 && warnings === 0) return `All is well.${unseen}`;
  return `Of ${findings.length} checks ${failed} failed and ${warnings} warn.${unseen}`;
}

/** The process' exit code: 1 when something failed. */
export function exitCodeOf(findings: readonly Finding[]): number {
  return findings.some(({ verdict }) => verdict === 'failed') ? 1 : 0;
}

/** "12 s", "3 min", "5 h", "2 d". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7_200) return `${Math.round(whole / 60)} min`;
  return whole < 172_800 ? `${Math.round(whole / 3_600)} h` : `${Math.round(whole / 86_400)} d`;
}
