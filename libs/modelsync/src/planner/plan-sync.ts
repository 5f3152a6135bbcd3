/**
 * The planner: the cheapest way, in seconds, from the versions a cluster holds to the version it needs.
 *
 *   seconds(step) = overhead + bytes ÷ bandwidth of its source + result bytes ÷ apply speed of its codec
 *
 * Versions are nodes, diffs are edges between them, snapshots are edges from nothing; the plan is the shortest path
 * (Dijkstra). So a fast link takes quick codecs or even the snapshot, a slow one the fewest bytes, without a rule for
 * either. Equal plans are told apart by bytes from the registry, then bytes, then steps, then names, so that the same
 * input always gives the same plan.
 */

/** Something that can be fetched. `from: null` is a version by itself: a snapshot, or its files as they are. */
export interface SyncArtifact {
  readonly from: string | null;
  readonly to: string;
  /** Bytes to transfer. */
  readonly bytes: number;
  /** Bytes of the version it makes. */
  readonly resultBytes: number;
  /** What applies it: a key of the cluster's `applyBytesPerSecond`, e.g. `fast`, `small`, `snapshot`, `raw`. */
  readonly codec: string;
}

/** An artifact where it can be had. */
export interface SyncOffer {
  readonly artifact: SyncArtifact;
  readonly source: { readonly kind: 'registry' | 'neighbour'; readonly name: string; readonly bytesPerSecond: number };
}

export interface SyncQuestion {
  /** Digests of the versions that the cluster holds, verified. */
  readonly held: readonly string[];
  readonly wanted: string;
  readonly offers: readonly SyncOffer[];
  /** Measured, by codec; bytes of result a second. */
  readonly applyBytesPerSecond: Readonly<Record<string, number>>;
  /** For codecs without a measure; default 100 MB/s. */
  readonly applyBytesPerSecondDefault?: number;
  /** For each step, whatever its size (requests, opening, the switch); default 0.2 s. */
  readonly stepOverheadSeconds?: number;
}

export type SyncPath = 'nothing' | 'direct-diff' | 'diff-chain' | 'snapshot' | 'snapshot-and-diffs';

export interface SyncStep extends SyncOffer {
  readonly transferSeconds: number;
  readonly applySeconds: number;
}

export interface SyncPlan {
  readonly path: SyncPath;
  readonly steps: readonly SyncStep[];
  /** Bytes to transfer, and how many of them leave the registry. */
  readonly bytes: number;
  readonly registryBytes: number;
  readonly seconds: number;
  /** One sentence: what was chosen, its cost, and what the other ways would have cost. */
  readonly reason: string;
  /** The best plan of every other path there is. */
  readonly alternatives: readonly { readonly path: SyncPath; readonly bytes: number; readonly seconds: number }[];
}

export interface NoSyncPlan {
  readonly path: 'impossible';
  /** What is missing. */
  readonly reason: string;
}

const APPLY_BYTES_PER_SECOND_DEFAULT = 100e6;
const STEP_OVERHEAD_SECONDS_DEFAULT = 0.2;

interface Way {
  readonly steps: readonly SyncStep[];
  readonly seconds: number;
  readonly bytes: number;
  readonly registryBytes: number;
}

const HERE: Way = { steps: [], seconds: 0, bytes: 0, registryBytes: 0 };

/** Decides; same question, same plan. Offers with a bandwidth that is not above 0 are left out. */
export function planSync(question: SyncQuestion): SyncPlan | NoSyncPlan {
  const { held, wanted } = question;
  const steps = question.offers
    .filter(({ source }) => source.bytesPerSecond > 0)
    .map((offer) => timed(offer, question));
  const diffs = steps.filter(({ artifact }) => artifact.from !== null);
  const whole = steps.filter(({ artifact }) => artifact.from === null);
  const fromHeld = new Map(held.map((version) => [version, HERE] as const));

  const ways: readonly (Way | undefined)[] = [
    held.includes(wanted) ? HERE : undefined,
    shortestWay(
      fromHeld,
      diffs.filter(({ artifact }) => artifact.to === wanted && held.includes(artifact.from!)),
      wanted,
    ),
    shortestWay(fromHeld, diffs, wanted),
    shortestWay(
      new Map(),
      whole.filter(({ artifact }) => artifact.to === wanted),
      wanted,
    ),
    shortestWay(new Map(), steps, wanted),
  ];
  const candidates = ways.filter((way) => way !== undefined).sort(compareWays);
  const [best] = candidates;
  if (best === undefined) return { path: 'impossible', reason: whyNot(question, steps) };
  const path = pathOf(best);
  const others = new Map(candidates.toReversed().map((way) => [pathOf(way), way]));
  others.delete(path);
  const alternatives = [...others].map(([other, { bytes, seconds }]) => ({ path: other, bytes, seconds })).reverse();
  return { path, ...best, reason: explain(path, best, alternatives), alternatives };
}

function timed(offer: SyncOffer, question: SyncQuestion): SyncStep {
  const { artifact, source } = offer;
  const applyDefault = question.applyBytesPerSecondDefault ?? APPLY_BYTES_PER_SECOND_DEFAULT;
  const overhead = question.stepOverheadSeconds ?? STEP_OVERHEAD_SECONDS_DEFAULT;
  const speed = question.applyBytesPerSecond[artifact.codec] ?? applyDefault;
  return {
    artifact,
    source,
    transferSeconds: overhead + artifact.bytes / source.bytesPerSecond,
    applySeconds: artifact.resultBytes / speed,
  };
}

/** Dijkstra from the versions in `starts` (and from nothing) to `goal`; undefined where there is no way. */
function shortestWay(starts: ReadonlyMap<string, Way>, steps: readonly SyncStep[], goal: string): Way | undefined {
  const open = new Map(starts);
  const settled = new Set<string>();
  for (const step of steps) if (step.artifact.from === null) offerWay(open, step.artifact.to, after(HERE, step));
  while (open.size > 0) {
    const [version, way] = [...open].reduce((left, right) => (compareWays(left[1], right[1]) <= 0 ? left : right));
    if (version === goal) return way;
    open.delete(version);
    settled.add(version);
    for (const step of steps) {
      if (step.artifact.from === version && !settled.has(step.artifact.to))
        offerWay(open, step.artifact.to, after(way, step));
    }
  }
  return undefined;
}

function offerWay(open: Map<string, Way>, version: string, way: Way): void {
  const known = open.get(version);
  if (known === undefined || compareWays(way, known) < 0) open.set(version, way);
}

function after(way: Way, step: SyncStep): Way {
  const { bytes } = step.artifact;
  return {
    steps: [...way.steps, step],
    seconds: way.seconds + step.transferSeconds + step.applySeconds,
    bytes: way.bytes + bytes,
    registryBytes: way.registryBytes + (step.source.kind === 'registry' ? bytes : 0),
  };
}

function compareWays(left: Way, right: Way): number {
  return (
    left.seconds - right.seconds ||
    left.registryBytes - right.registryBytes ||
    left.bytes - right.bytes ||
    left.steps.length - right.steps.length ||
    namesOf(left).localeCompare(namesOf(right), 'en')
  );
}

function namesOf({ steps }: Way): string {
  return steps.map(({ artifact, source }) => `${artifact.from} ${artifact.to} ${artifact.codec} ${source.name}`).join();
}

function pathOf({ steps }: Way): SyncPath {
  if (steps.length === 0) return 'nothing';
  if (steps[0]!.artifact.from === null) return steps.length === 1 ? 'snapshot' : 'snapshot-and-diffs';
  return steps.length === 1 ? 'direct-diff' : 'diff-chain';
}

const WORDS: Readonly<Record<SyncPath, string>> = {
  nothing: 'nothing to do',
  'direct-diff': 'a direct diff',
  'diff-chain': 'a chain of diffs',
  snapshot: 'the whole version',
  'snapshot-and-diffs': 'an older whole version and diffs',
};

function explain(path: SyncPath, way: Way, alternatives: SyncPlan['alternatives']): string {
  if (path === 'nothing') return 'nothing to do: the version is held';
  const sources = [...new Set(way.steps.map(({ source }) => source.name))].join(', ');
  const codecs = [...new Set(way.steps.map(({ artifact }) => artifact.codec))].join(', ');
  const chosen = `${WORDS[path]} (${codecs}) from ${sources}: ${cost(way)}`;
  const rest = alternatives.map((other) => `${WORDS[other.path]} ${cost(other)}`);
  return rest.length === 0 ? `${chosen}; there is no other way` : `${chosen}; otherwise ${rest.join(', ')}`;
}

function cost({ bytes, seconds }: { readonly bytes: number; readonly seconds: number }): string {
  return `${(bytes / 1e6).toFixed(2)} MB in ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
}

function whyNot({ wanted, held, offers }: SyncQuestion, steps: readonly SyncStep[]): string {
  const name = wanted.slice(0, 12);
  if (steps.length < offers.length && steps.length === 0) return `no source of ${name} can be reached`;
  const makers = steps.filter(({ artifact }) => artifact.to === wanted);
  if (makers.length === 0) return `nobody offers version ${name}, neither whole nor as a diff`;
  const bases = [...new Set(makers.map(({ artifact }) => artifact.from?.slice(0, 12)))].join(', ');
  return `version ${name} is offered only as a diff against ${bases}, and ${held.length === 0 ? 'nothing' : 'none of them'} is held`;
}
