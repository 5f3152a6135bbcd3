// One way to show results: as a table for people, or whole as JSON or YAML for programs.
import { type Command, Option } from 'commander';
import picocolors from 'picocolors';
import { stringify } from 'yaml';
import type { Terminal } from '../terminal.ts';
import { plain } from './plain.ts';

export const OUTPUT_FORMATS = ['table', 'json', 'yaml'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export interface OutputOptions {
  readonly output: OutputFormat;
}

export function addOutputOption(command: Command): Command {
  return command
    .addOption(new Option('-o, --output <format>', 'how to show it').choices(OUTPUT_FORMATS).default('table'))
    .addOption(new Option('--json', 'the same as --output json').implies({ output: 'json' }));
}

/** `table` is asked only when it is what is wanted. */
export function show(terminal: Terminal, { output }: OutputOptions, value: unknown, table: () => string): void {
  if (output === 'json') terminal.out(`${JSON.stringify(value, null, 2)}\n`);
  else if (output === 'yaml') terminal.out(stringify(value, { lineWidth: 0 }));
  else terminal.out(table());
}

const GOOD = new Set(['Ready', 'Published', 'active', 'held', 'Completed', 'Running', 'Succeeded', 'succeeded']);
const BAD = new Set([
  'Unknown',
  'Failed',
  'Left',
  'revoked',
  'expired',
  'failed',
  'unreachable',
  'Aborted',
  'RolledBack',
  'Cancelled',
  'cancelled',
  'lost',
]);
const WAITING = new Set([
  ...['PendingApproval', 'Suspect', 'Draining', 'Uploading', 'Pending', 'Fetching', 'Starting', 'Stopping'],
  ...['Waiting', 'Queued', 'Suspended', 'preempted', 'suspended', 'Assigned'],
  ...['fetching', 'planned', 'Wanted', 'Making', 'Progressing', 'Paused'],
]);

/** Colours a cell that is a phase; leaves all else, and everything where there are no colours. */
export function painter({ hasColours }: Pick<Terminal, 'hasColours'>): (cell: string) => string {
  const colours = picocolors.createColors(hasColours);
  return (cell) => {
    const [word = ''] = cell.split(' ');
    if (GOOD.has(word)) return colours.green(cell);
    if (BAD.has(word)) return colours.red(cell);
    return WAITING.has(word) ? colours.yellow(cell) : cell;
  };
}

/** `name: value` lines, values in one column. Rows without a value are left out; of none there is nothing. */
export function renderFields(rows: readonly (readonly [string, string | null | undefined])[]): string {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== '');
  const width = Math.max(0, ...shown.map(([name]) => name.length)) + 2;
  const indent = ' '.repeat(width);
  return shown
    .map(([name, value]) => `${`${name}:`.padEnd(width)}${plain(value!).replaceAll('\n', `\n${indent}`)}\n`)
    .join('');
}

/** `a=1 b=2`, or `-` when there are none. */
export function renderLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? '-' : pairs.join(' ');
}
