/**
 * The victims of one domain: of the candidates that it holds, the set that frees at least `need` devices and loses least.
 * In order of weight (`compareLosses`): fewest overdrawn disruption budgets (P16), lowest most important victim (P01, P17),
 * queues that borrow most first (F01), smallest cost (P07), fewest victims, the domain in which most stays, latest start
 * (P08).
 *
 * Exact for the sums: a 0/1 knapsack over devices for each cap on the victims' priority, O(candidates × need); only the
 * latest start is settled state by state. Above `KNAPSACK_CELLS_MAX` cells, greedily by the loss a device instead. No
 * member of the set can be spared, as far as counting devices tells; `preemption.ts` asks the capacity as well.
 */
import { PRIORITY_MAX } from '#domain';

export interface VictimOption {
  /** That ending it frees in this domain; at least 1. */
  readonly devices: number;
  readonly priority: number;
  /** 1: its disruption budget is overdrawn by it. */
  readonly overdraws: 0 | 1;
  /** 0: not reclaimed, or of the queue that borrows most; 1: of the next … */
  readonly borrowerRank: number;
  /** See `VICTIM_COSTS`. */
  readonly cost: number;
  readonly startedAtMs: number;
}

export interface Loss {
  readonly overdraws: number;
  readonly topPriority: number;
  readonly borrowerRank: number;
  readonly cost: number;
  readonly victims: number;
  /**
   * Devices of the domain whose holders may not be asked. The more, the rather: what is as important comes together, and
   * other domains stay whole for what needs one whole. On the Philly trace a seed in three has important jobs of eight
   * devices wait for hours without it, because others of one device each are on every node.
   */
  readonly stays: number;
  /** Start of the one that runs longest. */
  readonly earliestStartMs: number;
}

/** Keeps a bound below a sum that was rounded otherwise. */
const BOUND_SLACK = 1 - 1e-9;
const KNAPSACK_CELLS_MAX = 100_000;
const NOTHING: Loss = {
  overdraws: 0,
  topPriority: -1,
  borrowerRank: 0,
  cost: 0,
  victims: 0,
  stays: 0,
  earliestStartMs: Number.POSITIVE_INFINITY,
};

export function lossOf(options: readonly VictimOption[]): Loss {
  return options.reduce(withVictim, NOTHING);
}

function withVictim(loss: Loss, option: VictimOption): Loss {
  return {
    overdraws: loss.overdraws + option.overdraws,
    topPriority: Math.max(loss.topPriority, option.priority),
    borrowerRank: loss.borrowerRank + option.borrowerRank,
    cost: loss.cost + option.cost,
    victims: loss.victims + 1,
    stays: loss.stays,
    earliestStartMs: Math.min(loss.earliestStartMs, option.startedAtMs),
  };
}

/** Negative: `left` loses less. */
export function compareLosses(left: Loss, right: Loss): number {
  return left.overdraws - right.overdraws || left.topPriority - right.topPriority || compareSums(left, right);
}

function compareSums(left: Loss, right: Loss): number {
  return (
    left.borrowerRank - right.borrowerRank ||
    left.cost - right.cost ||
    left.victims - right.victims ||
    right.stays - left.stays ||
    (left.earliestStartMs === right.earliestStartMs ? 0 : right.earliestStartMs - left.earliestStartMs)
  );
}

/**
 * Sums up options, to tell what any set of them must lose at least; exactly, where they are all alike, which is what many
 * domains with the same work in them are. Used again and again: `reset` first.
 */
export class LossBound {
  private readonly byPriority = Array.from({ length: PRIORITY_MAX + 1 }, () => new OptionSums());
  private readonly all = new OptionSums();

  reset(): void {
    for (const sums of this.byPriority) sums.reset();
  }

  add(priority: number, devices: number, cost: number, startedAtMs: number): void {
    this.byPriority[priority]!.add(devices, cost, startedAtMs);
  }

  /** Null: all together free too little. Never more than what `cheapestSet` of the same options loses. */
  of(need: number): Loss | null {
    this.all.reset();
    for (let topPriority = 0; topPriority <= PRIORITY_MAX; topPriority += 1) {
      this.all.include(this.byPriority[topPriority]!);
      if (this.all.devices >= need) return { ...NOTHING, topPriority, ...this.all.least(need) };
    }
    return null;
  }
}

/** Of some options: what each has at most or at least. */
class OptionSums {
  devices = 0;
  private devicesMin = Number.POSITIVE_INFINITY;
  private devicesMax = 0;
  private costMin = Number.POSITIVE_INFINITY;
  private costMax = 0;
  /** Least cost a device. */
  private ratioMin = Number.POSITIVE_INFINITY;
  private startMaxMs = Number.NEGATIVE_INFINITY;

  reset(): void {
    this.devices = this.devicesMax = this.costMax = 0;
    this.devicesMin = this.costMin = this.ratioMin = Number.POSITIVE_INFINITY;
    this.startMaxMs = Number.NEGATIVE_INFINITY;
  }

  add(devices: number, cost: number, startedAtMs: number): void {
    this.devices += devices;
    this.devicesMin = Math.min(this.devicesMin, devices);
    this.devicesMax = Math.max(this.devicesMax, devices);
    this.costMin = Math.min(this.costMin, cost);
    this.costMax = Math.max(this.costMax, cost);
    this.ratioMin = Math.min(this.ratioMin, cost / devices);
    this.startMaxMs = Math.max(this.startMaxMs, startedAtMs);
  }

  include(other: OptionSums): void {
    if (other.devices === 0) return;
    this.devices += other.devices;
    this.devicesMin = Math.min(this.devicesMin, other.devicesMin);
    this.devicesMax = Math.max(this.devicesMax, other.devicesMax);
    this.costMin = Math.min(this.costMin, other.costMin);
    this.costMax = Math.max(this.costMax, other.costMax);
    this.ratioMin = Math.min(this.ratioMin, other.ratioMin);
    this.startMaxMs = Math.max(this.startMaxMs, other.startMaxMs);
  }

  least(need: number): Pick<Loss, 'cost' | 'victims' | 'earliestStartMs'> {
    const victims = Math.ceil(need / this.devicesMax);
    const areAlike = this.devicesMin === this.devicesMax && this.costMin === this.costMax;
    const cost = areAlike
      ? sumOf(this.costMin, victims)
      : Math.max(this.ratioMin * need, this.costMin * victims) * BOUND_SLACK;
    return { cost, victims, earliestStartMs: this.startMaxMs };
  }
}

/** As `lossOf` adds up, so that equal sums are equal to the last bit. */
function sumOf(cost: number, times: number): number {
  let sum = 0;
  for (let added = 0; added < times; added += 1) sum += cost;
  return sum;
}

/** Null when all of them together free too little. `need` at least 1. */
export function cheapestSet<Option extends VictimOption>(options: readonly Option[], need: number): Option[] | null {
  if (totalDevices(options) < need) return null;
  const caps = [...new Set(options.map(({ priority }) => priority))].sort((left, right) => left - right);
  let best: Option[] | null = null;
  for (const cap of caps) {
    const within = options.filter(({ priority }) => priority <= cap);
    if (totalDevices(within) < need) continue;
    const set = within.length * need <= KNAPSACK_CELLS_MAX ? knapsack(within, need) : greedy(within, need);
    if (best === null || compareLosses(lossOf(set), lossOf(best)) < 0) best = set;
    if (lossOf(best).overdraws === 0) break;
  }
  return best;
}

function totalDevices(options: readonly VictimOption[]): number {
  let sum = 0;
  for (const { devices } of options) sum += devices;
  return sum;
}

/** `options` together free at least `need`. */
function knapsack<Option extends VictimOption>(options: readonly Option[], need: number): Option[] {
  // states[k]: the least loss that frees k devices, or `need` and more; from[i * (need + 1) + k]: the state before
  // option i was added to reach k, or -1.
  const states: (Loss | null)[] = new Array(need + 1).fill(null);
  const from = new Int32Array(options.length * (need + 1)).fill(-1);
  states[0] = NOTHING;
  options.forEach((option, index) => {
    for (let freed = need - 1; freed >= 0; freed -= 1) {
      const before = states[freed];
      if (before === null || before === undefined) continue;
      const target = Math.min(need, freed + option.devices);
      const after = withVictim(before, option);
      const known = states[target];
      if (known !== null && known !== undefined && compareWithin(known, after) <= 0) continue;
      states[target] = after;
      from[index * (need + 1) + target] = freed;
    }
  });
  return backtrack(options, need, from);
}

function backtrack<Option>(options: readonly Option[], need: number, from: Int32Array): Option[] {
  const set: Option[] = [];
  for (let index = options.length - 1, state = need; index >= 0 && state > 0; index -= 1) {
    const before = from[index * (need + 1) + state]!;
    if (before < 0) continue;
    set.push(options[index]!);
    state = before;
  }
  return set;
}

/** Under one cap on priority, which is then no criterion. */
function compareWithin(left: Loss, right: Loss): number {
  return left.overdraws - right.overdraws || compareSums(left, right);
}

function greedy<Option extends VictimOption>(options: readonly Option[], need: number): Option[] {
  const weightOf = ({ overdraws, cost, devices }: Option) => overdraws * Number.MAX_SAFE_INTEGER + cost / devices;
  const inOrder = [...options].sort((left, right) => weightOf(left) - weightOf(right));
  const chosen: Option[] = [];
  let freed = 0;
  for (const option of inOrder) {
    if (freed >= need) break;
    chosen.push(option);
    freed += option.devices;
  }
  return chosen.reverse().filter((option) => {
    if (freed - option.devices < need) return true;
    freed -= option.devices;
    return false;
  });
}
