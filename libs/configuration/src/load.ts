// One YAML file plus environment overrides, judged once by the schema, frozen. Everything that is wrong is said at once.
import type { z } from 'zod';
import type { ConfigurationDefinition } from './definition.ts';
import { type ConfigurationDocument, emptyDocument, readDocument } from './document.ts';
import { applyEnvironment, type Environment, refuseUnknownVariables } from './environment.ts';
import { ConfigurationError, type ConfigurationProblem } from './errors.ts';
import { type ReadFile, readFailure, readFromDisk } from './file.ts';
import { type Gathering, setAt, valueAt } from './gathering.ts';
import { problemsOf } from './judgement.ts';
import { remember } from './provenance.ts';
import { Secret } from './secret.ts';
import { supplySecret } from './secret-values.ts';

/** Variables of the ATOLL_ namespace that belong to the launcher, the tests and the command line. */
export const foreignVariables: readonly string[] = [
  'ATOLL_ENGINE_MODULES',
  'ATOLL_GATEWAY_URL',
  'ATOLL_HOME',
  'ATOLL_INSTANCE_DIR',
  'ATOLL_NATS_SERVER',
  'ATOLL_TEST_*',
  'ATOLL_TOKEN',
  'ATOLL_URL',
];

export interface LoadOptions {
  /** Arguments after the script's name; only `--config <path>` and `--config=<path>` are read. Default: the process'. */
  readonly argv?: readonly string[];
  /** Path of the YAML file; takes the place of `--config`. */
  readonly file?: string;
  /** Default: the process' environment. */
  readonly env?: Environment;
  /** Default: the disk, at most 1 MiB a file. Relative paths are relative to the working directory. */
  readonly readFile?: ReadFile;
  /** ATOLL_ variables to ignore because others own them, `ATOLL_X_*` for a family. Default: `foreignVariables`. */
  readonly foreign?: readonly string[];
}

export type DeepReadonly<T> = T extends Secret | ((...parameters: never[]) => unknown)
  ? T
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

/** The typed object that a definition's schema gives, read-only all the way down. */
export type Configuration<Definition extends ConfigurationDefinition> = DeepReadonly<z.output<Definition['schema']>>;

/** Throws ConfigurationError with every problem: unknown keys and variables, wrong values, missing or exposed secrets. */
export function loadConfiguration<Schema extends z.ZodType>(
  definition: ConfigurationDefinition<Schema>,
  options: LoadOptions = {},
): Configuration<ConfigurationDefinition<Schema>> {
  const { env = process.env, readFile = readFromDisk, foreign = foreignVariables } = options;

  // 1. The file, when one is named.
  const document = openDocument(definition.process, options, readFile);
  const gathering: Gathering = { values: document.values, sources: new Map(), problems: [], refused: new Set() };

  // 2. What the file says, with empty sections where it says nothing.
  fillSections(gathering, definition);
  noteFileSources(gathering, definition, document);

  // 3. What the environment says.
  applyEnvironment(gathering, definition.keys, env);
  refuseUnknownVariables(gathering, definition.keys, env, foreign);
  for (const leaf of definition.keys.leaves) {
    if (leaf.secret) supplySecret(gathering, leaf, { document, env, readFile });
  }

  // 4. What the schema says about all of it.
  const parsed = definition.schema.safeParse(gathering.values);
  const judged = parsed.success ? [] : problemsOf(parsed.error.issues, { definition, gathering, document });
  const problems = [...judged, ...gathering.problems];
  if (problems.length > 0 || !parsed.success) throw new ConfigurationError(definition.process, problems);

  // 5. Frozen, with its provenance on the side for `renderEffective`.
  const configuration = deepFreeze(parsed.data) as Configuration<ConfigurationDefinition<Schema>>;
  remember(configuration as object, { definition, sources: gathering.sources });
  return configuration;
}

function openDocument(process: string, options: LoadOptions, readFile: ReadFile): ConfigurationDocument {
  const named = options.file === undefined ? fileFromArguments(process, options.argv) : options.file;
  if (named === undefined) return emptyDocument();
  let text: string;
  try {
    ({ text } = readFile(named));
  } catch (error) {
    throw stopped(process, {
      key: '--config',
      where: 'arguments',
      came: `${named}: ${readFailure(error)}`,
      right: 'the path of a YAML file that this user may read',
    });
  }
  const document = readDocument(named, text);
  if (document.problems.length > 0) throw new ConfigurationError(process, document.problems);
  return document;
}

function fileFromArguments(processName: string, argv: readonly string[] = process.argv.slice(2)): string | undefined {
  const files = argv.flatMap((argument, index) => {
    if (argument === '--config') return [argv[index + 1] ?? ''];
    return argument.startsWith('--config=') ? [argument.slice('--config='.length)] : [];
  });
  if (files.length > 1) {
    throw stopped(processName, {
      key: '--config',
      where: 'arguments',
      came: `${files.length} files`,
      right: 'one file',
    });
  }
  const [file] = files;
  if (file !== undefined && (file === '' || file.startsWith('--'))) {
    throw stopped(processName, {
      key: '--config',
      where: 'arguments',
      came: 'no path',
      right: '--config <path of a YAML file>',
    });
  }
  return file;
}

function stopped(process: string, problem: ConfigurationProblem): ConfigurationError {
  return new ConfigurationError(process, [problem]);
}

/** A section that is absent or has nothing under it counts as empty: its keys then speak for themselves. */
function fillSections(gathering: Gathering, { keys }: ConfigurationDefinition): void {
  for (const { path, filled } of keys.sections) {
    const value = valueAt(gathering.values, path);
    if (path.length > 0 && (value === null || (value === undefined && filled)) && isInside(gathering.values, path)) {
      setAt(gathering.values, path, {});
    }
  }
}

/** An optional section that is absent stays so, with all that is under it. */
function isInside(values: unknown, path: readonly string[]): boolean {
  const parent = valueAt(values, path.slice(0, -1));
  return typeof parent === 'object' && parent !== null && !Array.isArray(parent);
}

function noteFileSources(
  gathering: Gathering,
  { keys }: ConfigurationDefinition,
  document: ConfigurationDocument,
): void {
  for (const leaf of keys.leaves) {
    if (valueAt(gathering.values, leaf.path) !== undefined) {
      gathering.sources.set(leaf.key, `file ${document.locate(leaf.path)}`);
    }
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const child of Object.values(value)) deepFreeze(child);
  return Object.freeze(value);
}
