import type { AliasDto, ArtifactDto, ModelDto, VersionDto } from '#contracts';
import { painter, renderFields } from '../output/output.ts';
import { renderTable } from '../output/table.ts';
import { formatBytes, relativeTime } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';
import { receivedBytesOf } from './upload.ts';

type Screen = Pick<Terminal, 'columns' | 'hasColours' | 'now'>;

const titles = (...names: string[]) => names.map((title) => ({ title }));

export function renderModels(
  models: readonly (ModelDto & { aliases: readonly Pick<AliasDto, 'name' | 'version'>[] })[],
  screen: Screen,
): string {
  if (models.length === 0) return 'There is no model yet. Make one: atoll model create <name>\n';
  const columns = [...titles('name', 'snapshots', 'keeps'), { title: 'aliases', wraps: true }, { title: 'made' }];
  const rows = models.map(({ name, policy, aliases, createdAt }) => [
    name,
    policy.snapshotCron,
    `${policy.keepVersions} or ${policy.keepDays} d`,
    aliases.map((alias) => `${alias.name} → ${alias.version}`).join(', ') || '-',
    relativeTime(createdAt, screen.now()),
  ]);
  return renderTable(columns, rows, screen.columns);
}

export function renderModel(
  model: ModelDto,
  aliases: readonly AliasDto[],
  versions: readonly VersionDto[],
  screen: Screen,
): string {
  const head = renderFields([
    ['Name', model.name],
    ['Made', relativeTime(model.createdAt, screen.now())],
    ...policyFields(model),
    ['Aliases', aliases.map(({ name, version }) => `${name} → version ${version}`).join('\n') || 'none'],
  ]);
  return `${head}\n${renderVersions(versions, screen)}`;
}

export function renderPolicy(model: ModelDto): string {
  return renderFields(policyFields(model));
}

function policyFields({ policy }: ModelDto): [string, string][] {
  return [
    ['Snapshots', `${policy.snapshotCron} UTC, of the newest version`],
    ['Keeps', `the newest ${policy.keepVersions}, those younger than ${policy.keepDays} d, and whatever is in use`],
  ];
}

export function renderVersions(versions: readonly VersionDto[], screen: Screen): string {
  if (versions.length === 0) return 'There is no version yet. Publish one: atoll model publish <model> <path>\n';
  const columns = [
    ...titles('version', 'phase', 'size', 'parent', 'digest', 'made'),
    ...['aliases', 'notes'].map((title) => ({ title, wraps: true })),
  ];
  const rows = versions.map((version) => [
    String(version.number),
    version.phase,
    version.phase === 'Uploading'
      ? `${formatBytes(receivedBytesOf(version))} of ${formatBytes(version.sizeBytes)}`
      : formatBytes(version.sizeBytes),
    version.parent === null ? '-' : String(version.parent),
    version.digest?.slice(0, 12) ?? '-',
    relativeTime(version.publishedAt ?? version.createdAt, screen.now()),
    version.aliases.join(', '),
    version.notes,
  ]);
  return renderTable(columns, rows, screen.columns, painter(screen));
}

export function renderVersion(version: VersionDto, screen: Screen): string {
  const { signature, metadata } = version;
  const head = renderFields([
    ['Version', `${version.number} of ${version.model}`],
    ['Phase', version.phase],
    ['Digest', version.digest],
    ['Size', formatBytes(version.sizeBytes)],
    ['Parent', version.parent === null ? 'none' : `version ${version.parent}`],
    ['Aliases', version.aliases.join(', ')],
    ['Signed', signature === null ? 'no' : `by ${signature.publicKey}`],
    ['Made', relativeTime(version.publishedAt ?? version.createdAt, screen.now())],
    ['Notes', version.notes],
    ...Object.entries(metadata).map(([key, value]): [string, string] => [`  ${key}`, value]),
  ]);
  const rows = version.files.map(({ path, sizeBytes, digest }) => [
    path,
    formatBytes(sizeBytes),
    digest?.slice(0, 12) ?? '-',
  ]);
  return `${head}\n${renderTable([{ title: 'file', wraps: true }, ...titles('size', 'digest')], rows, screen.columns)}`;
}

export function renderAliases(model: string, aliases: readonly AliasDto[], screen: Screen): string {
  if (aliases.length === 0) return `${model} has no alias. Make one: atoll model alias ${model} stable <version>\n`;
  const now = screen.now();
  const rows = aliases.map(({ name, version, versionDigest, movedAt }) => [
    name,
    String(version),
    versionDigest.slice(0, 12),
    relativeTime(movedAt, now),
  ]);
  const moves = aliases
    .flatMap(({ name, history }) => history.map((move) => ({ name, ...move })))
    .sort((left, right) => Date.parse(right.at) - Date.parse(left.at))
    .map(({ name, from, to, actor, at }) => [relativeTime(at, now), name, wordsOfMove(from, to), actor]);
  const parts = [renderTable(titles('alias', 'version', 'digest', 'moved'), rows, screen.columns)];
  if (moves.length > 0) parts.push(renderTable(titles('when', 'alias', 'moved', 'by'), moves, screen.columns));
  return parts.join('\n');
}

function wordsOfMove(from: number | null, to: number | null): string {
  if (from === null) return `made at ${to}`;
  return to === null ? `removed from ${from}` : `${from} → ${to}`;
}

export function renderArtifacts(model: string, artifacts: readonly ArtifactDto[], screen: Screen): string {
  if (artifacts.length === 0)
    return `${model} has no diffs or snapshots yet; they are made after a version is published.\n`;
  const columns = [
    ...titles('version', 'from', 'profile', 'phase', 'bytes', '% of full', 'ready'),
    { title: 'reason', wraps: true },
  ];
  const rows = artifacts
    .toSorted((left, right) => right.version - left.version || (right.base ?? 0) - (left.base ?? 0))
    .map(({ version, base, profile, phase, bytes, percent, readyAt, reason }) => [
      String(version),
      base === null ? 'nothing' : String(base),
      profile,
      phase,
      phase === 'Ready' ? formatBytes(bytes) : '-',
      percent === null ? '-' : formatPercent(percent),
      readyAt === null ? '-' : relativeTime(readyAt, screen.now()),
      reason,
    ]);
  return renderTable(columns, rows, screen.columns, painter(screen));
}

/** `26.0 %`, `0.94 %` */
export function formatPercent(percent: number): string {
  return `${percent < 9.995 ? percent.toFixed(2) : percent.toFixed(1)} %`;
}
