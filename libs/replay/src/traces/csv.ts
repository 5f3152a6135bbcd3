/** Just enough of RFC 4180 for the traces: commas, and quotes around fields that hold commas. No line breaks in fields. */
import { TraceError } from '../errors.ts';

/** More lines than any trace has; beyond it the file is none. */
export const LINES_MAX = 5_000_000;

export interface CsvLine {
  /** From 1, as editors count. */
  readonly number: number;
  readonly fields: readonly string[];
}

export function headerOf(text: string): string {
  const end = text.indexOf('\n');
  return (end === -1 ? text : text.slice(0, end)).replace(/^\uFEFF/, '').trim();
}

/** All lines below the header; empty ones are skipped. Throws TraceError on a line with another number of fields. */
export function linesOf(text: string, fieldCount: number): CsvLine[] {
  const raw = text.split(/\r?\n/);
  if (raw.length > LINES_MAX) throw new TraceError(`the trace has more than ${LINES_MAX} lines`);
  const lines: CsvLine[] = [];
  for (let index = 1; index < raw.length; index++) {
    const line = raw[index]!;
    if (line.trim() === '') continue;
    const fields = fieldsOf(line);
    if (fields.length !== fieldCount) {
      throw new TraceError(`line ${index + 1} has ${fields.length} fields where the header names ${fieldCount}`);
    }
    lines.push({ number: index + 1, fields });
  }
  return lines;
}

function fieldsOf(line: string): string[] {
  if (!line.includes('"')) return line.split(',');
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  );
}

/** A number from `min` on; throws TraceError naming line and column otherwise. */
export function numberIn({ number }: CsvLine, column: string, text: string | undefined, min: number): number {
  const value = text === undefined || text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isFinite(value) && value >= min) return value;
  throw new TraceError(`line ${number}: ${column} must be a number of at least ${min}, not ${JSON.stringify(text)}`);
}
