// A cluster's sync policy on the command line: its options, parsed and said back.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type SyncPolicyDto, syncPolicySchema } from '#contracts';
import { SYNC_MODES, type SyncWindow } from '#domain';
import { accepted } from '../arguments.ts';
import { formatBytes } from '../output/units.ts';

export interface SyncPolicyOptions {
  readonly mode?: SyncPolicyDto['mode'];
  readonly cron?: string;
  /** False: `--no-window`. */
  readonly window?: SyncWindow[] | false;
  readonly timeZone?: string;
  /** Bytes a second. */
  readonly rate?: number | 'unlimited';
}

export function addSyncPolicyOptions(command: Command): Command {
  return command
    .addOption(new Option('--mode <mode>', 'how it gets new versions').choices(SYNC_MODES))
    .option(
      '--cron <cron>',
      'when it takes snapshots (mode snapshot) and verifies what it holds',
      accepted(syncPolicySchema.shape.cron),
    )
    .option('--window <from-to>', 'transfer only then, such as 02:00-05:00; may be given several times', collectWindow)
    .option('--no-window', 'transfer at any time')
    .option(
      '--time-zone <name>',
      'of the cron and the windows, such as Asia/Shanghai',
      accepted(syncPolicySchema.shape.timeZone),
    )
    .option('--rate <rate>', 'at most so fast, such as 40Mbit/s or 5MB/s; or unlimited', parseRate);
}

/** What the options change; null when none was given. */
export function syncChangeOf({ mode, cron, window, timeZone, rate }: SyncPolicyOptions): Partial<SyncPolicyDto> | null {
  const change: Partial<SyncPolicyDto> = {
    ...(mode && { mode }),
    ...(cron && { cron }),
    ...(window !== undefined && { windows: window === false ? [] : [...window] }),
    ...(timeZone && { timeZone }),
    ...(rate !== undefined && { bytesPerSecondMax: rate === 'unlimited' ? null : rate }),
  };
  return Object.keys(change).length === 0 ? null : change;
}

export function syncPolicyFields(policy: SyncPolicyDto): [string, string][] {
  const { mode, cron, windows, timeZone, bytesPerSecondMax } = policy;
  const purpose =
    mode === 'snapshot' ? 'takes snapshots and verifies all it holds' : 'verifies a sample of what it holds';
  return [
    ['Mode', MODE_WORDS[mode]],
    ['Cron', `${cron} ${timeZone}: ${purpose}`],
    ['Windows', windows.length === 0 ? 'none: at any time' : `${windows.map(wordsOfWindow).join(', ')} ${timeZone}`],
    ['Rate', bytesPerSecondMax === null ? 'unlimited' : `at most ${formatRate(bytesPerSecondMax)}`],
  ];
}

const MODE_WORDS: Readonly<Record<SyncPolicyDto['mode'], string>> = {
  snapshot: 'snapshot: new versions when its cron fires, each whole in itself',
  incremental: 'incremental: new versions as soon as they are published',
};

function wordsOfWindow({ from, to }: SyncWindow): string {
  return `${from}–${to}`;
}

const RATE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
};
const RATE_EXAMPLES = 'such as 40Mbit/s, 5MB/s or 512KiB/s, or unlimited';

/**
 * Bytes a second of `40Mbit/s`, `40Mbps`, `5MB/s`, `512KiB/s`; `unlimited` stays what it is. Units: k, M, G (powers of ten), Ki, Mi,
 * Gi (of two); `bit` and `B` are told apart, so a bare `40M` or `40Mb/s` is refused rather than guessed.
 */
export function parseRate(text: string): number | 'unlimited' {
  if (text.toLowerCase() === 'unlimited') return 'unlimited';
  const match = /^(\d{1,12}(?:\.\d{1,3})?) ?([kmg]i?)?(bit|bits|b)?(\/s|\/sec|ps)?$/i.exec(text);
  if (match === null) throw new InvalidArgumentError(`It must be a rate ${RATE_EXAMPLES}.`);
  const [, amount = '', unit = '', kind = '', per = ''] = match;
  // `Mbps` is always bits; a lone `b` may be meant either way.
  const isBits = /^bits?$/i.test(kind) || (kind === 'b' && per.toLowerCase() === 'ps');
  if (!isBits && kind !== 'B') {
    throw new InvalidArgumentError(
      `Are bits or bytes meant? Write ${amount}${unit}bit/s or ${amount}${unit}B/s (or unlimited).`,
    );
  }
  if (per === '') throw new InvalidArgumentError(`It must say per second: ${text}/s.`);
  const bytes = (Number(amount) * RATE_UNITS[unit.toLowerCase()]!) / (isBits ? 8 : 1);
  const { success } = syncPolicySchema.shape.bytesPerSecondMax.safeParse(bytes);
  if (!success) throw new InvalidArgumentError('It must be from 1kB/s (8kbit/s) to 1000GB/s, or unlimited.');
  return bytes;
}

/** `5.00 MB/s (40.0 Mbit/s)` */
export function formatRate(bytesPerSecond: number): string {
  const bits = formatBytes(bytesPerSecond * 8).replace('B', 'bit');
  return `${formatBytes(bytesPerSecond)}/s (${bits}/s)`;
}

const WINDOWS_MAX = 24;

function collectWindow(text: string, earlier: SyncWindow[] | false | undefined): SyncWindow[] {
  const windows = [...(earlier || []), parseWindow(text)];
  if (windows.length <= WINDOWS_MAX) return windows;
  throw new InvalidArgumentError(`At most ${WINDOWS_MAX} windows.`);
}

/** `02:00-05:00`, `22:00-6:00` (over midnight), `00:00-24:00`. */
export function parseWindow(text: string): SyncWindow {
  const match = /^(\d{1,2}:\d{2}) ?[-–] ?(\d{1,2}:\d{2})$/.exec(text);
  const [from, to] =
    match === null ? [] : [timeOfDay(match[1]!), timeOfDay(match[2] === '24:00' ? '00:00' : match[2]!)];
  if (from !== undefined && from !== null && to !== undefined && to !== null) return { from, to };
  throw new InvalidArgumentError(
    'It must be two times of day such as 02:00-05:00, or 22:00-06:00 to go over midnight.',
  );
}

function timeOfDay(text: string): string | null {
  const padded = text.padStart(5, '0');
  return syncPolicySchema.shape.windows.element.shape.from.safeParse(padded).success ? padded : null;
}
