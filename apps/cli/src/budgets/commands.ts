import { type Command, Option } from 'commander';
import { tokenUsageQuerySchema } from '#contracts';
import { BUDGET_PERIODS, BUDGET_TOKENS_MAX, type BudgetPeriod, UUID } from '#domain';
import { accepted, parseName, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { UsageError } from '../errors.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import type { Terminal } from '../terminal.ts';
import { renderBudget, renderBudgets, renderTokenUsage } from './views.ts';

type TenantOptions = ConnectionOptions & { readonly tenant?: string };
type ReadOptions = TenantOptions & OutputOptions;

export function addBudgetCommands(program: Command, terminal: Terminal): void {
  const budget = program
    .command('budget')
    .alias('budgets')
    .description('how many tokens a tenant, or one key, may spend in a period');
  addReads(budget, terminal);
  addCreate(budget, terminal);
  addUpdate(budget, terminal);
  addRemovals(budget, terminal);
}

export function addTokenUsageCommand(usage: Command, terminal: Terminal): void {
  addReadOptions(usage.command('tokens').description('tokens that were served, by day, key, model and deployment'))
    .option(
      '--since <day>',
      'from this UTC day on, such as 2030-01-31 (default: 30 days)',
      accepted(tokenUsageQuerySchema.shape.since.unwrap()),
    )
    .action(async (options: ReadOptions & { since?: string }) => {
      const { tenant, since } = options;
      const wanted = { ...(tenant === undefined ? {} : { tenant }), ...(since === undefined ? {} : { since }) };
      const used = await connect(terminal, options).tokenUsage(wanted);
      if (used.isCut) terminal.err('warning: there is more; ask since a later day\n');
      show(terminal, options, used, () => renderTokenUsage(used, terminal));
    });
}

function addReads(budget: Command, terminal: Terminal): void {
  addReadOptions(budget.command('list').description('every budget, with what is spent, out and free'))
    .alias('ls')
    .action(async (options: ReadOptions) => {
      const budgets = await connect(terminal, options).budgets(options.tenant);
      show(terminal, options, budgets, () => renderBudgets(budgets, terminal));
    });
  addReadOptions(budget.command('show').description('one budget, and who holds leases on it'))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const found = await connect(terminal, options).budget(name, options.tenant);
      show(terminal, options, found, () => renderBudget(found, terminal));
    });
}

function addCreate(budget: Command, terminal: Terminal): void {
  addReadOptions(budget.command('create').description('make a budget'))
    .argument('<name>', 'its name', parseName)
    .addOption(tokensOption())
    .addOption(
      new Option('--period <period>', 'UTC days or months, or for good').choices(BUDGET_PERIODS).makeOptionMandatory(),
    )
    .option('--key <public id>', 'only what is asked with this key (default: all of the tenant)')
    .action(async (name: string, options: ReadOptions & { tokens: number; period: BudgetPeriod; key?: string }) => {
      const { tokens, period, key, tenant } = options;
      const body = { name, tokens, period, ...(key === undefined ? {} : { key }) };
      const made = await connect(terminal, options).createBudget(body, tenant);
      show(terminal, options, made, () => `${name} is made.\n${renderBudget(made, terminal)}`);
    });
}

function addUpdate(budget: Command, terminal: Terminal): void {
  addReadOptions(budget.command('update').description('change the limit; what is out on leases may still be spent'))
    .argument('<name>', 'its name', parseName)
    .addOption(tokensOption())
    .action(async (name: string, options: ReadOptions & { tokens: number }) => {
      const changed = await connect(terminal, options).updateBudget(name, { tokens: options.tokens }, options.tenant);
      if (changed.warning !== undefined) terminal.err(`warning: ${changed.warning}\n`);
      show(terminal, options, changed, () => renderBudget(changed, terminal));
    });
}

function addRemovals(budget: Command, terminal: Terminal): void {
  addTenantOption(budget.command('delete').description('remove a budget: what it limited is limited no more'))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: TenantOptions) => {
      await connect(terminal, options).removeBudget(name, options.tenant);
      terminal.out(`${name} is gone.\n`);
    });
  addTenantOption(
    budget.command('write-off').description('take what the holder of an expired lease never told for unspent'),
  )
    .argument('<name>', 'the budget', parseName)
    .argument('<lease>', 'the lease’s id; atoll budget show names them')
    .action(async (name: string, lease: string, options: TenantOptions) => {
      if (!UUID.test(lease)) throw new UsageError('a lease is named by its id; see: atoll budget show');
      await connect(terminal, options).writeOffLease(name, lease, options.tenant);
      terminal.out('What was not told of it is free again.\n');
    });
}

function addTenantOption(command: Command): Command {
  return addConnectionOptions(command).option('--tenant <tenant>', 'whose (default: the key’s own)', parseName);
}

function addReadOptions(command: Command): Command {
  return addTenantOption(addOutputOption(command));
}

function tokensOption(): Option {
  return new Option('--tokens <number>', 'prompt and completion together, in one period')
    .argParser(wholeNumber(0, BUDGET_TOKENS_MAX))
    .makeOptionMandatory();
}
