/** Where the time of one cycle of the job loop goes; by the process' own clock of intervals. */

export const CYCLE_PARTS = ['read', 'settle', 'plan', 'commit'] as const;
export type CyclePart = (typeof CYCLE_PARTS)[number];

/** Seconds by part: read rows, settle what became of jobs, plan what waits, commit the plan. */
export type CycleSeconds = Readonly<Record<CyclePart, number>>;

export class CycleTimes {
  private readonly parts: Record<CyclePart, number> = { read: 0, settle: 0, plan: 0, commit: 0 };

  get seconds(): CycleSeconds {
    return { ...this.parts };
  }

  /** Counts the time until `work` is done, or has failed, to `part`. */
  async count<Result>(part: CyclePart, work: () => Promise<Result> | Result): Promise<Result> {
    const begunAtMs = performance.now();
    try {
      return await work();
    } finally {
      this.parts[part] += (performance.now() - begunAtMs) / 1_000;
    }
  }
}
