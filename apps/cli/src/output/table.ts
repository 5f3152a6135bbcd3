import Table from 'cli-table3';
import { plain } from './plain.ts';

export interface Column {
  readonly title: string;
  /** Wraps into several lines when the table is too wide; without such a column, the widest is cut with `…`. */
  readonly wraps?: boolean;
}

const GAP = 2;
const WIDTH_MIN = 8;

const noBorders = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
  ].map((name) => [name, '']),
);

/**
 * Rows under upper-case titles, no line longer than `width`. `paint` colours a cell once it is laid out.
 * An empty list gives the titles alone.
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
  paint: (cell: string) => string = (cell) => cell,
): string {
  const cells = rows.map((row) => row.map((cell) => plain(cell).replaceAll('\n', ' ')));
  const widths = fitWidths(
    columns.map(({ title }, index) => Math.max(title.length, ...cells.map((row) => row[index]?.length ?? 0))),
    columns,
    width - GAP * (columns.length - 1),
  );
  const table = new Table({
    head: columns.map(({ title }) => title.toUpperCase()),
    chars: noBorders,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': GAP, compact: true },
    colWidths: widths.map((columnWidth) => columnWidth + GAP),
    wordWrap: true,
  });
  for (const row of cells) {
    table.push(
      row.map((cell, index) => {
        const columnWidth = widths[index]!;
        return paint(columns[index]?.wraps || cell.length <= columnWidth ? cell : `${cell.slice(0, columnWidth - 1)}…`);
      }),
    );
  }
  return `${table.toString().replace(/ +$/gm, '')}\n`;
}

/** Takes width from the wrapping columns first, then from whichever is widest. */
function fitWidths(natural: readonly number[], columns: readonly Column[], width: number): number[] {
  const widths = [...natural];
  let excess = widths.reduce((sum, each) => sum + each, 0) - width;
  while (excess > 0) {
    const wrapping = widths.map((each, index) => (columns[index]?.wraps && each > 3 * WIDTH_MIN ? each : 0));
    const candidates = wrapping.some((each) => each > 0) ? wrapping : widths;
    const widest = candidates.indexOf(Math.max(...candidates));
    if (widths[widest]! <= WIDTH_MIN) break;
    widths[widest]! -= 1;
    excess -= 1;
  }
  return widths;
}
