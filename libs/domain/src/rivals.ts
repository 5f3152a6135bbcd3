/**
 * Two agents that stand for one cluster, because a state folder was copied with the identity in it: how that is told from
 * one agent that was restarted, and which of the two has to go.
 *
 * Told by time: both boots went on reporting while the other did. A process that is dead never says anything new, so a
 * mere restart is none, whatever messages come late. The older goes, by the order of boot ids, which begin with when they
 * were made: both agents and the control plane come to the same, also where a clock is wrong.
 */

/** Both must have gone on reporting, beside each other, for so long. */
const BESIDE_MS = 8_000;
/** New reports of each that are needed. */
const REPORTS_MIN = 3;
/** A boot of which nothing new came for so long is gone. */
const SILENT_MS = 30_000;
/** Boots that are watched; the longest silent is forgotten. */
const BOOTS_MAX = 8;

interface SeenBoot {
  readonly firstMs: number;
  lastMs: number;
  sequence: number;
  reports: number;
}

/** Of one cluster. Times are monotonic milliseconds. */
export class BootWatch {
  private readonly boots = new Map<string, SeenBoot>();

  /** A report of this boot had reached this sequence; the same again says nothing. */
  heard(bootId: string, sequence: number, nowMs: number): void {
    const seen = this.boots.get(bootId);
    if (seen !== undefined && sequence <= seen.sequence) return;
    this.boots.delete(bootId); // the longest silent stand first
    const { firstMs = nowMs, reports = 0 } = seen ?? {};
    this.boots.set(bootId, { firstMs, lastMs: nowMs, sequence, reports: reports + 1 });
    for (const oldest of this.boots.keys()) {
      if (this.boots.size <= BOOTS_MAX) break;
      this.boots.delete(oldest);
    }
  }

  /** Boots that live beside this one; [] while that is not certain. */
  rivalsOf(bootId: string, nowMs: number): string[] {
    const own = this.boots.get(bootId);
    if (own === undefined) return [];
    return [...this.boots].filter(([id, seen]) => id !== bootId && isBeside(own, seen, nowMs)).map(([id]) => id);
  }
}

function isBeside(one: SeenBoot, other: SeenBoot, nowMs: number): boolean {
  const both = [one, other];
  const isLiving = both.every(({ lastMs, reports }) => nowMs - lastMs <= SILENT_MS && reports >= REPORTS_MIN);
  const besideMs = Math.min(one.lastMs, other.lastMs) - Math.max(one.firstMs, other.firstMs);
  return isLiving && besideMs >= BESIDE_MS;
}

/** Whether this boot has to go: one that lives beside it is newer. */
export function isFenced(bootId: string, rivals: readonly string[]): boolean {
  return rivals.some((rival) => rival > bootId);
}

/** A boot that had been replaced by another reports again: both live, or a message of a dead one came late. */
export function isReturn(
  before: { readonly bootId: string; readonly replacedBoots: readonly string[] } | null,
  bootId: string,
): boolean {
  if (before === null || before.bootId === bootId) return false;
  return before.replacedBoots.some((entry) => entry.split('/')[0] === bootId);
}
