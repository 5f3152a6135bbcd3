/**
 * Whether all clusters hold and serve the versions of one model that they should: what each reports, against what its
 * desired document wants. Pure; `now` is an argument. Only clusters that have to do with the model are listed.
 */
import type { AgreementDto } from '#contracts';
import type { Cluster, DesiredState, HeldVersion, ModelVersion, Observation } from '#domain';
import { nextFire } from '../sync/cron.ts';

/** Reports come every 10 s; after this long without one nothing is known any more. */
export const STALE_SECONDS = 60;
/** What a full verification may be late, in periods of the cluster's cron. */
export const VERIFIED_PERIODS_MAX = 2;
const NAMES_MAX = 5;

export interface AgreementMember {
  readonly cluster: Pick<Cluster, 'name' | 'kind' | 'sync'>;
  readonly observation: Observation | null;
  readonly desired: DesiredState | null;
}

export interface AgreementQuestion {
  readonly modelName: string;
  /** Of the model, in any phase. */
  readonly versions: readonly ModelVersion[];
  /** Deployments of the model: whose replicas count as serving it. */
  readonly deploymentIds: ReadonlySet<string>;
  /** Digests of versions of other models. */
  readonly digestsElsewhere: ReadonlySet<string>;
  readonly members: readonly AgreementMember[];
  readonly now: Date;
}

type ClusterRow = AgreementDto['clusters'][number];

export function agree(question: AgreementQuestion): AgreementDto {
  const clusters = question.members
    .flatMap((member) => rowOf(question, member) ?? [])
    .sort((left, right) => (left.cluster < right.cluster ? -1 : 1));
  const published = question.versions.filter(({ phase }) => phase === 'Published').map(({ number }) => number);
  return {
    model: question.modelName,
    newest: published.length === 0 ? null : Math.max(...published),
    agrees: clusters.every(({ drift }) => drift === ''),
    summary: summaryOf(clusters),
    clusters,
  };
}

/** Null for a cluster that neither has nor wants anything of the model. */
function rowOf(question: AgreementQuestion, { cluster, observation, desired }: AgreementMember): ClusterRow | null {
  const { modelName, deploymentIds, now } = question;
  const numbers = numbersOf(question.versions);
  const report = observation?.report;
  const ofModel = (report?.versions ?? []).filter(({ digest }) => numbers.has(digest));
  const unknown = (report?.versions ?? []).filter(
    ({ digest }) => !numbers.has(digest) && !question.digestsElsewhere.has(digest),
  );
  const running = (report?.replicas ?? []).filter(({ deploymentId }) => deploymentIds.has(deploymentId));
  const serving = [...new Set(running.filter(({ phase }) => phase === 'Ready').map((each) => each.versionDigest))];
  const wanted = (desired?.versions ?? []).filter((version) => version.modelName === modelName);
  if (ofModel.length + serving.length + wanted.length === 0) return null;
  const numbered = (digest: string) => numbers.get(digest) ?? null;
  const drift = [
    ...staleWords(observation, now),
    ...unknown.map(({ digest }) => `holds ${short(digest)}, which the registry does not know`),
    ...wanted.flatMap(({ digest, number }) =>
      lackWords(
        number,
        ofModel.find((held) => held.digest === digest),
      ),
    ),
    ...servingWords(serving, numbered, question, desired),
    ...(cluster.kind === 'central' ? ofModel.flatMap((held) => lateWords(cluster, held, numbered, now)) : []),
  ];
  return {
    cluster: cluster.name,
    kind: cluster.kind,
    held: [...ofModel, ...unknown].map(({ digest, phase, verifiedAt }) => {
      return { version: numbered(digest), digest, phase, verifiedAt: verifiedAt ?? null };
    }),
    serving: serving.map((digest) => ({ version: numbered(digest), digest })),
    wanted: wanted.map(({ number }) => number).sort((left, right) => left - right),
    drift: drift.join('; '),
    ageSeconds: observation === null ? null : ageSeconds(observation.receivedAt, now),
  };
}

/** Of versions with the same content the newest counts. */
function numbersOf(versions: readonly ModelVersion[]): ReadonlyMap<string, number> {
  const inOrder = [...versions].sort((left, right) => left.number - right.number);
  return new Map(inOrder.flatMap(({ digest, number }) => (digest === null ? [] : [[digest, number] as const])));
}

function staleWords(observation: Observation | null, now: Date): string[] {
  if (observation === null) return ['has never reported'];
  const age = ageSeconds(observation.receivedAt, now);
  return age > STALE_SECONDS ? [`reported last ${Math.round(age)} s ago`] : [];
}

function lackWords(number: number, held: HeldVersion | undefined): string[] {
  if (held?.phase === 'Held') return [];
  if (held?.phase === 'Failed') return [`version ${number} failed: ${held.reason || 'it does not say why'}`];
  if (held === undefined) return [`lacks version ${number}`];
  const percent = held.bytesTotal > 0 ? `, ${Math.floor((100 * held.bytesHave) / held.bytesTotal)} %` : '';
  return [`lacks version ${number} (fetching${percent})`];
}

/** What serves must be what a replica is wanted of; one that drains is on its way out. */
function servingWords(
  serving: readonly string[],
  numbered: (digest: string) => number | null,
  { deploymentIds }: AgreementQuestion,
  desired: DesiredState | null,
): string[] {
  const replicas = (desired?.replicas ?? []).filter(
    ({ deploymentId, draining }) => deploymentIds.has(deploymentId) && !draining,
  );
  const wanted = new Set(replicas.map(({ versionDigest }) => versionDigest));
  const name = (digest: string) => (numbered(digest) === null ? short(digest) : `version ${numbered(digest)}`);
  const instead = wanted.size === 0 ? 'nothing is wanted' : `${[...wanted].map(name).join(', ')} is wanted`;
  return serving.filter((digest) => !wanted.has(digest)).map((digest) => `serves ${name(digest)} where ${instead}`);
}

/** Full verification is promised of central clusters; an edge proves a sample each time, and reports what it finds. */
function lateWords(
  { sync }: AgreementMember['cluster'],
  { digest, phase, verifiedAt }: HeldVersion,
  numbered: (digest: string) => number | null,
  now: Date,
): string[] {
  if (phase !== 'Held') return [];
  const name = `version ${numbered(digest)}`;
  if (verifiedAt === undefined) return [`${name} was never verified`];
  const verified = new Date(verifiedAt);
  const first = nextFire(sync, verified);
  const second = first === null ? null : nextFire(sync, first);
  if (first === null || second === null) return [];
  const periodMs = second.getTime() - first.getTime();
  if (now.getTime() - verified.getTime() <= VERIFIED_PERIODS_MAX * periodMs) return [];
  return [`${name} was verified last ${Math.round(ageSeconds(verified, now) / 3_600)} h ago`];
}

function summaryOf(clusters: readonly ClusterRow[]): string {
  if (clusters.length === 0) return 'no cluster holds, serves or wants it';
  const drifting = clusters.filter(({ drift }) => drift !== '');
  if (drifting.length === 0) {
    return clusters.length === 1 ? '1 cluster agrees' : `all ${clusters.length} clusters agree`;
  }
  const words = drifting.slice(0, NAMES_MAX).map(({ cluster, drift }) => `${cluster} ${drift}`);
  const more = drifting.length - NAMES_MAX;
  const rest = more > 0 ? ` | and ${more} more` : '';
  const agreeing = clusters.length - drifting.length;
  return `${agreeing} of ${clusters.length} clusters agree; ${words.join(' | ')}${rest}`;
}

/** Never below 0: clocks differ. */
function ageSeconds(at: Date, now: Date): number {
  return Math.max(0, (now.getTime() - at.getTime()) / 1_000);
}

function short(digest: string): string {
  return digest.slice(0, 12);
}
