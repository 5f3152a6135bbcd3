// What all changes of a deployment share: their options, what a dry run shows, and what is said afterwards.
import { type Command, Option } from 'commander';
import type { AdminClient, DeploymentDto, DeploymentPlanDto } from '#contracts';
import { addConnectionOptions, type ConnectionOptions } from '../connection.ts';
import { UsageError } from '../errors.ts';
import { newestPublished, renderSync } from '../models/sync-commands.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import { addTimeoutOption } from '../polling.ts';
import type { Terminal } from '../terminal.ts';
import { renderDeployment, renderPlan } from './views.ts';
import { waitUntilServing } from './waiting.ts';

export type ReadOptions = ConnectionOptions & OutputOptions;
export type ChangeOptions = ReadOptions & {
  readonly dryRun?: true;
  readonly wait?: true;
  readonly timeout: number;
};

export const TIMEOUT_SECONDS_DEFAULT = 120;

export function addChangeOptions(command: Command): Command {
  return addTimeoutOption(
    addConnectionOptions(addOutputOption(command))
      .addOption(new Option('--dry-run', 'say what would happen and change nothing').conflicts('wait'))
      .option('--wait', 'wait until it is so'),
    TIMEOUT_SECONDS_DEFAULT,
  );
}

/** After a change: what it is now, waited for when asked. */
export async function finish(
  client: AdminClient,
  name: string,
  options: ChangeOptions,
  terminal: Terminal,
  said: string,
): Promise<void> {
  const isTable = options.output === 'table';
  if (isTable) terminal.out(`${said}\n`);
  if (options.wait) {
    const found = await waitUntilServing(client, name, { terminal, timeoutSeconds: options.timeout });
    showDeployment(terminal, options, found);
  } else if (isTable) {
    terminal.out(`See how it goes: atoll deployment wait ${name}\n`);
  } else {
    showDeployment(terminal, options, await client.deployment(name));
  }
}

export function showDeployment(terminal: Terminal, options: OutputOptions, found: DeploymentDto): void {
  show(terminal, options, found, () => renderDeployment(found, terminal));
}

/** Which version a change would bring; null when it brings none. */
export type VersionTarget = {
  readonly model: string;
  readonly version?: number | 'newest';
  readonly alias?: string;
} | null;

/** The plan, and how the version that it brings would get to every cluster. */
export async function showPlan(
  client: AdminClient,
  plan: DeploymentPlanDto,
  target: VersionTarget,
  options: OutputOptions,
  terminal: Terminal,
): Promise<void> {
  const number = target === null ? null : await numberOf(client, target);
  const sync = target === null || number === null ? null : await client.versionSync(target.model, number);
  show(terminal, options, sync === null ? plan : { ...plan, sync }, () => {
    const travel =
      sync === null
        ? ''
        : `\nHow version ${sync.version} of ${sync.model} would get there:\n\n${renderSync(sync, terminal)}`;
    return `Nothing was changed. It would be so:\n\n${renderPlan(plan, terminal)}${travel}`;
  });
}

/** Throws UsageError for an alias that the model does not have. */
async function numberOf(client: AdminClient, { model, version, alias }: NonNullable<VersionTarget>) {
  if (alias !== undefined) {
    const found = (await client.aliases(model)).find(({ name }) => name === alias);
    if (found === undefined) throw new UsageError(`${model} has no alias ${alias}; see: atoll model aliases ${model}`);
    return found.version;
  }
  return version === 'newest' ? newestPublished(client, model) : (version ?? null);
}
