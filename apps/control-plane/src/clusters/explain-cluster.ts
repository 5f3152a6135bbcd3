/**
 * Why a cluster is as it is, in sentences: a table of questions, each of which finds what is not as it should be, the
 * gravest first. Pure: the same facts give the same words.
 */
import type { ClusterDrainDto, ClusterExplainDto, ConflictDto, FindingDto } from '#contracts';
import {
  type Cluster,
  type DesiredState,
  judgePosition,
  type Node,
  type Observation,
  type Placement,
  type ReplicaReport,
} from '#domain';

export interface ClusterFacts {
  /** Unix milliseconds. */
  readonly nowMs: number;
  readonly cluster: Cluster;
  readonly observation: Observation | null;
  readonly desired: DesiredState | null;
  /** Live ones in this cluster. */
  readonly placements: readonly Placement[];
  readonly deploymentNames: ReadonlyMap<string, string>;
  readonly drain: ClusterDrainDto | null;
  readonly conflicts: readonly ConflictDto[];
  /** Since the last sign of life that this control plane heard; null: none. */
  readonly silentMs: number | null;
  /** Since NATS last said that its connection ended; null: not known. */
  readonly disconnectedMs: number | null;
}

type Finding = Omit<FindingDto, 'about'>;
type Replica = ClusterExplainDto['replicas'][number];

/** Reports come at least every 10 s. */
const REPORT_LATE_MS = 30_000;
/** Named in a sentence; the rest is counted. */
const NAMED_MAX = 3;

const QUESTIONS: readonly [FindingDto['about'], (facts: ClusterFacts) => readonly (Finding | null)[]][] = [
  ['membership', (facts) => [explainMembership(facts)]],
  ['contact', (facts) => [explainContact(facts), explainReport(facts)]],
  ['database', (facts) => [explainLead(facts)]],
  ['drain', (facts) => [explainDrain(facts)]],
  ['document', (facts) => [explainDocument(facts)]],
  ['devices', (facts) => [explainDevices(facts)]],
  ['replicas', (facts) => [explainMissing(facts), explainSurplus(facts), explainLocal(facts)]],
  ['versions', (facts) => [explainVersions(facts)]],
  ['conflicts', (facts) => [explainConflicts(facts)]],
  ['cordon', (facts) => [explainCordon(facts)]],
];

export function explainCluster(facts: ClusterFacts): ClusterExplainDto {
  const { cluster, observation, desired } = facts;
  const findings = QUESTIONS.flatMap(([about, ask]) =>
    ask(facts).flatMap((finding) => (finding === null ? [] : [{ about, ...finding }])),
  );
  const report = observation?.report;
  const { name, phase } = cluster;
  const running = replicasOf(facts).filter((replica) => replica.phase === 'Ready').length;
  return {
    cluster: name,
    phase,
    summary: findings[0]?.says ?? `${name} is ${phase}, and all is as wanted: ${count(running, 'replica')} ready`,
    findings,
    silentSeconds: facts.silentMs === null ? null : Math.round(facts.silentMs / 100) / 10,
    reportedAt: observation?.receivedAt.toISOString() ?? null,
    desired: { epoch: desired?.epoch ?? 0, revision: desired?.revision ?? 0 },
    applied: report === undefined ? null : { epoch: report.epoch, revision: report.revision },
    replicas: replicasOf(facts),
    versions: missingVersions(facts),
    conflicts: [...facts.conflicts],
  };
}

function explainMembership({ cluster: { name, phase } }: ClusterFacts): Finding | null {
  if (phase !== 'PendingApproval') return null;
  return { says: `${name} asked to join and has not been accepted`, next: `atoll cluster accept ${name}` };
}

function explainContact(facts: ClusterFacts): Finding | null {
  const { nowMs, cluster, silentMs, disconnectedMs, observation } = facts;
  if (cluster.phase !== 'Suspect' && cluster.phase !== 'Unknown') return null;
  const heard =
    silentMs === null ? 'nothing was heard of it by this control plane' : `it has been silent for ${age(silentMs)}`;
  const reported =
    observation === null ? 'it never reported' : `its last report is ${age(nowMs - +observation.receivedAt)} old`;
  const isCut = disconnectedMs !== null && (silentMs === null || disconnectedMs <= silentMs);
  const cut = isCut ? `; NATS said ${age(disconnectedMs)} ago that its connection ended` : '';
  const since = age(nowMs - cluster.phaseSince.getTime());
  return {
    says: `${cluster.name} has been ${cluster.phase} for ${since}: ${heard}, ${reported}${cut}`,
    next: 'look whether its machine runs and reaches NATS: atoll doctor, in the folder of its agent',
  };
}

function explainReport({ nowMs, cluster, observation }: ClusterFacts): Finding | null {
  if (cluster.phase !== 'Ready' && cluster.phase !== 'Draining') return null;
  if (observation === null) {
    const says = `${cluster.name} is heard, but has not reported its devices yet`;
    return { says, next: 'look into the log of its agent, if this stays so for more than a minute' };
  }
  const lateMs = nowMs - observation.receivedAt.getTime();
  if (lateMs <= REPORT_LATE_MS) return null;
  const says = `${cluster.name} is heard, but its last report is ${age(lateMs)} old`;
  return { says, next: 'look into the log of its agent: reports are due every 10 s' };
}

function explainLead({ cluster: { name, ahead }, desired }: ClusterFacts): Finding | null {
  if (ahead === null) return null;
  const known = `${desired?.revision ?? 0} of epoch ${desired?.epoch ?? 0}`;
  return {
    says: `${name} has applied revision ${ahead.revision} of epoch ${ahead.epoch}, the database knows ${known}: it was restored from a backup; nothing is changed there`,
    next: `see what would stop and start: atoll cluster resync ${name} --dry-run; then without --dry-run`,
  };
}

function explainDrain({ cluster: { name }, drain }: ClusterFacts): Finding | null {
  if (drain === null) return null;
  if (drain.isDone) {
    return { says: 'drained; nothing runs here', next: `atoll cluster undrain ${name}, when it may take work again` };
  }
  const blocked = drain.blockedBy.length === 0 ? '' : ` It waits for: ${listed(drain.blockedBy)}.`;
  return { says: `${drain.status}${blocked}`, next: `to undo it: atoll cluster undrain ${name}` };
}

function explainDocument({ nowMs, cluster, observation, desired }: ClusterFacts): Finding | null {
  if (observation === null || desired === null || cluster.ahead !== null) return null;
  if (judgePosition(desired, observation.report) !== 'behind') return null;
  const { revision } = observation.report;
  const reportMs = nowMs - observation.receivedAt.getTime();
  return {
    says: `its agent has applied revision ${revision} of its document, ${desired.revision} is wanted (by its report of ${age(reportMs)} ago)`,
    next: null,
  };
}

function explainDevices({ placements, observation, deploymentNames }: ClusterFacts): Finding | null {
  if (observation === null) return null;
  const present = deviceKeys(observation.report.nodes);
  const lost = placements.flatMap(({ deploymentId, devices }) =>
    (devices ?? []).flatMap(({ node, deviceIds }) =>
      deviceIds
        .filter((id) => !present.has(`${node} ${id}`))
        .map((id) => `${id} of ${node} (${deploymentNames.get(deploymentId) ?? deploymentId})`),
    ),
  );
  if (lost.length === 0) return null;
  const says = `${count(lost.length, 'device')} that replicas are bound to are not there any more: ${listed(lost)}`;
  return { says, next: 'look whether the machine still has them: drivers, cabling, the inventory of the agent' };
}

function deviceKeys(nodes: readonly Node[]): Set<string> {
  return new Set(nodes.flatMap(({ name, devices }) => devices.map(({ id }) => `${name} ${id}`)));
}

function explainMissing(facts: ClusterFacts): Finding | null {
  const missing = replicasOf(facts).filter(({ isWanted, phase }) => isWanted === true && phase !== 'Ready');
  if (missing.length === 0) return null;
  const each = missing.map(({ deployment, phase, reason }) => {
    return `${deployment} is ${phase ?? 'not reported yet'}${reason === '' ? '' : ` (${reason})`}`;
  });
  const failed = missing.find(({ phase }) => phase === 'Failed');
  return {
    says: `${count(missing.length, 'replica')} should serve here and ${missing.length === 1 ? 'does' : 'do'} not: ${listed(each)}`,
    next: failed === undefined ? null : `atoll explain deployment ${failed.deployment}`,
  };
}

function explainSurplus(facts: ClusterFacts): Finding | null {
  const surplus = replicasOf(facts).filter(
    ({ isWanted, phase }) => isWanted === false && phase !== null && phase !== 'Stopped',
  );
  if (surplus.length === 0) return null;
  const each = surplus.map(({ deployment, phase }) => `${deployment} (${phase})`);
  return { says: `${count(surplus.length, 'replica')} still runs here and should not: ${listed(each)}`, next: null };
}

function explainLocal(facts: ClusterFacts): Finding | null {
  const local = replicasOf(facts).filter(({ isWanted }) => isWanted === null);
  if (local.length === 0) return null;
  const names = [...new Set(local.map(({ deployment }) => deployment))];
  const says = `its agent started ${count(local.length, 'replica')} by itself, as local scaling lets it: ${listed(names)}`;
  return { says, next: null };
}

function explainVersions(facts: ClusterFacts): Finding | null {
  const missing = missingVersions(facts);
  if (missing.length === 0) return null;
  const each = missing.map(({ model, version, state, reason }) => {
    return `${model} ${version} is ${state}${reason === '' ? '' : ` (${reason})`}`;
  });
  const [first] = missing;
  const says = `${count(missing.length, 'version')} should be here whole and ${missing.length === 1 ? 'is' : 'are'} not: ${listed(each)}`;
  return { says, next: `atoll model sync ${first!.model} ${first!.version}` };
}

function explainConflicts({ cluster: { name }, conflicts }: ClusterFacts): Finding | null {
  const open = conflicts.filter(({ resolvedAt }) => resolvedAt === null);
  if (open.length === 0) return null;
  const says = `both sides changed while they were apart: ${listed(open.map(({ message }) => message))}`;
  return { says, next: `atoll cluster conflicts ${name}` };
}

function explainCordon({ cluster: { name, cordoned } }: ClusterFacts): Finding | null {
  if (!cordoned) return null;
  return { says: `${name} is cordoned: nothing new is placed here`, next: `atoll cluster uncordon ${name}` };
}

/** What should run, then what else does. */
function replicasOf({ placements, observation, deploymentNames }: ClusterFacts): Replica[] {
  const reports = new Map((observation?.report.replicas ?? []).map((report) => [report.replicaId, report]));
  const nameOf = (id: string) => deploymentNames.get(id) ?? 'a deployment that is gone';
  const placed = placements.map(({ id, deploymentId, phase, reason }): Replica => {
    const report = reports.get(id);
    reports.delete(id);
    const said = report === undefined ? reason : report.reason;
    const words = phase === 'Draining' ? reason : said;
    return describeReplica(id, nameOf(deploymentId), phase === 'Assigned', report, words);
  });
  const others = [...reports.values()].map((report): Replica => {
    const isWanted = report.isLocal === true ? null : false;
    return describeReplica(report.replicaId, nameOf(report.deploymentId), isWanted, report, report.reason);
  });
  return [...placed, ...others];
}

function describeReplica(
  replicaId: string,
  deployment: string,
  isWanted: boolean | null,
  report: ReplicaReport | undefined,
  reason: string,
): Replica {
  return { replicaId, deployment, isWanted, phase: report?.phase ?? null, reason };
}

function missingVersions({ desired, observation }: ClusterFacts): ClusterExplainDto['versions'] {
  const held = new Map((observation?.report.versions ?? []).map((version) => [version.digest, version]));
  return (desired?.versions ?? []).flatMap(({ modelName: model, number: version, digest: versionDigest }) => {
    const here = held.get(versionDigest);
    if (here?.phase === 'Held') return [];
    const state = here === undefined ? 'missing' : here.phase === 'Failed' ? 'Failed' : fetchedWords(here);
    return [{ model, version, versionDigest, state, reason: here?.reason ?? '' }];
  });
}

function fetchedWords({ bytesHave, bytesTotal }: { bytesHave: number; bytesTotal: number }): string {
  const percent = bytesTotal === 0 ? 0 : Math.floor((100 * bytesHave) / bytesTotal);
  return `Fetching, ${percent} % here`;
}

/** `3 s`, `14 min`, `5 h`, `2 d`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}

function count(number: number, one: string): string {
  return `${number} ${one}${number === 1 ? '' : 's'}`;
}

function listed(words: readonly string[]): string {
  const named = words.slice(0, NAMED_MAX).join('; ');
  return words.length <= NAMED_MAX ? named : `${named}; and ${words.length - NAMED_MAX} more`;
}
