/**
 * How answers went, version by version, as gateways count them. In memory and of every control plane alike, so that
 * whoever leads can judge a rollout; what was counted before this process listened is unknown to it, and nobody's fault.
 *
 * Messages are cumulative, so only what rose since the gateway's last one is added: a message that is lost, repeated or
 * late changes nothing. A gateway whose first word was missed starts from there. Counts that fell were dropped by the
 * gateway's own bound and began again at 0. A silent gateway is forgotten after ten minutes, what it told stays counted.
 */
import { Injectable } from '@nestjs/common';
import { OUTCOMES_ENTRIES_MAX, type OutcomesMessage } from '#contracts';
import { FIRST_BYTE_BOUNDS_MS, type VersionOutcomes } from '#domain';
import { MonotonicClock } from './fleet-liveness.ts';

const GATEWAY_FORGOTTEN_AFTER_MS = 600_000;
/** At the bound the gateway that was silent for longest makes room. */
const GATEWAYS_MAX = 1_000;
/** At the bound the version of which nobody spoke for longest makes room. */
const VERSIONS_MAX = 10_000;
/** Of one gateway: it tells of fewer itself. At the bound what it left out for longest makes room. */
const GATEWAY_VERSIONS_MAX = 2 * OUTCOMES_ENTRIES_MAX;

export const NO_OUTCOMES: VersionOutcomes = {
  requests: 0,
  failures: 0,
  firstByteCounts: Array.from({ length: FIRST_BYTE_BOUNDS_MS.length + 1 }, () => 0),
};

interface Gateway {
  sequence: number;
  heardAtMs: number;
  /** `<deployment id>/<version digest>` → what it said last. */
  readonly counts: Map<string, VersionOutcomes>;
}

@Injectable()
export class OutcomesMemory {
  /** In order of when each was last heard. */
  private readonly gateways = new Map<string, Gateway>();
  /** In order of when each was last spoken of. */
  private readonly totals = new Map<string, VersionOutcomes>();

  constructor(private readonly clock: MonotonicClock) {}

  /** `stale`: the gateway has already said this, or more. */
  take({ gatewayId, sequence, entries }: OutcomesMessage): 'taken' | 'stale' {
    const known = this.gateways.get(gatewayId);
    if (known !== undefined && sequence <= known.sequence) return 'stale';
    const counts = new Map(known?.counts);
    const isHeardFromTheStart = known !== undefined || sequence === 1;
    for (const { deploymentId, versionDigest, ...said } of entries) {
      const key = `${deploymentId}/${versionDigest}`;
      if (isHeardFromTheStart) this.add(key, risen(said, counts.get(key)));
      counts.delete(key); // the map stays in order of when each was last told
      counts.set(key, said);
    }
    for (const key of counts.keys()) {
      if (counts.size <= GATEWAY_VERSIONS_MAX) break;
      counts.delete(key);
    }
    this.gateways.delete(gatewayId); // the map stays in order of age
    this.gateways.set(gatewayId, { sequence, heardAtMs: this.clock.nowMs(), counts });
    this.forgetOld();
    return 'taken';
  }

  /** Only ever rises while this process lives, unless the version was not spoken of for long. */
  of(deploymentId: string, versionDigest: string): VersionOutcomes {
    return this.totals.get(`${deploymentId}/${versionDigest}`) ?? NO_OUTCOMES;
  }

  private add(key: string, more: VersionOutcomes): void {
    const total = this.totals.get(key) ?? NO_OUTCOMES;
    this.totals.delete(key);
    this.totals.set(
      key,
      combine(total, more, (sum, part) => sum + part),
    );
  }

  private forgetOld(): void {
    const nowMs = this.clock.nowMs();
    for (const [id, { heardAtMs }] of this.gateways) {
      if (nowMs - heardAtMs <= GATEWAY_FORGOTTEN_AFTER_MS && this.gateways.size <= GATEWAYS_MAX) break;
      this.gateways.delete(id);
    }
    for (const key of this.totals.keys()) {
      if (this.totals.size <= VERSIONS_MAX) return;
      this.totals.delete(key);
    }
  }
}

/** What was counted since `before`; never negative. */
export function outcomesSince(now: VersionOutcomes, before: VersionOutcomes): VersionOutcomes {
  return combine(now, before, (present, past) => Math.max(0, present - past));
}

function risen(said: VersionOutcomes, before: VersionOutcomes = NO_OUTCOMES): VersionOutcomes {
  const fell = said.requests < before.requests || said.failures < before.failures;
  const isBegunAgain =
    fell || said.firstByteCounts.some((count, index) => count < (before.firstByteCounts[index] ?? 0));
  return isBegunAgain ? said : outcomesSince(said, before);
}

function combine(
  left: VersionOutcomes,
  right: VersionOutcomes,
  both: (left: number, right: number) => number,
): VersionOutcomes {
  return {
    requests: both(left.requests, right.requests),
    failures: both(left.failures, right.failures),
    firstByteCounts: left.firstByteCounts.map((count, index) => both(count, right.firstByteCounts[index] ?? 0)),
  };
}
