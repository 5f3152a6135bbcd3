/**
 * Life and readiness. A process is live while it answers; it is ready while every check passes and it is not stopping.
 * A check's answer is kept for at most a second, and says since when it has been so (R8).
 */
export type Check = () => Promise<string | null> | string | null;

export interface CheckAnswer {
  readonly name: string;
  readonly ok: boolean;
  /** What is wrong; empty when nothing is. */
  readonly reason: string;
  readonly sinceSeconds: number;
}

export interface Readiness {
  readonly status: 'ready' | 'not-ready' | 'stopping';
  readonly checks: readonly CheckAnswer[];
}

const CHECK_TIMEOUT_MS = 2_000;
const CACHE_MS = 1_000;

interface Entry {
  readonly check: Check;
  reason: string | null;
  sinceMs: number;
  checkedAtMs: number;
}

export class HealthRegistry {
  private readonly entries = new Map<string, Entry>();
  private stopping = false;

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  /** `check` returns null when all is well, else one sentence; a throw or 2 s without an answer count as not well. */
  register(name: string, check: Check): void {
    this.entries.set(name, {
      check,
      reason: 'not checked yet',
      sinceMs: this.nowMs(),
      checkedAtMs: Number.NEGATIVE_INFINITY,
    });
  }

  /** From now on the process is not ready, whatever the checks say. */
  beginStopping(): void {
    this.stopping = true;
  }

  async readiness(): Promise<Readiness> {
    const checks = await Promise.all([...this.entries].map(([name, entry]) => this.ask(name, entry)));
    const status = this.stopping ? 'stopping' : checks.every((check) => check.ok) ? 'ready' : 'not-ready';
    return { status, checks };
  }

  private async ask(name: string, entry: Entry): Promise<CheckAnswer> {
    if (this.nowMs() - entry.checkedAtMs > CACHE_MS) {
      const reason = await bounded(entry.check);
      if ((reason === null) !== (entry.reason === null) || entry.checkedAtMs === Number.NEGATIVE_INFINITY) {
        entry.sinceMs = this.nowMs();
      }
      entry.reason = reason;
      entry.checkedAtMs = this.nowMs();
    }
    const sinceSeconds = Math.round((this.nowMs() - entry.sinceMs) / 1_000);
    return { name, ok: entry.reason === null, reason: entry.reason ?? '', sinceSeconds };
  }
}

async function bounded(check: Check): Promise<string | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer within ${CHECK_TIMEOUT_MS / 1_000} s`), CHECK_TIMEOUT_MS);
  });
  try {
    return await Promise.race([Promise.resolve().then(check), late]);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    clearTimeout(timer);
  }
}
