import { type Command, Option } from 'commander';
import { type CreateDeployment, createDeploymentSchema, REPLICAS_MAX } from '#contracts';
import {
  CLUSTER_KINDS,
  type ClusterKind,
  DEVICE_TYPES,
  type DeviceType,
  type Labels,
  RECONCILE_RULES,
  REPLACE_RULES,
  TOPOLOGY_SCOPES,
} from '#domain';
import { accepted, collect, oneOf, parseBytes, parseLabel, parseName, wholeNumber } from '../arguments.ts';
import { addRolloutOptions, type RolloutOptions, rolloutPolicyOf } from './rollout-arguments.ts';
import { addServingOptions, type ServingArguments, servingOf } from './serving-arguments.ts';
import { addSpreadOption, type SpreadArguments, spreadOf } from './spread-arguments.ts';

export interface SpecificationOptions extends RolloutOptions, ServingArguments, SpreadArguments {
  readonly model: string;
  readonly version?: number;
  readonly alias?: string;
  readonly servedModel?: string;
  readonly replicas?: number;
  readonly kind?: ClusterKind[];
  readonly region?: string[];
  readonly label?: Labels;
  readonly cluster?: string[];
  readonly deviceType: DeviceType;
  readonly deviceCount: number;
  readonly deviceMemory?: number;
  readonly topology: (typeof TOPOLOGY_SCOPES)[number];
  readonly lostAfterSeconds?: number;
  readonly replace?: (typeof REPLACE_RULES)[number];
  readonly reconcile?: (typeof RECONCILE_RULES)[number];
  readonly queue?: string;
  readonly priorityClass?: string;
}

const DEVICES_MAX = 4096;
const LOST_AFTER_SECONDS_MAX = 86_400 * 30;
const parseServedModel = accepted(createDeploymentSchema.shape.servedModel.unwrap());

export function addSpecificationOptions(command: Command): Command {
  const versioned = addVersionOptions(
    command.requiredOption('--model <model>', 'the model', parseName),
    'its version (default: the newest published)',
  );
  return addSpreadOption(addServingOptions(addRolloutOptions(versioned)))
    .option('--served-model <name>', 'what clients call it (default: the model’s name)', parseServedModel)
    .option('--replicas <number>', 'how many', wholeNumber(0, REPLICAS_MAX))
    .option(
      '--kind <kind>',
      `only on clusters of this kind (${CLUSTER_KINDS.join(', ')})`,
      collect(oneOf(CLUSTER_KINDS)),
    )
    .option('--region <region>', 'only in this region; may be given several times', collect(parseRegion))
    .option('--label <key=value>', 'only on clusters with this label; all given must match', parseLabel)
    .option('--cluster <name>', 'only on this cluster; may be given several times', collect(parseName))
    .addOption(new Option('--device-type <type>', 'what a replica needs').choices(DEVICE_TYPES).default('cpu'))
    .option('--device-count <number>', 'how many of them', wholeNumber(1, DEVICES_MAX), 1)
    .option('--device-memory <bytes>', 'at least so much memory a device, such as 24G', parseBytes)
    .addOption(
      new Option('--topology <scope>', 'how near they must be to each other').choices(TOPOLOGY_SCOPES).default('node'),
    )
    .option(
      '--lost-after-seconds <seconds>',
      'replace replicas of a cluster out of contact after so long',
      wholeNumber(0, LOST_AFTER_SECONDS_MAX),
    )
    .addOption(new Option('--replace <rule>', 'what happens then').choices(REPLACE_RULES))
    .addOption(new Option('--reconcile <rule>', 'who wins after a partition').choices(RECONCILE_RULES))
    .option('--queue <queue>', 'whose account it is charged to (default: default)', parseName)
    .option('--priority-class <class>', 'how important it is (default: serving)', parseName);
}

/** `--version` and `--alias`: which version, by number or by a name that moves. */
export function addVersionOptions(command: Command, description: string): Command {
  return command
    .option('--version <number>', description, wholeNumber(1))
    .addOption(
      new Option('--alias <alias>', 'follow this alias of the model: when it moves, a rollout begins')
        .argParser(parseName)
        .conflicts('version'),
    );
}

export function specificationOf(name: string, options: SpecificationOptions): CreateDeployment {
  const { model, version, alias, servedModel, replicas, kind: kinds, region: regions, label: labels } = options;
  const { lostAfterSeconds, replace, reconcile, deviceMemory: memoryBytesPerDevice } = options;
  const hasPolicy = [lostAfterSeconds, replace, reconcile].some((each) => each !== undefined);
  return {
    name,
    model,
    version,
    alias,
    servedModel,
    replicas,
    claim: {
      deviceType: options.deviceType,
      count: options.deviceCount,
      memoryBytesPerDevice,
      schedulingPolicy: { topologyScope: options.topology },
    },
    selector: { kinds: kinds && [...new Set(kinds)], regions, labels, clusterNames: options.cluster },
    ...spreadOf(options),
    disconnect: hasPolicy ? { lostAfterSeconds, replace, reconcile } : undefined,
    ...servingOf(options),
    rollout: rolloutPolicyOf(options) ?? undefined,
    queue: options.queue,
    priorityClass: options.priorityClass,
  };
}

const parseRegion = accepted(createDeploymentSchema.shape.selector.unwrap().shape.regions.unwrap().element);
