// Priority classes, tenants, and what was used.
import { type Command, Option } from 'commander';
import { usageQuerySchema } from '#contracts';
import { PREEMPTION_POLICIES, PRIORITY_MAX, PRIORITY_MIN, type PreemptionPolicy } from '#domain';
import { accepted, parseName, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { UsageError } from '../errors.ts';
import { addOutputOption, show } from '../output/output.ts';
import { intoSecretFile } from '../secret-file.ts';
import type { Terminal } from '../terminal.ts';
import type { ReadOptions } from './commands.ts';
import { renderPriorityClasses, renderTenant, renderTenants, renderUsage } from './views.ts';

interface ClassOptions {
  readonly priority?: number;
  readonly preemption?: PreemptionPolicy;
  /** False: `--no-preemptible`. Undefined: nothing was said. */
  readonly preemptible?: boolean;
}

export function addPriorityClassCommands(program: Command, terminal: Terminal): void {
  const classes = program
    .command('priority-class')
    .alias('priority-classes')
    .description('named priorities from 0 to 10');
  addConnectionOptions(addOutputOption(classes.command('list').description('every class, the highest first')))
    .alias('ls')
    .action(async (options: ReadOptions) => {
      const found = await connect(terminal, options).priorityClasses();
      show(terminal, options, found, () => renderPriorityClasses(found, terminal));
    });
  addClassOptions(classes.command('create').description('name a priority'), true).action(
    async (name: string, options: ReadOptions & ClassOptions) => {
      const body = { name, ...saidOf(options), priority: options.priority! };
      const made = await connect(terminal, options).createPriorityClass(body);
      show(terminal, options, made, () => renderPriorityClasses([made], terminal));
    },
  );
  addClassOptions(classes.command('update').description('change a class; what was submitted keeps its number')).action(
    async (name: string, options: ReadOptions & ClassOptions) => {
      const change = saidOf(options);
      if (Object.keys(change).length === 0) {
        throw new UsageError('nothing to change was said; see: atoll priority-class update --help');
      }
      const changed = await connect(terminal, options).updatePriorityClass(name, change);
      show(terminal, options, changed, () => renderPriorityClasses([changed], terminal));
    },
  );
  addConnectionOptions(classes.command('delete').description('remove a class; what was submitted with it runs on'))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ConnectionOptions) => {
      await connect(terminal, options).removePriorityClass(name);
      terminal.out(`${name} is gone.\n`);
    });
}

function addClassOptions(command: Command, isNew = false): Command {
  const priority = new Option(
    '--priority <number>',
    `from ${PRIORITY_MIN} to ${PRIORITY_MAX}; higher is more important`,
  );
  return addConnectionOptions(addOutputOption(command))
    .argument('<name>', 'its name', parseName)
    .addOption(priority.argParser(wholeNumber(PRIORITY_MIN, PRIORITY_MAX)).makeOptionMandatory(isNew))
    .addOption(
      new Option('--preemption <policy>', 'whether it takes room from lower ones').choices(PREEMPTION_POLICIES),
    )
    .option('--preemptible', 'it may have to make room for higher ones')
    .option('--no-preemptible', 'it never has to make room');
}

function saidOf({ priority, preemption, preemptible }: ClassOptions): ClassOptions {
  const given = Object.entries({ priority, preemption, preemptible }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given);
}

export function addTenantCommands(program: Command, terminal: Terminal): void {
  const tenant = program
    .command('tenant')
    .alias('tenants')
    .description('who has queues, jobs and deployments of its own');
  addConnectionOptions(addOutputOption(tenant.command('list').description('every tenant that this key may see')))
    .alias('ls')
    .action(async (options: ReadOptions) => {
      const tenants = await connect(terminal, options).tenants();
      show(terminal, options, tenants, () => renderTenants(tenants, terminal));
    });
  addConnectionOptions(
    addOutputOption(tenant.command('show').description('one tenant, and what keeps it from being removed')),
  )
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const found = await connect(terminal, options).tenant(name);
      show(terminal, options, found, () => renderTenant(found, terminal));
    });
  addTenantCreate(tenant, terminal);
  addConnectionOptions(
    tenant.command('delete').description('remove a tenant of which nothing is left, with its queues, classes and keys'),
  )
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ConnectionOptions) => {
      await connect(terminal, options).removeTenant(name);
      terminal.out(`${name} is gone.\n`);
    });
}

function addTenantCreate(tenant: Command, terminal: Terminal): void {
  addConnectionOptions(
    addOutputOption(tenant.command('create').description('make a tenant; its first key is shown once')),
  )
    .argument('<name>', 'its name', parseName)
    .option('--key-out <file>', 'write the key to a new file (0600) and do not show it')
    .action(async (name: string, options: ReadOptions & { keyOut?: string }) => {
      const client = connect(terminal, options);
      const made = await intoSecretFile(
        terminal,
        options.keyOut,
        () => client.createTenant(name),
        (created) => created.token,
      );
      const { token, ...rest } = made;
      const { keyOut } = options;
      if (keyOut !== undefined) {
        show(terminal, options, { ...rest, keyFile: keyOut }, () => `${name} is made; its key is in ${keyOut}.\n`);
      } else {
        show(terminal, options, made, () => `${token}\n`);
        terminal.err('This key is not shown again.\n');
      }
    });
}

/** Returns the command, for what else is used. */
export function addUsageCommand(program: Command, terminal: Terminal): Command {
  return addConnectionOptions(
    addOutputOption(program.command('usage').description('accelerator-seconds by queue and device type')),
  )
    .option('--tenant <tenant>', 'whose (default: the key’s own)', parseName)
    .option(
      '--since <day>',
      'from this UTC day on, such as 2030-01-31 (default: 30 days)',
      accepted(usageQuerySchema.shape.since.unwrap()),
    )
    .action(async (options: ReadOptions & { tenant?: string; since?: string }) => {
      const { tenant, since } = options;
      const wanted = { ...(tenant === undefined ? {} : { tenant }), ...(since === undefined ? {} : { since }) };
      const usage = await connect(terminal, options).usage(wanted);
      show(terminal, options, usage, () => renderUsage(usage, terminal));
    });
}
