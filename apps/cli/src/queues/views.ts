import type { PriorityClassDto, QueueDetailDto, QueueDto, TenantDetailDto, TenantDto, UsageDto } from '#contracts';
import { painter, renderFields } from '../output/output.ts';
import { renderTable } from '../output/table.ts';
import { relativeTime } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';

type Screen = Pick<Terminal, 'columns' | 'hasColours' | 'now'>;

export function renderQueues(queues: readonly QueueDto[], screen: Screen): string {
  const columns = [
    ...['name', 'parent', 'weight'].map((title) => ({ title })),
    { title: 'quota', wraps: true },
    { title: 'uses', wraps: true },
    ...['share', 'waiting', 'running', 'order'].map((title) => ({ title })),
  ];
  const rows = queues.map((queue) => [
    queue.paused ? `${queue.name} (paused)` : queue.name,
    queue.parent ?? '-',
    String(queue.weight),
    counts(queue.quota),
    counts(queue.usage),
    share(queue),
    String(queue.length),
    String(queue.running),
    queue.order,
  ]);
  return renderTable(columns, rows, screen.columns, painter(screen));
}

export function renderQueue(queue: QueueDto | QueueDetailDto, screen: Screen): string {
  const head = renderFields([
    ['Name', queue.name],
    ['Part of', queue.parent],
    ['State', queue.paused ? 'paused: takes work and starts none' : null],
    ['Weight', String(queue.weight)],
    ['Quota', counts(queue.quota)],
    ['May borrow', queue.borrowingLimit === null ? 'as far as there is room' : counts(queue.borrowingLimit)],
    ['Lends', queue.lendingLimit === null ? 'all that is idle' : counts(queue.lendingLimit)],
    ['Order', queue.order],
    ['Uses', counts(queue.usage)],
    ['Borrowed', counts(queue.borrowed)],
    ['Share', share(queue)],
    ['Length', `${queue.length} waiting, ${queue.running} running`],
  ]);
  if (!('pending' in queue) || queue.pending.length === 0) return head;
  const columns = [
    ...['place', 'job', 'priority', 'phase', 'since'].map((title) => ({ title })),
    { title: 'reason', wraps: true },
  ];
  const rows = queue.pending.map(({ job, place, priority, phase, queuedAt, reason }) => [
    place === null ? '-' : String(place),
    job,
    String(priority),
    phase,
    queuedAt === null ? '-' : relativeTime(queuedAt, screen.now()),
    reason,
  ]);
  const more = queue.length - queue.pending.length;
  return `${head}\n${renderTable(columns, rows, screen.columns, painter(screen))}${more > 0 ? `and ${more} more\n` : ''}`;
}

/** `nvidia.com/gpu 8, cpu 2`, or `-` when there are none. */
function counts(given: Readonly<Partial<Record<string, number>>>): string {
  const pairs = Object.entries(given).map(([type, count]) => `${type} ${count}`);
  return pairs.length === 0 ? '-' : pairs.join(', ');
}

function share({ share: value }: QueueDto): string {
  return value === null ? '-' : `${Math.round(value * 1_000) / 10} %`;
}

export function renderPriorityClasses(classes: readonly PriorityClassDto[], screen: Screen): string {
  const columns = ['name', 'priority', 'takes room of lower ones', 'may be preempted'].map((title) => ({ title }));
  const rows = [...classes]
    .sort((left, right) => right.priority - left.priority)
    .map(({ name, priority, preemption, preemptible }) => [
      name,
      String(priority),
      preemption === 'never' ? 'no' : 'yes',
      preemptible ? 'yes' : 'no',
    ]);
  return renderTable(columns, rows, screen.columns);
}

export function renderTenants(tenants: readonly TenantDto[], screen: Screen): string {
  const columns = [{ title: 'name' }, { title: 'made' }];
  const rows = tenants.map(({ name, createdAt }) => [name, relativeTime(createdAt, screen.now())]);
  return renderTable(columns, rows, screen.columns);
}

export function renderTenant({ name, createdAt, holds }: TenantDetailDto, screen: Screen): string {
  return renderFields([
    ['Name', name],
    ['Made', relativeTime(createdAt, screen.now())],
    ['Holds', holds.length === 0 ? 'nothing that keeps it from being removed' : holds.map(holding).join('; ')],
  ]);
}

function holding({ kind, count, names }: TenantDetailDto['holds'][number]): string {
  return `${count} ${kind} (${names.join(', ')}${count > names.length ? ' …' : ''})`;
}

export function renderUsage({ tenant, since, queues, total }: UsageDto, screen: Screen): string {
  const head = `Accelerator-seconds of ${tenant} since ${since}, what runs now included:\n\n`;
  const columns = ['queue', 'device type', 'jobs', 'of them lost', 'serving'].map((title) => ({ title }));
  const rows = [...queues, { queue: 'total', deviceType: '', ...total }].map((row) => [
    row.queue,
    row.deviceType,
    ...[row.jobDeviceSeconds, row.lostDeviceSeconds, row.servingDeviceSeconds].map((value) => value.toFixed(0)),
  ]);
  return head + renderTable(columns, rows, screen.columns);
}
