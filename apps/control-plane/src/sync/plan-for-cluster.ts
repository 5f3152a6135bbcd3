/**
 * How one cluster should get one version: the offers that there are for it, and the cheapest way by `planSync`.
 *
 * Pure; the same question gives the same plan, so the answer to an agent and the overview for operators are one
 * decision. Invariants: nothing is offered that the agent said to avoid; a cluster of policy `snapshot` is given only
 * what needs no base; with a neighbour that has the version nothing is asked of the registry. Windows, claims and tokens
 * are the caller's.
 */
import type {
  ArtifactFile,
  Cluster,
  ModelVersion,
  SyncMeasures,
  SyncPolicy,
  VersionArtifact,
  VersionFile,
} from '#domain';
import { planSync, type SyncArtifact, type SyncOffer } from '#modelsync';
import { type Speeds, type StepProfile, speedsOf } from './speeds.ts';

/** Steps and files of one answer; a plan beyond them is made again without chains. */
const STEPS_MAX = 64;
const FILES_MAX = 10_000;

export interface Neighbour {
  readonly clusterId: string;
  readonly name: string;
  /** Where its blobs are. */
  readonly url: string;
}

export interface ClusterQuestion {
  readonly cluster: Pick<Cluster, 'kind'> & { readonly sync: Pick<SyncPolicy, 'mode' | 'bytesPerSecondMax'> };
  readonly version: PublishedVersion;
  /** The model's versions, whatever their phase: what held digests stand for. */
  readonly versions: readonly ModelVersion[];
  /** The model's artifacts, in any phase. */
  readonly artifacts: readonly VersionArtifact[];
  /** The one to fetch from; null: nobody near has the version. */
  readonly neighbour: Neighbour | null;
  /** Digests of versions. */
  readonly held: readonly string[];
  /** Digests of files held besides those of `held`. */
  readonly filesHeld?: Iterable<string>;
  /** Ids of artifacts. */
  readonly avoid?: readonly string[];
  readonly measures: Omit<SyncMeasures, 'diskFreeBytes'> | null;
}

export type PublishedVersion = Pick<ModelVersion, 'id' | 'number' | 'files' | 'sizeBytes'> & {
  readonly digest: string;
};

export interface PlannedStep {
  /** Null: whole files. */
  readonly artifactId: string | null;
  readonly from: string | null;
  readonly to: string;
  readonly profile: StepProfile;
  /** Null: from the registry. */
  readonly neighbour: Neighbour | null;
  /** All that the step can make; the agent skips what it has. */
  readonly files: readonly ArtifactFile[];
}

export type WirePath = 'direct-diff' | 'diff-chain' | 'snapshot' | 'snapshot-and-diffs' | 'whole-files';

export interface ClusterPlan {
  readonly path: WirePath;
  readonly steps: readonly PlannedStep[];
  readonly wireBytes: number;
  readonly registryBytes: number;
  /** Of the version's files, those that the cluster has not. */
  readonly missingBytes: number;
  /** What it takes on disk while it is done: what is fetched encoded, and what is made of it. */
  readonly diskBytes: number;
  readonly seconds: number;
  readonly reason: string;
}

export interface NoClusterPlan {
  readonly path: 'impossible';
  readonly missingBytes: number;
  readonly reason: string;
}

interface Offered extends SyncOffer {
  readonly step: PlannedStep;
}

export function planForCluster(question: ClusterQuestion): ClusterPlan | NoClusterPlan {
  const { version } = question;
  // An agent that asks for what it says to hold has found it broken.
  const held = question.held.filter((digest) => digest !== version.digest);
  const filesHeld = filesHeldBy(held, question);
  const missingBytes = bytesOf(missing(wholeFiles(version), filesHeld), 'sizeBytes');
  const speeds = speedsOf(question.cluster, question.measures);
  const offers = offersOf(question, speeds, filesHeld, missingBytes);
  const ask = (from: readonly Offered[]) =>
    planSync({ held, wanted: version.digest, offers: from, applyBytesPerSecond: { ...speeds.applyBytesPerSecond } });
  const first = ask(offers);
  const plan = isTooLarge(first, offers)
    ? ask(offers.filter(({ artifact }) => isDirect(artifact, version, held)))
    : first;
  if (plan.path === 'impossible' || plan.path === 'nothing') {
    return { path: 'impossible', missingBytes, reason: plan.reason };
  }
  const steps = plan.steps.map(({ artifact }) => stepOf(offers, artifact));
  const encoded = steps
    .flatMap(({ files }) => missing(files, filesHeld))
    .filter(({ encoding }) => encoding !== 'whole');
  return {
    path: plan.path === 'snapshot' && steps[0]!.profile === 'whole' ? 'whole-files' : plan.path,
    steps,
    wireBytes: plan.bytes,
    registryBytes: plan.registryBytes,
    missingBytes,
    diskBytes: missingBytes + bytesOf(encoded, 'blobBytes'),
    seconds: plan.seconds,
    reason: question.cluster.sync.mode === 'snapshot' ? `policy snapshot takes no diffs: ${plan.reason}` : plan.reason,
  };
}

function offersOf(
  question: ClusterQuestion,
  speeds: Speeds,
  filesHeld: ReadonlySet<string>,
  missingBytes: number,
): Offered[] {
  const { version, neighbour, cluster } = question;
  const offer = (step: PlannedStep): Offered => {
    const wanted = missing(step.files, filesHeld);
    const artifact: SyncArtifact = {
      from: step.from,
      to: step.to,
      bytes: bytesOf(wanted, 'blobBytes'),
      resultBytes: bytesOf(wanted, 'sizeBytes'),
      codec: step.profile,
    };
    const source =
      step.neighbour === null
        ? { kind: 'registry' as const, name: 'registry', bytesPerSecond: speeds.registryBytesPerSecond }
        : { kind: 'neighbour' as const, name: step.neighbour.name, bytesPerSecond: speeds.neighbourBytesPerSecond };
    return { artifact, source, step };
  };
  const whole = {
    artifactId: null,
    from: null,
    to: version.digest,
    profile: 'whole',
    files: wholeFiles(version),
  } as const;
  // With nothing to fetch there is nothing to ask a neighbour for either.
  if (neighbour !== null && missingBytes > 0) return [offer({ ...whole, neighbour })];
  const encoded = artifactSteps(question).filter(({ from }) => from === null || cluster.sync.mode === 'incremental');
  return [...encoded.map(offer), offer({ ...whole, neighbour: null })];
}

/** Ready artifacts whose ends are known and are not to be avoided. */
function artifactSteps({ artifacts, versions, avoid = [] }: ClusterQuestion): PlannedStep[] {
  const digests = new Map(versions.map(({ id, digest }) => [id, digest]));
  return artifacts.flatMap((artifact) => {
    const { id, baseVersionId, versionId, phase, profile, files } = artifact;
    const to = digests.get(versionId);
    const from = baseVersionId === null ? null : digests.get(baseVersionId);
    const isUsable = phase === 'Ready' && !avoid.includes(id) && to != null && from !== undefined && from !== to;
    if (!isUsable || (baseVersionId !== null && from === null)) return [];
    return [{ artifactId: id, from, to, profile, neighbour: null, files }];
  });
}

/** A version's files as encodings of themselves; content that stands at several paths is fetched once. */
function wholeFiles({ files }: { readonly files: readonly VersionFile[] }): ArtifactFile[] {
  const byDigest = new Map(files.map((file) => [file.digest, file]));
  return [...byDigest.values()].map(({ digest, sizeBytes }) => ({
    digest,
    sizeBytes,
    encoding: 'whole',
    baseDigest: null,
    blobDigest: digest,
    blobBytes: sizeBytes,
  }));
}

function filesHeldBy(held: readonly string[], { versions, filesHeld = [] }: ClusterQuestion): ReadonlySet<string> {
  const files = new Set(filesHeld);
  for (const { digest, files: own } of versions) {
    if (digest !== null && held.includes(digest)) for (const file of own) files.add(file.digest);
  }
  return files;
}

function missing(files: readonly ArtifactFile[], filesHeld: ReadonlySet<string>): ArtifactFile[] {
  return files.filter(({ digest }) => !filesHeld.has(digest));
}

function bytesOf(files: readonly ArtifactFile[], field: 'sizeBytes' | 'blobBytes'): number {
  return files.reduce((sum, file) => sum + file[field], 0);
}

function isDirect({ from, to }: SyncArtifact, { digest }: PublishedVersion, held: readonly string[]): boolean {
  return to === digest && (from === null || held.includes(from));
}

function isTooLarge(plan: ReturnType<typeof planSync>, offers: readonly Offered[]): boolean {
  if (!('steps' in plan)) return false;
  const files = plan.steps.reduce((sum, { artifact }) => sum + stepOf(offers, artifact).files.length, 0);
  return plan.steps.length > STEPS_MAX || files > FILES_MAX;
}

/** The planner hands the very artifact back that it was offered. */
function stepOf(offers: readonly Offered[], artifact: SyncArtifact): PlannedStep {
  return offers.find((offer) => offer.artifact === artifact)!.step;
}
