/**
 * A tolerant reader of Prometheus' text format, version 0.0.4 and OpenMetrics (prometheus.io/docs/instrumenting/
 * exposition_formats): samples only, comments and types aside. A line that is none is skipped, for half a page of metrics
 * is worth more than none. Pure.
 */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Beyond it nothing more is read. */
const SAMPLES_MAX = 50_000;
const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s.*)?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?/g;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', '"': '"', '\\': '\\' };

/** Samples of the names that are wanted, in order; those whose value is no finite number are left out. */
export function readSamples(text: string, wanted: ReadonlySet<string>): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    const match = line.startsWith('#') ? null : LINE.exec(line.trim());
    if (match === null || !wanted.has(match[1]!)) continue;
    const value = Number(match[3]);
    if (!Number.isFinite(value)) continue;
    samples.push({ name: match[1]!, labels: readLabels(match[2] ?? ''), value });
    if (samples.length >= SAMPLES_MAX) break;
  }
  return samples;
}

function readLabels(text: string): Record<string, string> {
  const entries = [...text.matchAll(LABEL)].map(([, name, value]) => [
    name!,
    value!.replace(/\\(.)/g, (whole, escaped: string) => ESCAPES[escaped] ?? whole),
  ]);
  return Object.fromEntries(entries) as Record<string, string>;
}
