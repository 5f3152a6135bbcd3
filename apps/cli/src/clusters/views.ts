import type { ClusterDto } from '#contracts';
import { siteGroupOf } from '#domain';
import { painter, renderFields, renderLabels } from '../output/output.ts';
import { renderTable } from '../output/table.ts';
import { formatBytes, relativeTime } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';
import { formatRate, syncPolicyFields } from './sync-policy.ts';

type Screen = Pick<Terminal, 'columns' | 'hasColours' | 'now'>;

export function renderClusters(clusters: readonly ClusterDto[], screen: Screen): string {
  if (clusters.length === 0) {
    return 'No cluster has joined yet. Make a token for one: atoll cluster token create <name> --kind edge\n';
  }
  const columns = ['name', 'kind', 'region', 'phase', 'devices', 'replicas', 'reported'].map((title) => ({ title }));
  const rows = clusters.map((cluster) => [
    cluster.name,
    cluster.kind,
    cluster.region || '-',
    phaseOf(cluster),
    devicesOf(cluster),
    replicasOf(cluster),
    cluster.observed ? relativeTime(cluster.observed.reportedAt, screen.now()) : 'never',
  ]);
  return renderTable(columns, rows, screen.columns, painter(screen));
}

export function renderCluster(cluster: ClusterDto, screen: Screen): string {
  const now = screen.now();
  const { observed } = cluster;
  const head = renderFields([
    ['Name', cluster.name],
    ['Kind', cluster.kind],
    ['Region', cluster.region],
    ['Zone', cluster.zone],
    ['Labels', renderLabels(cluster.labels)],
    ['Phase', `${phaseOf(cluster)} (since ${relativeTime(cluster.phaseSince, now)})`],
    ['Drain', cluster.drain?.status],
    ['What next', adviceFor(cluster)],
    ['Joined', relativeTime(cluster.createdAt, now)],
    ['Reported', observed ? relativeTime(observed.reportedAt, now) : 'never'],
    ['Agent', observed?.agentVersion],
    ['Endpoint', observed ? (observed.endpoint ?? 'none; it dials the gateways') : null],
    ['Applied', observed && `revision ${observed.appliedRevision} of ${observed.desiredRevision}`],
    ['Sync', `${cluster.sync.mode}; see: atoll cluster sync ${cluster.name}`],
  ]);
  if (!observed) return head;
  return [head, renderNodes(observed, screen), renderReplicas(observed, screen), renderVersions(observed, screen)]
    .filter((part) => part !== '')
    .join('\n');
}

/** The policy, and what the agent measured. */
export function renderSync({ sync, observed, labels }: ClusterDto): string {
  const measures = observed?.measures;
  const rate = (bytes: number | undefined) => (bytes === undefined ? 'not measured yet' : formatRate(bytes));
  const group = siteGroupOf({ labels });
  return renderFields([
    ...syncPolicyFields(sync),
    ['Site group', group === null ? 'none: it fetches from the registry only' : `${group}: neighbours first`],
    ['From registry', measures && rate(measures.registryBytesPerSecond)],
    ['From neighbours', measures && rate(measures.neighbourBytesPerSecond)],
    ['Disk free', measures && formatBytes(measures.diskFreeBytes)],
  ]);
}

type Observed = NonNullable<ClusterDto['observed']>;

function renderNodes({ nodes }: Observed, screen: Screen): string {
  if (nodes.length === 0) return '';
  const columns = [{ title: 'node' }, { title: 'devices', wraps: true }, { title: 'memory' }];
  const rows = nodes.map(({ name, devices }) => [
    name,
    countTypes(devices),
    formatBytes(devices.reduce((sum, device) => sum + device.memoryBytes, 0)),
  ]);
  return renderTable(columns, rows, screen.columns);
}

function renderReplicas({ replicas }: Observed, screen: Screen): string {
  if (replicas.length === 0) return '';
  const columns = [{ title: 'replica' }, { title: 'phase' }, { title: 'reason', wraps: true }];
  const rows = replicas.map(({ replicaId, phase, reason, isLocal }) => [
    replicaId,
    isLocal ? `${phase}, by itself` : phase,
    reason ?? '',
  ]);
  return renderTable(columns, rows, screen.columns, painter(screen));
}

function renderVersions({ versions }: Observed, screen: Screen): string {
  if (versions.length === 0) return '';
  const columns = [{ title: 'holds version' }, { title: 'state', wraps: true }];
  const rows = versions.map((version) => [version.digest.slice(0, 12), stateOf(version, screen.now())]);
  return renderTable(columns, rows, screen.columns, painter(screen));
}

function stateOf(version: Observed['versions'][number], now: Date): string {
  const { phase, bytesHave, bytesTotal, reason, sync, verifiedAt } = version;
  if (phase === 'Held')
    return `${phase}${verifiedAt === undefined ? '' : `, verified ${relativeTime(verifiedAt, now)}`}`;
  if (phase === 'Failed') return `${phase} ${reason}`;
  if (sync === undefined) return `${phase} ${formatBytes(bytesHave)} of ${formatBytes(bytesTotal)}`;
  const wire = `${formatBytes(sync.wireBytesHave)} of ${formatBytes(sync.wireBytesTotal)}`;
  const from = `${sync.path} from ${sync.source}`;
  return [`${phase} ${wire}`, from, `${formatBytes(sync.bytesPerSecond)}/s`, reason].filter(Boolean).join(', ');
}

function phaseOf({ phase, cordoned }: ClusterDto): string {
  return cordoned ? `${phase}, cordoned` : phase;
}

function adviceFor({ name, phase, cordoned, drain, ahead }: ClusterDto): string | null {
  if (phase === 'PendingApproval') return `atoll cluster accept ${name}`;
  if (phase === 'Suspect' || phase === 'Unknown') return `it is out of contact: atoll explain cluster ${name}`;
  if (ahead !== null) return `it is ahead of a restored database: atoll cluster resync ${name} --dry-run`;
  if (drain !== null) return drain.isDone ? `atoll cluster undrain ${name}` : `atoll explain cluster ${name}`;
  return cordoned ? `atoll cluster uncordon ${name}, when it may get placements again` : null;
}

function devicesOf({ observed }: ClusterDto): string {
  return observed ? countTypes(observed.nodes.flatMap(({ devices }) => devices)) : '-';
}

function countTypes(devices: readonly { deviceType: string }[]): string {
  const counts = Map.groupBy(devices, ({ deviceType }) => deviceType);
  return [...counts].map(([type, of]) => `${of.length} ${type}`).join(', ') || 'none';
}

function replicasOf({ observed }: ClusterDto): string {
  if (!observed) return '-';
  const ready = observed.replicas.filter(({ phase }) => phase === 'Ready').length;
  return `${ready}/${observed.replicas.length}`;
}
