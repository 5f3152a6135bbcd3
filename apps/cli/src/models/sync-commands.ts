// How a version travels to every cluster, and whether all clusters agree on a model.
import type { Command } from 'commander';
import type { AdminClient, AgreementDto, SyncClusterDto, VersionSyncDto } from '#contracts';
import { collect, parseName, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { FailedError, UsageError } from '../errors.ts';
import { addOutputOption, type OutputOptions, painter, renderFields, show } from '../output/output.ts';
import { renderTable } from '../output/table.ts';
import { formatBytes, formatSeconds, relativeTime } from '../output/units.ts';
import { addTimeoutOption, poll } from '../polling.ts';
import type { Terminal } from '../terminal.ts';
import { formatPercent } from './views.ts';

type ReadOptions = ConnectionOptions & OutputOptions;
type SyncOptions = ReadOptions & { readonly watch?: true; readonly cluster?: string[]; readonly timeout: number };

const WATCH_SECONDS_DEFAULT = 86_400;

export function addSyncCommands(model: Command, terminal: Terminal): void {
  addTimeoutOption(
    addConnectionOptions(addOutputOption(model.command('sync').description('how every cluster gets a version'))),
    WATCH_SECONDS_DEFAULT,
  )
    .argument('<model>', 'its name', parseName)
    .argument('[version]', 'its number (default: the newest published)', wholeNumber(1))
    .option('--watch', 'follow it until every cluster holds it')
    .option('--cluster <name>', 'only this cluster; may be given several times', collect(parseName))
    .action((name: string, version: number | undefined, options: SyncOptions) =>
      sync(name, version, options, terminal),
    );
  addConnectionOptions(
    addOutputOption(
      model
        .command('agreement')
        .description('which cluster holds and serves what, and whether all agree: exit code 1 when they do not'),
    ),
  )
    .argument('<model>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const agreement = await connect(terminal, options).agreement(name);
      show(terminal, options, agreement, () => renderAgreement(agreement, terminal));
      if (!agreement.agrees) throw new FailedError(`the clusters do not agree on ${name}`);
    });
}

async function sync(name: string, given: number | undefined, options: SyncOptions, terminal: Terminal): Promise<void> {
  const client = connect(terminal, options);
  const version = given ?? (await newestPublished(client, name));
  const look = async () => onlyOf(await client.versionSync(name, version), options.cluster);
  const found = options.watch ? await untilHeld(look, options.timeout, terminal) : await look();
  show(terminal, options, found, () => renderSync(found, terminal));
}

/** Throws UsageError when nothing is published. */
export async function newestPublished(client: AdminClient, model: string): Promise<number> {
  const published = (await client.versions(model)).filter(({ phase }) => phase === 'Published');
  if (published.length === 0) throw new UsageError(`${model} has no published version`);
  return Math.max(...published.map(({ number }) => number));
}

/** Without names, all. Throws UsageError for one that the control plane does not speak of. */
function onlyOf(found: VersionSyncDto, names: readonly string[] | undefined): VersionSyncDto {
  if (names === undefined) return found;
  const unknown = names.find((name) => !found.clusters.some(({ cluster }) => cluster === name));
  if (unknown !== undefined) throw new UsageError(`${unknown} is no member of the fleet; see: atoll cluster list`);
  return { ...found, clusters: found.clusters.filter(({ cluster }) => names.includes(cluster)) };
}

function untilHeld(look: () => Promise<VersionSyncDto>, timeoutSeconds: number, terminal: Terminal) {
  const late = (missing: string, seconds: number) => `not every cluster holds it after ${seconds} s: ${missing}`;
  return poll<VersionSyncDto>(late, { terminal, timeoutSeconds }, async () => {
    const found = await look();
    const missing = found.clusters.filter(({ state }) => state !== 'held');
    if (missing.length === 0) return { done: found };
    const held = found.clusters.length - missing.length;
    const states = missing.map(({ cluster, state }) => `${cluster} ${state}`).join(', ');
    return {
      missing: `${held} of ${found.clusters.length} hold version ${found.version} of ${found.model}; ${states}`,
      detail: missing.map(renderTransfer).join('; '),
    };
  });
}

function renderTransfer({ cluster, progress, reason }: SyncClusterDto): string {
  if (progress === null) return `${cluster}: ${reason}`;
  const { wireBytesHave, wireBytesTotal, bytesPerSecond, etaSeconds } = progress;
  const left = etaSeconds === null ? '' : `, ${formatSeconds(Math.ceil(etaSeconds))} left`;
  return `${cluster}: ${formatBytes(wireBytesHave)} of ${formatBytes(wireBytesTotal)} at ${formatBytes(bytesPerSecond)}/s${left}`;
}

/** A row a cluster, then what there is to say of each, then the summary. */
export function renderSync({ summary, clusters }: VersionSyncDto, screen: Screen): string {
  if (clusters.length === 0) return `${summary || 'No cluster is a member yet.'}\n`;
  const columns = ['cluster', 'state', 'path', 'wire', 'full', '%', 'rate', 'eta'].map((title) => ({ title }));
  const rows = clusters.map((each) => [
    each.cluster,
    each.state,
    each.path,
    each.state === 'held' ? '-' : formatBytes(each.wireBytes),
    formatBytes(each.fullBytes),
    each.state === 'held' || each.fullBytes === 0 ? '-' : formatPercent((100 * each.wireBytes) / each.fullBytes),
    each.progress === null ? '-' : `${formatBytes(each.progress.bytesPerSecond)}/s`,
    etaOf(each),
  ]);
  const notes = clusters.map((each) => [each.cluster, notesOf(each)] as const).filter(([, note]) => note !== '');
  const table = renderTable(columns, rows, screen.columns, painter(screen));
  return [table, ...(notes.length > 0 ? [renderFields(notes)] : []), `${summary}\n`].join('\n');
}

type Screen = Pick<Terminal, 'columns' | 'hasColours' | 'now'>;

/** Until it is here: what is left of the transfer, or the wait for the window and all of it. */
function etaOf({ state, progress, seconds, startsInSeconds }: SyncClusterDto): string {
  if (state === 'held') return '-';
  const left = progress === null ? (seconds === null ? null : startsInSeconds + seconds) : progress.etaSeconds;
  return left === null ? 'unknown' : formatSeconds(Math.ceil(left));
}

function notesOf({ progress, source, state, startsInSeconds, finishesInWindow, reason }: SyncClusterDto): string {
  const parts = [
    progress !== null && `${formatBytes(progress.wireBytesHave)} of ${formatBytes(progress.wireBytesTotal)}`,
    state !== 'held' && source !== '' && `from ${source}`,
    state !== 'held' && startsInSeconds > 0 && `starts in ${formatSeconds(startsInSeconds)}`,
    finishesInWindow === false && 'does not finish in its window',
  ].filter((part) => part !== false);
  return [parts.join(', '), reason].filter((part) => part !== '').join('; ');
}

export function renderAgreement({ summary, clusters, newest, model }: AgreementDto, screen: Screen): string {
  const now = screen.now();
  const columns = [
    ...['cluster', 'kind'].map((title) => ({ title })),
    { title: 'holds', wraps: true },
    ...['serves', 'wants', 'seen'].map((title) => ({ title })),
    { title: 'drift', wraps: true },
  ];
  const rows = clusters.map(({ cluster, kind, held, serving, wanted, drift, ageSeconds }) => [
    cluster,
    kind,
    held.map((each) => wordsOfHeld(each, now)).join(', ') || '-',
    serving.map(wordsOfVersion).join(', ') || '-',
    wanted.join(', ') || '-',
    ageSeconds === null ? 'never' : `${formatSeconds(ageSeconds)} ago`,
    drift || 'none',
  ]);
  const table = clusters.length === 0 ? '' : `${renderTable(columns, rows, screen.columns, painter(screen))}\n`;
  return `${table}${summary}${newest === null ? '' : `; the newest version of ${model} is ${newest}`}\n`;
}

function wordsOfHeld(held: AgreementDto['clusters'][number]['held'][number], now: Date): string {
  const { phase, verifiedAt } = held;
  if (phase !== 'Held') return `${wordsOfVersion(held)} ${phase}`;
  return `${wordsOfVersion(held)} (${verifiedAt === null ? 'not verified' : `verified ${relativeTime(verifiedAt, now)}`})`;
}

/** A digest that the registry does not know has no number: its beginning is told. */
function wordsOfVersion({ version, digest }: { version: number | null; digest: string }): string {
  return version === null ? `unknown ${digest.slice(0, 12)}` : String(version);
}
