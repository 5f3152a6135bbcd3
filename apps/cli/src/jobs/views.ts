import type {
  AttemptDto,
  JobArtifactsDto,
  JobCheckpointDto,
  JobDto,
  JobEventDto,
  JobExplainDto,
  JobPlanDto,
} from '#contracts';
import { painter, renderFields, renderLabels } from '../output/output.ts';
import { renderTable } from '../output/table.ts';
import { formatBytes, formatSeconds, relativeTime } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';

type Screen = Pick<Terminal, 'columns' | 'hasColours' | 'now'>;
type Bindings = JobDto['tasks'];

export function renderJobs(jobs: readonly JobDto[], screen: Screen): string {
  if (jobs.length === 0) return 'There are no jobs. Submit one: atoll job submit <name> -- <command>\n';
  const columns = [
    ...['name', 'queue', 'class', 'phase', 'made'].map((title) => ({ title })),
    { title: 'reason', wraps: true },
  ];
  const rows = jobs.map((job) => [
    job.name,
    job.queue,
    `${job.priorityClass} (${job.priority})`,
    job.phase,
    relativeTime(job.createdAt, screen.now()),
    progressOf(job),
  ]);
  return renderTable(columns, rows, screen.columns, painter(screen));
}

/** How far it is, or why it is no further. */
function progressOf({ phase, progress, reason, place }: JobDto): string {
  if (phase === 'Running' && progress !== null) return progress;
  return place === null ? reason : `place ${place}: ${reason}`;
}

export function renderJob(job: JobDto, screen: Screen): string {
  const { specification: spec, usage } = job;
  const ago = (time: string | null) => time && relativeTime(time, screen.now());
  return renderFields([
    ['Name', job.name],
    ['Kind', job.kind],
    ['Phase', `${job.phase}, since ${ago(job.phaseSince)}`],
    ['Reason', job.reason],
    ['Intent', job.cancelRequested ? 'to be cancelled' : job.suspended ? 'suspended' : null],
    ['Queue', `${job.queue}${job.place === null ? '' : `, place ${job.place}`}`],
    ['Class', `${job.priorityClass}: ${priorityWords(job)}`],
    ['Waits for', job.dependsOn.map(dependencyWords).join('\n')],
    ['Needs', needsOf(spec)],
    ['Where', whereOf(spec.selector)],
    ['Command', spec.command.map(quoted).join(' ')],
    ['Mounts', spec.mounts.map(({ name, model, version }) => `${name}: ${model} version ${version}`).join('\n')],
    ['Runs on', bindingWords(job.tasks)],
    ['Progress', job.progress],
    ['Room held', job.nomination && `${bindingWords(job.nomination.tasks)}, since ${ago(job.nomination.since)}`],
    ['Checkpoint', job.checkpoint && checkpointWords(job.checkpoint, screen)],
    ['Attempts', attemptWords(job)],
    ['Used', usageWords(usage)],
    ['Output', job.outputDigest],
    ['Published', job.published && `${job.published.model} version ${job.published.version}`],
    ['Made', ago(job.createdAt)],
    ['Ended', ago(job.endedAt)],
    ['Warning', job.warning],
  ]);
}

function priorityWords({ priority, preemption, preemptible }: JobDto): string {
  const takes = preemption === 'never' ? 'takes no room from others' : 'may preempt lower ones';
  return `priority ${priority}, ${takes}, ${preemptible ? 'may be preempted' : 'is never preempted'}`;
}

function dependencyWords({ job, when, phase }: JobDto['dependsOn'][number]): string {
  return `${job} ${when === 'always' ? 'to end' : 'to succeed'} (${phase ?? 'gone'})`;
}

function needsOf({ tasks, claim }: JobDto['specification']): string {
  const memory = claim.memoryBytesPerDevice ? ` with ${formatBytes(claim.memoryBytesPerDevice)} each` : '';
  const member = `${claim.count} ${claim.deviceType}${memory}, in one ${claim.schedulingPolicy.topologyScope}`;
  if (tasks.size === 1) return member;
  const least = tasks.minimum < tasks.size ? `, at least ${tasks.minimum}` : '';
  const near =
    tasks.topology === null ? '' : `, ${tasks.topology.required ? 'all' : 'best all'} in one ${tasks.topology.scope}`;
  return `${tasks.size} members${least}${near}, each ${member}`;
}

function whereOf(selector: JobDto['specification']['selector']): string {
  const parts = [
    selector.kinds && `kind ${selector.kinds.join(' or ')}`,
    selector.regions && `region ${selector.regions.join(' or ')}`,
    selector.labels && Object.keys(selector.labels).length > 0 && renderLabels(selector.labels),
    selector.clusterNames && `cluster ${selector.clusterNames.join(' or ')}`,
  ].filter((part) => typeof part === 'string');
  return parts.length === 0 ? 'any cluster' : parts.join(', ');
}

/** As a shell would take it, near enough to be read. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** `dc-1 n1: cpu0 cpu1`, a line a member when there are several. */
export function bindingWords(tasks: Bindings): string {
  const lines = tasks.map(({ rank, cluster, devices }) => {
    const where = devices?.map(({ node, deviceIds }) => `${node}: ${deviceIds.join(' ')}`).join('; ');
    return `${tasks.length > 1 ? `rank ${rank} on ` : ''}${cluster}${where === undefined ? '' : ` ${where}`}`;
  });
  const shown = lines.slice(0, 16);
  return lines.length > shown.length
    ? [...shown, `and ${lines.length - shown.length} more`].join('\n')
    : shown.join('\n');
}

function checkpointWords({ sequence, progress, sizeBytes, at }: JobCheckpointDto, screen: Screen): string {
  const what = progress === '' ? `number ${sequence}` : `${progress} (number ${sequence})`;
  return `${what}, ${formatBytes(sizeBytes)}, saved ${relativeTime(at, screen.now())}`;
}

function attemptWords({ attempts, failures, preemptions, specification }: JobDto): string {
  const failed = failures > 0 ? `, ${failures} failed of ${specification.retry.limit} that are tried again` : '';
  return `${attempts}${failed}${preemptions > 0 ? `, ${preemptions} preempted` : ''}`;
}

function usageWords({ deviceSeconds, lostDeviceSeconds, ranSeconds }: JobDto['usage']): string | null {
  if (ranSeconds === 0 && deviceSeconds === 0) return null;
  const lost = lostDeviceSeconds > 0 ? `, ${tenths(lostDeviceSeconds)} of them lost` : '';
  return `ran ${formatSeconds(ranSeconds)}, ${tenths(deviceSeconds)} accelerator-seconds${lost}`;
}

export function tenths(value: number): string {
  return String(Math.round(value * 10) / 10);
}

export function renderAttempts(attempts: readonly AttemptDto[], screen: Screen): string {
  if (attempts.length === 0) return 'It has not run yet.\n';
  const columns = [
    ...['attempt', 'phase', 'clusters', 'began', 'lost'].map((title) => ({ title })),
    { title: 'reason', wraps: true },
  ];
  const rows = attempts.map((attempt) => [
    String(attempt.number),
    attempt.outcome ?? attempt.phase,
    [...new Set(attempt.tasks.map(({ cluster }) => cluster))].join(' '),
    relativeTime(attempt.createdAt, screen.now()),
    tenths(attempt.lostDeviceSeconds),
    attempt.stop?.reason ?? attempt.reason,
  ]);
  return renderTable(columns, rows, screen.columns, painter(screen));
}

export function renderEvents(events: readonly JobEventDto[], screen: Screen): string {
  const columns = [{ title: 'when' }, { title: 'what' }, { title: 'message', wraps: true }];
  const rows = events.map(({ at, kind, message }) => [relativeTime(at, screen.now()), kind, message]);
  return renderTable(columns, rows, screen.columns);
}

export function renderArtifacts({ job, files }: JobArtifactsDto, screen: Screen): string {
  if (files.length === 0) return `${job} has left no output.\n`;
  const columns = [{ title: 'path', wraps: true }, { title: 'size' }, { title: 'digest' }];
  const rows = files.map(({ path, sizeBytes, digest }) => [path, formatBytes(sizeBytes), digest.slice(0, 12)]);
  return renderTable(columns, rows, screen.columns);
}

const PLAN_WORDS: Readonly<Record<JobPlanDto['state'], string>> = {
  started: 'It would start now',
  nominated: 'It would start once others have made room',
  waiting: 'It would wait',
  held: 'It would be held',
  unschedulable: 'It could never start',
};

export function renderJobPlan(plan: JobPlanDto, screen: Screen): string {
  const when = plan.startsBy === null ? null : relativeTime(plan.startsBy, screen.now());
  const head = renderFields([
    [PLAN_WORDS[plan.state], plan.reason],
    ['Where', bindingWords(plan.tasks)],
    ['Place', plan.place === null ? null : String(plan.place)],
    ['At the latest', when],
    ['What it needs', plan.sized],
    ['Warning', plan.warning],
  ]);
  return [
    head,
    renderVictims(plan.victims, screen),
    renderChanges(plan.changes),
    renderCandidates(plan.candidates, screen),
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function renderVictims(victims: JobPlanDto['victims'], screen: Screen): string {
  if (victims.length === 0) return '';
  const columns = [{ title: 'makes room' }, { title: 'priority' }, { title: 'loses (device-seconds)' }];
  const rows = victims.map(({ job, priority, lostDeviceSeconds }) => [
    job,
    String(priority),
    tenths(lostDeviceSeconds),
  ]);
  return renderTable(columns, rows, screen.columns);
}

function renderChanges(changes: readonly string[]): string {
  return changes.length === 0 ? '' : `What would help:\n${changes.map((change) => `  - ${change}\n`).join('')}`;
}

function renderCandidates(candidates: JobPlanDto['candidates'], screen: Screen): string {
  if (candidates.length === 0) return '';
  const columns = [{ title: 'candidate' }, { title: 'score' }, { title: 'why', wraps: true }];
  const rows = candidates.map(({ cluster, score, scores, rejectedBecause, rejectedBy }) => [
    cluster,
    score === null ? '-' : score.toFixed(2),
    rejectedBecause === null
      ? Object.entries(scores)
          .map(([name, value]) => `${name} ${value.toFixed(2)}`)
          .join(', ')
      : `no: ${rejectedBecause}${rejectedBy ? ` (${rejectedBy})` : ''}`,
  ]);
  return renderTable(columns, rows, screen.columns);
}

/** The sentence first; then all that it rests on. */
export function renderExplanation(explained: JobExplainDto, screen: Screen): string {
  const { sentence, place, startsBy, victims, preemptedBy, changes, candidates, decisions, attempts } = explained;
  const ago = (time: string) => relativeTime(time, screen.now());
  const fields = renderFields([
    ['Place', place === null ? null : String(place)],
    ['At the latest', startsBy && ago(startsBy)],
    [
      'Was preempted',
      preemptedBy
        .map(
          ({ reason, lostDeviceSeconds, at }) =>
            `${ago(at)}: ${reason}; lost ${tenths(lostDeviceSeconds)} device-seconds`,
        )
        .join('\n'),
    ],
  ]);
  const history = decisions.map(({ decidedAt, outcome }) => [ago(decidedAt), outcome]);
  const parts = [
    `${sentence}\n`,
    place === null && startsBy === null && preemptedBy.length === 0 ? '' : fields,
    renderVictims(victims, screen),
    renderChanges(changes),
    renderCandidates(candidates, screen),
    history.length === 0
      ? ''
      : renderTable([{ title: 'decided' }, { title: 'outcome', wraps: true }], history, screen.columns),
    attempts.length === 0 ? '' : renderAttempts(attempts, screen),
  ];
  return parts.filter((part) => part !== '').join('\n');
}
