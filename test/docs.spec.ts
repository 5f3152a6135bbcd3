/**
 * That what is written for people says what the code says, where both can be asked: every field of a submission with its
 * default and bounds, every option, template, phase, order, policy and variable, and where links lead.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Command } from 'commander';
import { parse } from 'yaml';
import { z } from 'zod';
import { createJobSchema, createPriorityClassSchema, createQueueSchema } from '#contracts';
import { DEFAULT_PRIORITY_CLASSES, type DesiredTask, JOB_PHASES, JOB_TEMPLATES, QUEUE_ORDERS } from '#domain';
import { JOB_POLICY_NAMES, PROMPT_POLICY_NAMES, REQUEST_POLICY_NAMES, TRACE_KINDS } from '#replay';
import { type TaskPlace, taskEnvironment } from '../apps/agent/src/jobs/task-environment.ts';
import { addJobCommands } from '../apps/cli/src/jobs/commands.ts';
import { addQueueCommands } from '../apps/cli/src/queues/commands.ts';
import { addPriorityClassCommands } from '../apps/cli/src/queues/tenancy-commands.ts';
import { addSimulateCommand } from '../apps/cli/src/simulate/command.ts';
import type { Terminal } from '../apps/cli/src/terminal.ts';

const ROOT = join(import.meta.dirname, '..');
const [jobs, queues, simulate] = ['jobs.md', 'queues.md', 'simulate.md'].map((name) => read(`docs/${name}`)) as [
  string,
  string,
  string,
];

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** Cells of the first table row whose first cell is this; null: there is none. */
function rowOf(text: string, first: string): string[] | null {
  const line = text.split('\n').find((each) => each.startsWith(`| ${first} |`));
  return line === undefined ? null : cellsOf(line);
}

function cellsOf(line: string): string[] {
  return line
    .slice(1, -1)
    .split('|')
    .map((cell) => cell.trim());
}

/** Names in backticks and numbers. */
function wordsIn(cell: string): string[] {
  return cell.match(/`[^`]*`|\d+(?:,\d{3})*(?:\.\d+)?/g) ?? [];
}

interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

interface Field {
  /** As documents name it: `retry.limit`, `mounts.<name>.model`, `dependsOn[].job`. */
  readonly path: string;
  readonly schema: Schema;
}

/** What has no fields of its own. */
function fieldsOf(schema: Schema, path: string): Field[] {
  const isShape = (each: Schema) => each.const === undefined && each.type !== 'null';
  const shape = { ...(schema.anyOf?.find(isShape) ?? schema), default: schema.default };
  const { properties, items, additionalProperties: values } = shape;
  if (properties !== undefined) {
    const above = path === '' ? '' : `${path}.`;
    return Object.entries(properties).flatMap(([name, each]) => fieldsOf(each, `${above}${name}`));
  }
  if (items?.properties !== undefined) return fieldsOf(items, `${path}[]`);
  if (typeof values === 'object' && values.properties !== undefined) return fieldsOf(values, `${path}.<name>`);
  return [{ path, schema: shape }];
}

function inputOf(schema: z.ZodType): Field[] {
  return fieldsOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Schema, '');
}

/** Cells are: field, option, default, values, meaning. */
function faultsOf(text: string, { path, schema }: Field): string[] {
  const row = rowOf(text, `\`${path}\``);
  if (row === null) return [`${path} has no row`];
  const [byDefault, values] = [wordsIn(row[2] ?? ''), wordsIn(row[3] ?? '')];
  const wanted = valuesOf(schema).filter((value) => !values.includes(value));
  const missing = defaultsOf(schema).filter((value) => !byDefault.includes(value));
  return [...missing.map((value) => `${path}: default ${value}`), ...wanted.map((value) => `${path}: value ${value}`)];
}

function valuesOf({ enum: names = [], minimum, maximum }: Schema): string[] {
  const bounds = [minimum, maximum].filter((bound) => bound !== undefined && bound !== Number.MAX_SAFE_INTEGER);
  return [...names.map((name) => `\`${name}\``), ...bounds.map((bound) => shown(bound!))];
}

function defaultsOf({ default: value }: Schema): string[] {
  return typeof value === 'number' ? [shown(value)] : typeof value === 'string' ? [`\`${value}\``] : [];
}

function shown(value: number): string {
  return value.toLocaleString('en-US');
}

const NO_TERMINAL = {} as Terminal;
/** Of every command. */
const EVERYWHERE = new Set(['--output', '--json', '--url', '--token-file', '--timeout', '--help']);

function optionsOf(add: (program: Command, terminal: Terminal) => void, ...path: readonly string[]): string[] {
  const program = new Command();
  add(program, NO_TERMINAL);
  const command = path.reduce((at, name) => at.commands.find((each) => each.name() === name)!, program);
  return command.options.map(({ long }) => long!).filter((name) => !EVERYWHERE.has(name));
}

function unsaid(text: string, names: readonly string[]): string[] {
  return names.filter((name) => !text.includes(name));
}

describe('what is submitted', () => {
  it.each([
    ['jobs.md', 'a job', jobs, createJobSchema],
    ['queues.md', 'a queue', queues, createQueueSchema],
    ['queues.md', 'a priority class', queues, createPriorityClassSchema],
  ])('%s has every field of %s, with its default and bounds', (_document, _what, text, schema: z.ZodType) => {
    const fields = inputOf(schema);
    expect(fields.length).toBeGreaterThan(0);
    expect(fields.flatMap((field) => faultsOf(text, field))).toEqual([]);
  });

  it.each([
    ['jobs.md', jobs, optionsOf(addJobCommands, 'job', 'submit')],
    ['jobs.md', jobs, optionsOf(addJobCommands, 'job', 'logs')],
    ['queues.md', queues, optionsOf(addQueueCommands, 'queue', 'create')],
    ['queues.md', queues, optionsOf(addPriorityClassCommands, 'priority-class', 'create')],
    ['simulate.md', simulate, optionsOf(addSimulateCommand, 'simulate')],
  ])('%s has every option of a command', (_document, text, options) => {
    expect(options.length).toBeGreaterThan(0);
    expect(unsaid(text, options)).toEqual([]);
  });

  it('jobs.md shows a file that would be taken', () => {
    const [, file] = /```yaml\n(.*?)```/s.exec(jobs)!;
    const submitted = createJobSchema.safeParse({ ...parse(file!), name: 'tune' });
    expect(submitted.error?.issues ?? []).toEqual([]);
  });

  it.each(JOB_TEMPLATES)('jobs.md has the template $name with what it reads', ({ name, kind, parameters, mounts }) => {
    const [, kinds, mounted, given, line] = rowOf(jobs, `\`${name}\``)!;
    expect(kind === null ? kinds : wordsIn(kinds!)).toEqual(kind === null ? 'any' : [`\`${kind}\``]);
    expect(mounts.filter((mount) => !wordsIn(mounted!).includes(`\`${mount}\``))).toEqual([]);
    const wanted = Object.entries(parameters).map(([key, value]) =>
      value === null ? `\`${key}\`` : `\`${key}\` (${value}`,
    );
    expect(unsaid(given!, wanted)).toEqual([]);
    expect(line).toBeTruthy();
  });

  it.each(DEFAULT_PRIORITY_CLASSES)('queues.md has the class $name', ({ name, priority, preemption, preemptible }) => {
    const row = queues.split('\n').find((line) => line.startsWith(`| \`${name}\``));
    expect(cellsOf(row ?? '').slice(1)).toEqual([
      String(priority),
      preemption === 'never' ? 'no' : 'yes',
      preemptible ? 'yes' : 'no',
    ]);
  });
});

describe('what is told', () => {
  it('jobs.md has a row for every phase', () => {
    expect(JOB_PHASES.filter((phase) => rowOf(jobs, phase) === null)).toEqual([]);
  });

  it('queues.md has a row for every order', () => {
    expect(QUEUE_ORDERS.filter((order) => rowOf(queues, `\`${order}\``) === null)).toEqual([]);
  });

  it('simulate.md has every kind of trace and every policy', () => {
    const names = [...TRACE_KINDS, ...JOB_POLICY_NAMES, ...REQUEST_POLICY_NAMES, ...PROMPT_POLICY_NAMES];
    expect(
      unsaid(
        simulate,
        names.map((name) => `\`${name}\``),
      ),
    ).toEqual([]);
  });

  it('jobs.md has every variable that a command finds', () => {
    const task = { environment: {}, mounts: [], claim: { deviceType: 'nvidia.com/gpu' } } as unknown as DesiredTask;
    const inherited = { PATH: '', HOME: '', TMPDIR: '', LANG: '', LC_ALL: '', TZ: '', LD_LIBRARY_PATH: '' };
    const names = Object.keys(taskEnvironment(task, { devices: [] } as unknown as TaskPlace, inherited));
    expect(names.length).toBeGreaterThan(Object.keys(inherited).length);
    expect(names.filter((name) => !new RegExp(`\`${name}[\`=]`).test(jobs))).toEqual([]);
  });
});

/** As GitHub makes them: lower case, words joined by dashes, other signs dropped. */
function anchorsIn(text: string): Set<string> {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!.toLowerCase());
  return new Set(headings.map((heading) => heading.replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-')));
}

describe('where links lead', () => {
  const documents = ['README.md', ...markdownIn('docs')];

  it.each(documents)('%s', (path) => {
    const links = [...read(path).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!);
    const lost = links.filter((link) => !/^[a-z]+:/.test(link)).filter((link) => !leadsSomewhere(path, link));
    expect(lost).toEqual([]);
  });

  it('every document is named by README.md or ARCHITECTURE.md', () => {
    const named = `${read('README.md')}${read('docs/ARCHITECTURE.md')}`;
    const own = documents.filter((path) => /^docs\/[^/]+$/.test(path)).map((path) => path.slice('docs/'.length));
    expect(unsaid(named, own)).toEqual([]);
  });
});

function markdownIn(folder: string): string[] {
  const paths = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  return paths.filter((path) => path.endsWith('.md')).map((path) => `${folder}/${path.replaceAll('\\', '/')}`);
}

function leadsSomewhere(from: string, link: string): boolean {
  const [to = '', anchor] = link.split('#');
  const path = to === '' ? from : join(dirname(from), to);
  if (!existsSync(join(ROOT, path))) return false;
  return anchor === undefined || anchorsIn(read(path)).has(anchor);
}
