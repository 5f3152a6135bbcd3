// Over what a deployment's replicas are spread, on the command line: the option, parsed and said back.
import { type Command, InvalidArgumentError } from 'commander';
import { type CreateDeployment, type DeploymentDto, spreadSchema } from '#contracts';
import { SPREAD_FIELDS } from '#domain';
import { accepted } from '../arguments.ts';

type Spread = NonNullable<CreateDeployment['spread']>;

export interface SpreadArguments {
  /** False: `--no-spread`. */
  readonly spread?: Spread | false;
}

export function addSpreadOption(command: Command): Command {
  return command
    .option(
      '--spread <by=groups>',
      `replicas in at least so many groups, by ${SPREAD_FIELDS.join(', ')}, such as region=2`,
      parseSpread,
    )
    .option('--no-spread', 'replicas wherever there is room');
}

/** Empty when nothing was said. */
export function spreadOf({ spread }: SpreadArguments): Pick<CreateDeployment, 'spread'> {
  return spread === undefined ? {} : { spread: spread === false ? null : spread };
}

/** `region=2` */
export function parseSpread(text: string): Spread {
  const match = /^([a-z]+)=(\d{1,9})$/.exec(text);
  if (match === null) throw new InvalidArgumentError('It must be written by=groups, such as region=2.');
  return accepted(spreadSchema)({ by: match[1], minGroups: Number(match[2]) } as never);
}

/** Null when none is demanded. */
export function describeSpread(spread: DeploymentDto['spread']): string | null {
  if (spread === null) return null;
  return `over at least ${spread.minGroups} ${spread.by}${spread.minGroups === 1 ? '' : 's'}`;
}
