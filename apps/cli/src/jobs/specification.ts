// What a job is to be: from a file, from options, or both, the options winning. The contract's schema decides before
// anybody is asked; what is not said is left to the control plane's defaults.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import { type CreateJob, createJobSchema } from '#contracts';
import {
  CLUSTER_KINDS,
  type ClusterKind,
  DEPENDENCY_CONDITIONS,
  DEVICE_TYPES,
  type DeviceType,
  GANG_SIZE_MAX,
  JOB_KINDS,
  JOB_TEMPLATES,
  type JobKind,
  LAUNCHERS,
  type Labels,
  type Launcher,
  TOPOLOGY_SCOPES,
  type TopologyScope,
} from '#domain';
import { collect, durationSeconds, oneOf, parseBytes, parseLabel, parseName, wholeNumber } from '../arguments.ts';
import { UsageError } from '../errors.ts';
import type { Terminal } from '../terminal.ts';

type Pairs = Readonly<Record<string, string>>;
type Mounts = NonNullable<CreateJob['mounts']>;
type Dependency = NonNullable<CreateJob['dependsOn']>[number];

export interface JobSpecificationOptions {
  readonly file?: string;
  readonly kind?: JobKind;
  readonly queue?: string;
  readonly priorityClass?: string;
  readonly dependsOn?: Dependency[];
  readonly tasks?: number;
  readonly minimum?: number;
  readonly spansClusters?: true;
  readonly auto?: true;
  readonly deviceType?: DeviceType;
  readonly deviceCount?: number;
  readonly deviceMemory?: number;
  readonly topology?: TopologyScope;
  readonly clusterKind?: ClusterKind[];
  readonly region?: string[];
  readonly label?: Labels;
  readonly cluster?: string[];
  readonly launcher?: Launcher;
  readonly template?: string;
  readonly parameter?: Pairs;
  readonly env?: Pairs;
  readonly mount?: Mounts;
  readonly checkpoint?: 'none' | 'file' | 'signal';
  readonly checkpointEvery?: number;
  readonly grace?: number;
  readonly retries?: number;
  readonly startWithin?: number;
  readonly runWithin?: number;
  readonly keepFor?: number;
  readonly outputRequired?: true;
  readonly publish?: { readonly model: string; readonly alias?: string };
  readonly expected?: number;
}

const DEVICES_MAX = 4096;
const YEARS_10 = 315_360_000;
const FILE_BYTES_MAX = 1_048_576;

export function addJobSpecificationOptions(command: Command): Command {
  addWhatItIs(command);
  addWhereItRuns(command);
  return addHowItRuns(command);
}

function addWhatItIs(command: Command): void {
  command
    .option('-f, --file <path>', 'a YAML or JSON file that says all of it; options win (- is standard input)')
    .addOption(new Option('--kind <kind>', 'what sort of work it is').choices(JOB_KINDS))
    .option('--queue <queue>', 'where it waits and whose account it is (default: default)', parseName)
    .option('--priority-class <class>', 'how important it is (default: normal)', parseName)
    .option(
      '--depends-on <job>',
      'begins once this job succeeded, or with job:always once it ended; may be given several times',
      collect(parseDependency),
    )
    .addOption(
      new Option('--template <name>', 'a known command instead of your own').choices(
        JOB_TEMPLATES.map(({ name }) => name),
      ),
    )
    .option('--parameter <key=value>', 'of the template; may be given several times', collectPair)
    .option('--env <NAME=value>', 'a variable for the command; may be given several times', collectPair)
    .option(
      '--mount <name=model>',
      'lay a version into the folder of $ATOLL_<NAME>_DIR: base=llama, base=llama:3, base=llama@stable',
      collectMount,
    );
}

function addWhereItRuns(command: Command): void {
  command
    .option('--tasks <number>', 'members of its gang (default: 1)', wholeNumber(1, GANG_SIZE_MAX))
    .option('--minimum <number>', 'begin with at least so many of them (default: all)', wholeNumber(1, GANG_SIZE_MAX))
    .option('--spans-clusters', 'its members may be in several clusters')
    .addOption(new Option('--device-type <type>', 'what each member needs (default: cpu)').choices(DEVICE_TYPES))
    .option('--device-count <number>', 'how many of them each (default: 1)', wholeNumber(1, DEVICES_MAX))
    .option('--device-memory <bytes>', 'at least so much memory a device, such as 24G', parseBytes)
    .addOption(
      new Option('--topology <scope>', 'how near a member’s devices must be to each other').choices(TOPOLOGY_SCOPES),
    )
    .addOption(
      new Option('--auto', 'size the claim from the mount base').conflicts(['deviceType', 'deviceCount', 'topology']),
    )
    .option('--cluster-kind <kind>', 'only on clusters of this kind', collect(oneOf(CLUSTER_KINDS)))
    .option('--region <region>', 'only in this region; may be given several times', collect(String))
    .option('--label <key=value>', 'only on clusters with this label; all given must match', parseLabel)
    .option('--cluster <name>', 'only on this cluster; may be given several times', collect(parseName));
}

function addHowItRuns(command: Command): Command {
  const long = durationSeconds(1, YEARS_10);
  return command
    .addOption(new Option('--launcher <launcher>', 'how the members are started').choices(LAUNCHERS))
    .addOption(
      new Option('--checkpoint <mode>', 'how it is asked to save its work (default: none, it cannot)').choices([
        'none',
        'file',
        'signal',
      ]),
    )
    .option('--checkpoint-every <duration>', 'also ask so often, such as 30m', durationSeconds(10, 86_400))
    .option('--grace <duration>', 'time to save and end when it is stopped (default: 60s)', durationSeconds(1, 86_400))
    .option('--retries <number>', 'how often a failed attempt is tried again (default: 3)', wholeNumber(0, 100))
    .option('--start-within <duration>', 'fail when it has not begun by then', long)
    .option('--run-within <duration>', 'fail when it runs longer', long)
    .option('--keep-for <duration>', 'how long it is kept after it ended (default: 7d)', durationSeconds(0, YEARS_10))
    .option('--output-required', 'ending without an output is a failure')
    .option(
      '--publish <model>',
      'publish the output as the next version: llama, or llama@stable to move the alias',
      parsePublish,
    )
    .option('--expected <duration>', 'how long it probably runs; shorter work may go first', long);
}

/** Throws UsageError naming every field at fault, in the words of the contract. */
export function jobSpecificationOf(
  name: string,
  command: readonly string[],
  options: JobSpecificationOptions,
  terminal: Terminal,
): CreateJob {
  const fromFile = options.file === undefined ? {} : readSpecification(options.file, terminal);
  const body = { ...fromFile, ...fromOptions(options, fromFile), ...(command.length > 0 ? { command } : {}), name };
  const parsed = createJobSchema.safeParse(body);
  if (parsed.success) return body as CreateJob;
  const faults = parsed.error.issues.flatMap(faultsOf);
  throw new UsageError(faults.slice(0, 10).join('\n  '));
}

/** One line a field, in the words of the control plane. */
function faultsOf(issue: z.core.$ZodIssue): string[] {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${[...path, key].join('.')}: is not a known field`);
  }
  // What is wrong with a key of a record is said one level below.
  const { message } = issue.code === 'invalid_key' ? (issue.issues[0] ?? issue) : issue;
  return [`${path.join('.') || 'job'}: ${message}`];
}

function readSpecification(path: string, { readInput, cwd }: Terminal): Partial<CreateJob> {
  const text = path === '-' ? readInput() : readFile(resolve(cwd, path));
  let content: unknown;
  try {
    content = parseYaml(text, { maxAliasCount: 10 });
  } catch (error) {
    throw new UsageError(`${path} is neither YAML nor JSON: ${String((error as Error).message).split('\n')[0]}`);
  }
  if (typeof content === 'object' && content !== null && !Array.isArray(content)) return content;
  throw new UsageError(`${path} must hold the fields of a job, such as command: [python, train.py]`);
}

function readFile(path: string): string {
  try {
    const content = readFileSync(path);
    if (content.length <= FILE_BYTES_MAX) return content.toString('utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`${path} cannot be read${code === 'ENOENT' ? ': no such file' : ` (${code})`}`);
  }
  throw new UsageError(`${path} is too large to describe a job`);
}

function fromOptions(options: JobSpecificationOptions, file: Partial<CreateJob>): Partial<CreateJob> {
  const { kind, queue, priorityClass, dependsOn, launcher, template, parameter, env, mount } = options;
  const given = {
    ...{ kind, queue, priorityClass, dependsOn, launcher },
    template: template === undefined ? undefined : { name: template, parameters: parameter ?? {} },
    environment: env === undefined ? undefined : { ...file.environment, ...env },
    mounts: mount === undefined ? undefined : { ...file.mounts, ...mount },
    tasks: merged(file.tasks, { size: options.tasks, minimum: options.minimum, spansClusters: options.spansClusters }),
    claim: claimOf(options),
    selector: selectorOf(options),
    checkpoint: merged(file.checkpoint, { mode: options.checkpoint, intervalSeconds: options.checkpointEvery }),
    graceSeconds: options.grace,
    retry: merged(file.retry, { limit: options.retries }),
    startDeadlineSeconds: options.startWithin,
    runDeadlineSeconds: options.runWithin,
    ttlSeconds: options.keepFor,
    output: merged(file.output, { required: options.outputRequired, publish: options.publish }),
    expectedSeconds: options.expected,
  };
  return said(given) as Partial<CreateJob>;
}

function claimOf(options: JobSpecificationOptions): CreateJob['claim'] {
  const { auto, deviceType, deviceCount, deviceMemory, topology } = options;
  if (auto) return 'auto';
  if ([deviceType, deviceCount, deviceMemory, topology].every((each) => each === undefined)) return undefined;
  return {
    deviceType: deviceType ?? 'cpu',
    count: deviceCount ?? 1,
    ...(deviceMemory === undefined ? {} : { memoryBytesPerDevice: deviceMemory }),
    ...(topology === undefined ? {} : { schedulingPolicy: { topologyScope: topology } }),
  };
}

function selectorOf({ clusterKind, region, label, cluster }: JobSpecificationOptions): CreateJob['selector'] {
  const selector = { kinds: clusterKind, regions: region, labels: label, clusterNames: cluster };
  return Object.values(selector).every((each) => each === undefined) ? undefined : said(selector);
}

/** Of a part that has fields of its own: what the file says, and what the options say over it. */
function merged<Part extends object>(file: Part | undefined, given: object): Part | undefined {
  const named = said(given);
  return Object.keys(named).length === 0 ? undefined : ({ ...file, ...named } as Part);
}

/** Without what was not said. */
function said<Fields extends object>(fields: Fields): Partial<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<Fields>;
}

function parseDependency(text: string): Dependency {
  const [job = '', when = 'success', ...rest] = text.split(':');
  const condition = DEPENDENCY_CONDITIONS.find((each) => each === when);
  if (condition !== undefined && rest.length === 0) return { job: parseName(job), when: condition };
  throw new InvalidArgumentError('It must be a job, such as prepare, or prepare:always.');
}

function collectPair(text: string, earlier: Pairs = {}): Pairs {
  const cut = text.indexOf('=');
  if (cut < 1) throw new InvalidArgumentError('It must be written name=value.');
  return { ...earlier, [text.slice(0, cut)]: text.slice(cut + 1) };
}

const MOUNT = /^([^=]+)=([^:@]+)(?::(\d{1,9})|@(.+))?$/;

function collectMount(text: string, earlier: Mounts = {}): Mounts {
  const [, name, model, version, alias] = MOUNT.exec(text) ?? [];
  if (name === undefined || model === undefined) {
    throw new InvalidArgumentError('It must be written base=model, base=model:3 or base=model@stable.');
  }
  const which =
    version !== undefined ? { version: Number(version) } : alias !== undefined ? { alias: parseName(alias) } : {};
  return { ...earlier, [parseName(name)]: { model: parseName(model), ...which } };
}

function parsePublish(text: string): { model: string; alias?: string } {
  const [model = '', alias, ...rest] = text.split('@');
  if (rest.length > 0) throw new InvalidArgumentError('It must be a model, such as llama, or llama@stable.');
  return { model: parseName(model), ...(alias === undefined ? {} : { alias: parseName(alias) }) };
}
