import type { DeploymentDto, DeploymentPlanDto } from '#contracts';
import { painter, renderFields, renderLabels } from '../output/output.ts';
import { renderTable } from '../output/table.ts';
import { formatBytes, relativeTime } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';
import { policyFields } from './rollout-arguments.ts';
import { servingFields } from './serving-arguments.ts';
import { describeSpread } from './spread-arguments.ts';

type Screen = Pick<Terminal, 'columns' | 'hasColours' | 'now'>;

export function renderDeployments(deployments: readonly DeploymentDto[], screen: Screen): string {
  if (deployments.length === 0) {
    return 'Nothing is deployed yet. Serve a model: atoll deployment create <name> --model <model>\n';
  }
  const columns = [
    ...['name', 'model', 'version', 'ready'].map((title) => ({ title })),
    { title: 'status', wraps: true },
  ];
  const rows = deployments.map((deployment) => [
    deployment.name,
    deployment.model,
    String(deployment.version),
    `${deployment.readyReplicas}/${deployment.replicas}`,
    deployment.status,
  ]);
  return renderTable(columns, rows, screen.columns, painter(screen));
}

export function renderDeployment(deployment: DeploymentDto, screen: Screen): string {
  const { claim, disconnect } = deployment;
  const memory = claim.memoryBytesPerDevice ? ` with ${formatBytes(claim.memoryBytesPerDevice)} each` : '';
  const head = renderFields([
    ['Name', deployment.name],
    ['Serves', `${deployment.model} version ${deployment.version} as ${deployment.servedModel}`],
    ['Digest', deployment.versionDigest],
    ['Follows', deployment.alias && `alias ${deployment.alias}`],
    ['Replicas', `${deployment.readyReplicas} ready of ${deployment.replicas}`],
    ['Needs', `${claim.count} ${claim.deviceType}${memory}, in one ${claim.schedulingPolicy.topologyScope}`],
    ['Where', whereOf(deployment)],
    ['Spread', describeSpread(deployment.spread)],
    ['Account', `queue ${deployment.queue}, class ${deployment.priorityClass} (${deployment.priority})`],
    ['Out of contact', outOfContactOf(disconnect)],
    ...servingFields(deployment),
    ...policyFields(deployment.rolloutPolicy),
    ['Rollout', rolloutOf(deployment)],
    ['Made', relativeTime(deployment.createdAt, screen.now())],
    ['Status', deployment.status],
  ]);
  const placements = deployment.placements.filter(({ placementPhase }) => placementPhase !== 'Removed');
  if (placements.length === 0) return head;
  const columns = [
    ...['cluster', 'version', 'phase'].map((title) => ({ title })),
    { title: 'reason', wraps: true },
    { title: 'replica' },
  ];
  const rows = placements.map((replica) => [
    replica.cluster,
    String(replica.version),
    phaseOf(replica),
    replica.reason,
    // The end of a UUIDv7 is its random part: enough to tell replicas apart.
    replica.id.slice(-12),
  ]);
  return `${head}\n${renderTable(columns, rows, screen.columns, painter(screen))}`;
}

export function renderPlan(plan: DeploymentPlanDto, screen: Screen): string {
  const changes = [
    ...plan.assign.map(({ cluster, reason }) => ['start', cluster, reason]),
    ...plan.remove.map(({ cluster, reason }) => ['stop', cluster, reason]),
  ];
  const parts = [`${plan.outcome}\n`];
  if (changes.length > 0) {
    parts.push(
      renderTable([{ title: 'do' }, { title: 'cluster' }, { title: 'why', wraps: true }], changes, screen.columns),
    );
  }
  if (plan.candidates.length > 0) {
    const columns = [{ title: 'candidate' }, { title: 'score' }, { title: 'why', wraps: true }];
    const rows = plan.candidates.map(({ cluster, score, scores, rejectedBecause, rejectedBy }) => [
      cluster,
      score === null ? '-' : score.toFixed(2),
      rejectedBecause === null
        ? Object.entries(scores)
            .map(([name, value]) => `${name} ${value.toFixed(2)}`)
            .join(', ')
        : `no: ${rejectedBecause}${rejectedBy ? ` (${rejectedBy})` : ''}`,
    ]);
    parts.push(renderTable(columns, rows, screen.columns));
  }
  return parts.join('\n');
}

/** What the agent says of a replica; before it said anything, what was decided. */
export function phaseOf({ phase, placementPhase }: DeploymentDto['placements'][number]): string {
  return placementPhase === 'Draining' ? 'Draining' : (phase ?? 'Pending');
}

function outOfContactOf({ lostAfterSeconds, replace, reconcile }: DeploymentDto['disconnect']): string {
  if (replace === 'never') return `waited for, however long; then ${reconcile}`;
  return `replaced elsewhere after ${lostAfterSeconds} s, then ${reconcile}`;
}

function rolloutOf({ rollout }: DeploymentDto): string | null {
  if (rollout === null) return null;
  const { fromVersion, toVersion, phase, wave, waves, reason } = rollout;
  return `version ${fromVersion} → ${toVersion} ${phase}, wave ${wave} of ${waves}${reason === '' ? '' : `\n${reason}`}`;
}

function whereOf({ selector }: DeploymentDto): string {
  const parts = [
    selector.kinds && `kind ${selector.kinds.join(' or ')}`,
    selector.regions && `region ${selector.regions.join(' or ')}`,
    selector.labels && Object.keys(selector.labels).length > 0 && renderLabels(selector.labels),
    selector.clusterNames && `cluster ${selector.clusterNames.join(' or ')}`,
  ].filter((part) => typeof part === 'string');
  return parts.length === 0 ? 'any cluster' : parts.join(', ');
}
