import type { RolloutDto } from '#contracts';
import { painter, renderFields } from '../output/output.ts';
import { renderTable } from '../output/table.ts';
import { relativeTime } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';

type Screen = Pick<Terminal, 'columns' | 'hasColours' | 'now'>;

/** The newest one in full, those before it as a table. */
export function renderRollouts(name: string, rollouts: readonly RolloutDto[], screen: Screen): string {
  const [newest, ...before] = rollouts;
  if (newest === undefined) return `${name} has had no rollout yet: it serves the version that it was made with.\n`;
  const head = renderRollout(newest, screen);
  if (before.length === 0) return head;
  const columns = [...['began', 'versions', 'phase'].map((title) => ({ title })), { title: 'reason', wraps: true }];
  const rows = before.map(({ startedAt, fromVersion, toVersion, phase, reason }) => [
    relativeTime(startedAt, screen.now()),
    `${fromVersion} → ${toVersion}`,
    phase,
    reason,
  ]);
  return `${head}\nBefore:\n${renderTable(columns, rows, screen.columns, painter(screen))}`;
}

export function renderRollout(rollout: RolloutDto, screen: Screen): string {
  const now = screen.now();
  return renderFields([
    ['Rollout', `version ${rollout.fromVersion} → ${rollout.toVersion}, ${rollout.phase}`],
    ['Wave', rollout.wave === 0 ? `none of ${rollout.waves} is open yet` : `${rollout.wave} of ${rollout.waves}`],
    ['Open to', rollout.openClusters.join(', ') || 'no cluster yet'],
    ['Consistency', rollout.consistency],
    ['Began', relativeTime(rollout.startedAt, now)],
    ['Ended', rollout.endedAt && relativeTime(rollout.endedAt, now)],
    ['Reason', rollout.reason],
  ]);
}
