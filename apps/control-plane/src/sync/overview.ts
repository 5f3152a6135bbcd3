/**
 * What was or would be done to bring one version to every cluster: by the same pure plan that agents are answered with,
 * and the arithmetic of windows. Pure; `now` is an argument.
 *
 * Of a site group in which nobody has the version yet, the one that can begin first fetches it from the registry, and the
 * others from it, once it has finished.
 */
import type { SyncClusterDto } from '#contracts';
import { type ModelVersion, type SyncPolicy, siteGroupOf, type VersionArtifact, windowState } from '#domain';
import { type ClusterPlan, type NoClusterPlan, type PublishedVersion, planForCluster } from './plan-for-cluster.ts';
import { chooseNeighbour, heldOf, isNeighbour, type Member } from './site-group.ts';

export interface OverviewQuestion {
  readonly version: PublishedVersion;
  /** Of the model. */
  readonly versions: readonly ModelVersion[];
  readonly artifacts: readonly VersionArtifact[];
  readonly members: readonly Member[];
  readonly now: Date;
}

/** How it ends, for the summary. `finishes` is said of what is planned only. */
export type Prospect = 'held' | 'fetching' | 'finishes' | 'too-slow' | 'no-disk' | 'no-way' | 'failed' | 'unreachable';

export interface ClusterProspect {
  readonly row: SyncClusterDto;
  readonly prospect: Prospect;
}

/** Who fetches it for a group, and when the others can have it from there. */
interface Holder {
  readonly member: Member;
  readonly readyInSeconds: number;
}

/** In the order of the clusters' names. */
export function overviewOf(question: OverviewQuestion): ClusterProspect[] {
  const { members, now } = question;
  const begin = (member: Member) => startOf(member.cluster.sync, now, 0);
  const inOrder = [...members].sort((left, right) => begin(left) - begin(right) || byName(left, right));
  const holders = new Map<string, Holder>();
  // Those that fetch now come first: the others of their group wait for them whatever the windows say.
  const isFetching = (member: Member) => heldOf(member, question.version.digest)?.phase === 'Fetching';
  const prospects = [...inOrder.filter(isFetching), ...inOrder.filter((member) => !isFetching(member))].map(
    (member) => {
      const group = groupKey(member);
      const holder = group === null ? undefined : holders.get(group);
      const prospect = prospectOf(question, member, holder);
      const finished = finishOf(prospect);
      if (group !== null && holder === undefined && finished !== null && member.observation?.report.blobEndpoint) {
        holders.set(group, { member, readyInSeconds: finished });
      }
      return prospect;
    },
  );
  return prospects.sort((left, right) => (left.row.cluster < right.row.cluster ? -1 : 1));
}

function prospectOf(question: OverviewQuestion, member: Member, holder: Holder | undefined): ClusterProspect {
  const { cluster, observation } = member;
  const { version } = question;
  const held = heldOf(member, version.digest);
  const base = {
    cluster: cluster.name,
    kind: cluster.kind,
    fullBytes: version.sizeBytes,
    progress: held?.sync ?? null,
  };
  const nothing = { source: '', wireBytes: 0, seconds: 0, startsInSeconds: 0, finishesInWindow: null };
  if (held?.phase === 'Held') {
    return { prospect: 'held', row: { ...base, ...nothing, state: 'held', path: 'nothing', reason: 'holds it' } };
  }
  if (observation === null || cluster.phase === 'Unknown') {
    const reason = observation === null ? 'has never reported' : 'is out of contact';
    const row = { ...base, ...nothing, state: 'unreachable' as const, path: 'impossible', seconds: null, reason };
    return { prospect: 'unreachable', row };
  }
  const planned = plannedProspect(question, member, holder);
  if (held?.phase === 'Fetching') {
    const { path, source, wireBytesTotal, etaSeconds } = held.sync ?? {
      path: planned.row.path,
      source: planned.row.source,
      wireBytesTotal: held.bytesTotal,
      etaSeconds: null,
    };
    const now = { path, source, wireBytes: wireBytesTotal, seconds: etaSeconds };
    const row = { ...planned.row, ...base, ...now, state: 'fetching' as const, reason: held.reason || 'fetches it' };
    return { prospect: 'fetching', row };
  }
  if (held?.phase === 'Failed') {
    const reason = `failed: ${held.reason || 'it does not say why'}; then: ${planned.row.reason}`;
    return { prospect: 'failed', row: { ...planned.row, state: 'failed', reason } };
  }
  return planned;
}

function plannedProspect(question: OverviewQuestion, member: Member, holder: Holder | undefined): ClusterProspect {
  const { version, now } = question;
  const { cluster, observation } = member;
  const measures = observation?.report.measures ?? null;
  const plan = planForCluster({
    cluster,
    version,
    versions: question.versions,
    artifacts: question.artifacts,
    neighbour: neighbourOf(question, member, holder),
    held: observation!.report.versions.filter(({ phase }) => phase === 'Held').map(({ digest }) => digest),
    measures,
  });
  const base = { cluster: cluster.name, kind: cluster.kind, fullBytes: version.sizeBytes, progress: null };
  const notBefore = isFrom(plan, holder) ? holder!.readyInSeconds : 0;
  const startsInSeconds = startOf(cluster.sync, now, notBefore);
  if (plan.path === 'impossible') {
    const row = { ...base, state: 'planned' as const, path: plan.path, source: '', wireBytes: 0, seconds: null };
    return {
      prospect: 'no-way',
      row: { ...row, startsInSeconds, finishesInWindow: hasWindows(cluster.sync) ? false : null, reason: plan.reason },
    };
  }
  const { prospect, finishesInWindow, reason } = judge(plan, cluster.sync, startsInSeconds, {
    now,
    diskFreeBytes: measures?.diskFreeBytes ?? null,
  });
  const { path, wireBytes, seconds } = plan;
  const source = plan.steps[0]!.neighbour?.name ?? 'registry';
  const row = { ...base, state: 'planned' as const, path, source, wireBytes, seconds, startsInSeconds };
  return { prospect, row: { ...row, finishesInWindow, reason } };
}

/** Who has it now, else who will. */
function neighbourOf({ version, members }: OverviewQuestion, { cluster }: Member, holder: Holder | undefined) {
  const near = members.filter((other) => isNeighbour(cluster, other.cluster));
  const serving = chooseNeighbour(cluster.id, near, version.digest, []);
  if (serving !== null || holder === undefined || holder.member.cluster.id === cluster.id) return serving;
  const { id, name } = holder.member.cluster;
  return { clusterId: id, name, url: `http://${holder.member.observation!.report.blobEndpoint}` };
}

function isFrom(plan: ClusterPlan | NoClusterPlan, holder: Holder | undefined): boolean {
  if (plan.path === 'impossible' || holder === undefined) return false;
  return plan.steps.some(({ neighbour }) => neighbour?.clusterId === holder.member.cluster.id);
}

interface Judgement {
  readonly prospect: Prospect;
  readonly finishesInWindow: boolean | null;
  readonly reason: string;
}

function judge(
  plan: ClusterPlan,
  policy: SyncPolicy,
  startsInSeconds: number,
  { now, diskFreeBytes }: { now: Date; diskFreeBytes: number | null },
): Judgement {
  const windowed = hasWindows(policy);
  if (diskFreeBytes !== null && diskFreeBytes < plan.diskBytes) {
    const reason = `needs ${megabytes(plan.diskBytes)} of disk and has ${megabytes(diskFreeBytes)} free`;
    return { prospect: 'no-disk', finishesInWindow: windowed ? false : null, reason };
  }
  const { isOpen, changesInSeconds, words } = windowState(policy, later(now, startsInSeconds));
  if (!windowed || (isOpen && (changesInSeconds === null || plan.seconds <= changesInSeconds))) {
    return { prospect: 'finishes', finishesInWindow: windowed ? true : null, reason: plan.reason };
  }
  const room = isOpen ? `${Math.round(changesInSeconds!)} s` : 'nothing';
  const reason = `takes ${Math.round(plan.seconds)} s, and ${room} is left of the window ${words}: ${plan.reason}`;
  return { prospect: 'too-slow', finishesInWindow: false, reason };
}

/** Seconds until it may begin: not before `notBefore`, and in a window. */
function startOf(policy: SyncPolicy, now: Date, notBefore: number): number {
  const { isOpen, changesInSeconds } = windowState(policy, later(now, notBefore));
  // Windows are counted from whole seconds.
  return isOpen ? notBefore : Math.floor(notBefore) + (changesInSeconds ?? 0);
}

/** When a group's others can have it from there; null: not foreseeable. */
function finishOf({ prospect, row }: ClusterProspect): number | null {
  if (prospect !== 'fetching' && prospect !== 'finishes') return null;
  return row.seconds === null ? null : row.startsInSeconds + row.seconds;
}

function groupKey({ cluster }: Member): string | null {
  const group = siteGroupOf(cluster);
  return group === null ? null : `${cluster.tenantId} ${group}`;
}

function hasWindows({ windows }: SyncPolicy): boolean {
  return windows.length > 0;
}

function later(now: Date, seconds: number): Date {
  return new Date(now.getTime() + seconds * 1_000);
}

function byName(left: Member, right: Member): number {
  return left.cluster.name < right.cluster.name ? -1 : 1;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 0)} MB`;
}
