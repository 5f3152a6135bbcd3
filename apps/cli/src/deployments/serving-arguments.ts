// How replicas are run and chosen inside a cluster, on the command line: options, parsed and said back.
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  adapterSchema,
  type CreateDeployment,
  type DeploymentDto,
  localScalingInputSchema,
  routingSchema,
} from '#contracts';
import { DEFAULT_ROUTING_POLICY, type Labels, LOCAL_SCALING_RULES, REPLICA_PICKS, type ReplicaPick } from '#domain';
import { accepted, collect, parseLabel, parseName, wholeNumber } from '../arguments.ts';
import { UsageError } from '../errors.ts';
import { renderLabels } from '../output/output.ts';

type Adapter = NonNullable<CreateDeployment['adapters']>[number];

export interface ServingArguments {
  /** False: `--no-engine`. */
  readonly engine?: string | false;
  readonly pick?: ReplicaPick;
  readonly spillMs?: number;
  readonly spillRatio?: number;
  /** False: `--no-local-scaling`. */
  readonly localScaling?: number | false;
  readonly localRule?: (typeof LOCAL_SCALING_RULES)[number];
  readonly localInflight?: number;
  readonly node?: Labels;
  readonly preferNode?: Labels;
  /** False: `--no-adapter`. */
  readonly adapter?: Adapter[] | false;
}

const LOCAL_REPLICAS_MAX = 1_000;

export function addServingOptions(command: Command): Command {
  return command
    .option('--engine <name>', 'the engine of the agents’ configuration that runs it', parseName)
    .option('--no-engine', 'each agent’s default engine')
    .addOption(new Option('--pick <policy>', 'how a replica is chosen for a request').choices(REPLICA_PICKS))
    .option('--spill-ms <ms>', 'leave a sticky replica that is later by more than this', parseSpillMs)
    .option('--spill-ratio <ratio>', '… and by more than this share of the soonest, such as 0.5', parseSpillRatio)
    .option(
      '--local-scaling <replicas>',
      'agents may start replicas by themselves, up to so many in one cluster',
      wholeNumber(1, LOCAL_REPLICAS_MAX),
    )
    .option('--no-local-scaling', 'agents start none by themselves')
    .addOption(new Option('--local-rule <rule>', 'by which rule they do').choices(LOCAL_SCALING_RULES))
    .option('--local-inflight <number>', 'requests in flight a replica that the rule aims at', parseInflight)
    .option('--node <key=value>', 'only on nodes with this label; all given must match', parseLabel)
    .option('--prefer-node <key=value>', 'rather on nodes with this label', parseLabel)
    .option('--adapter <name=model:version>', 'a LoRA adapter; may be given several times', collect(parseAdapter))
    .option('--no-adapter', 'no adapters');
}

type ServingInput = Pick<CreateDeployment, 'engine' | 'routing' | 'localScaling' | 'nodes' | 'adapters'>;
type ServingView = Pick<DeploymentDto, 'engine' | 'routing' | 'localScaling' | 'nodes' | 'adapters'>;

/** True: some of the options changes what is there, and `current` must be known. */
export function changesServing(options: ServingArguments): boolean {
  return Object.keys(servingOf(options, undefined, true)).length > 0;
}

/**
 * What the options say; what they leave out is as in `current`, or at its default.
 *
 * @throws UsageError for a rule of local scaling without its bound
 */
export function servingOf(options: ServingArguments, current?: ServingView, isTrial = false): ServingInput {
  const { engine, pick, spillMs, spillRatio, node, preferNode, adapter } = options;
  const routing = given({ pick, spillMs, spillRatio });
  const nodes = given({ required: node, preferred: preferNode });
  return {
    ...(engine === undefined ? {} : { engine: engine === false ? null : engine }),
    ...(routing === null ? {} : { routing: { ...current?.routing, ...routing } }),
    ...localScalingOf(options, current?.localScaling ?? null, isTrial),
    ...(nodes === null ? {} : { nodes: { ...current?.nodes, ...nodes } }),
    ...(adapter === undefined ? {} : { adapters: adapter === false ? [] : adapter }),
  };
}

function localScalingOf(
  { localScaling, localRule, localInflight }: ServingArguments,
  current: ServingView['localScaling'],
  isTrial: boolean,
): Pick<ServingInput, 'localScaling'> {
  if (localScaling === false) return { localScaling: null };
  const change = given({ replicasMax: localScaling, rule: localRule, targetInflight: localInflight });
  if (change === null) return {};
  const { replicasMax = current?.replicasMax } = change;
  if (replicasMax === undefined && !isTrial) {
    throw new UsageError('--local-rule and --local-inflight need --local-scaling: up to how many replicas');
  }
  return { localScaling: { ...current, ...change, replicasMax: replicasMax ?? 1 } };
}

/** Without what is undefined; null when nothing is left. */
function given<Part extends object>(part: Part): { [Key in keyof Part]?: Exclude<Part[Key], undefined> } | null {
  const entries = Object.entries(part).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? null : (Object.fromEntries(entries) as never);
}

const parseSpillMs = numberOf(routingSchema.shape.spillMs);
const parseSpillRatio = numberOf(routingSchema.shape.spillRatio);
const parseInflight = numberOf(localScalingInputSchema.shape.targetInflight);

function numberOf(schema: Parameters<typeof accepted<number>>[0]): (text: string) => number {
  const parse = accepted(schema);
  return (text) => {
    if (!/^\d{1,9}(\.\d{1,6})?$/.test(text)) throw new InvalidArgumentError('It must be a number such as 100 or 0.5.');
    return parse(Number(text) as never);
  };
}

/** `summaries=summary-lora:3` */
export function parseAdapter(text: string): Adapter {
  const match = /^([^=]+)=([a-z0-9-]+):(\d{1,9})$/.exec(text);
  if (match === null)
    throw new InvalidArgumentError('It must be written name=model:version, such as legal=legal-lora:3.');
  const [, name, model, version] = match;
  return accepted(adapterSchema)({ name, model, version: Number(version) } as never);
}

/** Only what is not as ever. */
export function servingFields({
  engine,
  routing,
  localScaling,
  nodes,
  adapters,
}: ServingView): [string, string | null][] {
  const isDefault = routing.pick === DEFAULT_ROUTING_POLICY.pick;
  const required = renderLabels(nodes.required);
  const preferred = renderLabels(nodes.preferred);
  const hasPreferred = Object.keys(nodes.preferred).length > 0;
  return [
    ['Engine', engine],
    ['Pick', isDefault ? null : `${routing.pick}, spills ${routing.spillMs} ms and ${routing.spillRatio} later`],
    ['Local scaling', localScaling && `up to ${localScaling.replicasMax} in one cluster, by ${localScaling.rule}`],
    ['Nodes', Object.keys(nodes.required).length > 0 ? required : null],
    ['Rather on', hasPreferred ? preferred : null],
    ['Adapters', adapters.map(({ name, model, version }) => `${name} (${model} ${version})`).join(', ') || null],
  ];
}
