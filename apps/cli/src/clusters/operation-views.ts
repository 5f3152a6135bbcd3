import type { ClusterExplainDto, ConflictsDto, DrainPlanDto, ResyncDto } from '#contracts';
import { painter, renderFields } from '../output/output.ts';
import { renderTable } from '../output/table.ts';
import { relativeTime } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';

type Screen = Pick<Terminal, 'columns' | 'hasColours' | 'now'>;

const why = { title: 'why', wraps: true };

export function renderDrainPlan({ outcome, replicas, jobs }: DrainPlanDto, screen: Screen): string {
  const rows = [
    ...replicas.map(({ deployment, to, says }) => [`replica of ${deployment}`, to ?? '-', says]),
    ...jobs.map(({ job, attempt, says }) => [`job ${job}, attempt ${attempt}`, '-', says]),
  ];
  if (rows.length === 0) return `${outcome}\n`;
  return `${outcome}\n\n${renderTable([{ title: 'what' }, { title: 'to' }, why], rows, screen.columns)}`;
}

export function renderExplanation(found: ClusterExplainDto, screen: Screen): string {
  const { cluster, phase, summary, findings, silentSeconds, reportedAt, desired, applied } = found;
  const head = renderFields([
    ['Cluster', `${cluster} (${phase})`],
    ['In short', summary],
    ['Heard', silentSeconds === null ? 'not yet' : `${silentSeconds} s ago`],
    ['Reported', reportedAt === null ? 'never' : relativeTime(reportedAt, screen.now())],
    ['Wanted', `revision ${desired.revision} of epoch ${desired.epoch}`],
    ['Applied', applied && `revision ${applied.revision} of epoch ${applied.epoch}`],
  ]);
  return [head, renderFindings(findings, screen), renderReplicas(found, screen)].filter(Boolean).join('\n');
}

function renderFindings(findings: ClusterExplainDto['findings'], screen: Screen): string {
  if (findings.length === 0) return '';
  const columns = [{ title: 'about' }, { title: 'what is so', wraps: true }, { title: 'what next', wraps: true }];
  const rows = findings.map(({ about, says, next }) => [about, says, next ?? 'it goes over by itself']);
  return renderTable(columns, rows, screen.columns, painter(screen));
}

function renderReplicas({ replicas }: ClusterExplainDto, screen: Screen): string {
  if (replicas.length === 0) return '';
  const columns = [...['replica', 'should', 'phase', 'of'].map((title) => ({ title })), why];
  const rows = replicas.map(({ replicaId, deployment, isWanted, phase, reason }) => {
    const should = isWanted === null ? 'local' : isWanted ? 'run' : 'stop';
    return [replicaId.slice(-12), should, phase ?? '-', deployment, reason];
  });
  return renderTable(columns, rows, screen.columns, painter(screen));
}

export function renderConflicts({ cluster, conflicts }: ConflictsDto, screen: Screen): string {
  if (conflicts.length === 0) return `Nothing was changed on both sides of ${cluster} in the last week.\n`;
  const columns = [{ title: 'since' }, { title: 'what', wraps: true }, { title: 'resolved', wraps: true }];
  const rows = conflicts.map(({ openedAt, message, resolution }) => [
    relativeTime(openedAt, screen.now()),
    message,
    resolution ?? 'open',
  ]);
  return renderTable(columns, rows, screen.columns);
}

export function renderResync({ reported, known, next, stops, starts, outcome }: ResyncDto, screen: Screen): string {
  const head = renderFields([
    ['Its agent', `revision ${reported.revision} of epoch ${reported.epoch}`],
    ['Database', `revision ${known.revision} of epoch ${known.epoch}`],
    ['Next', `revision ${next.revision} of epoch ${next.epoch}`],
    ['Outcome', outcome],
  ]);
  const rows = [
    ...stops.map(({ id, what }) => ['stop', what, id]),
    ...starts.map(({ id, what }) => ['start', what, id]),
  ];
  if (rows.length === 0) return head;
  return `${head}\n${renderTable([{ title: 'do' }, { title: 'what' }, { title: 'id' }], rows, screen.columns)}`;
}
