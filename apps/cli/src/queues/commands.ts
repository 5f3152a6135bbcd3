import { type Command, InvalidArgumentError, Option } from 'commander';
import type { UpdateQueue } from '#contracts';
import {
  DEVICE_TYPES,
  type DeviceCounts,
  deviceCountsProblem,
  QUEUE_ORDERS,
  type QueueOrder,
  queueWeightProblem,
} from '#domain';
import { parseName } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { UsageError } from '../errors.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import type { Terminal } from '../terminal.ts';
import { renderQueue, renderQueues } from './views.ts';

export type ReadOptions = ConnectionOptions & OutputOptions;

interface QueueOptions {
  readonly weight?: number;
  readonly quota?: DeviceCounts;
  readonly borrowingLimit?: DeviceCounts | 'none';
  readonly lendingLimit?: DeviceCounts | 'none';
  readonly order?: QueueOrder;
  readonly pause?: true;
  readonly unpause?: true;
}

export function addQueueCommands(program: Command, terminal: Terminal): void {
  const queue = program
    .command('queue')
    .alias('queues')
    .description('where work waits, and whose account it is charged to');
  addReads(queue, terminal);
  addCreate(queue, terminal);
  addUpdate(queue, terminal);
  addConnectionOptions(queue.command('delete').description('remove a queue that nothing names, ended jobs included'))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ConnectionOptions) => {
      await connect(terminal, options).removeQueue(name);
      terminal.out(`${name} is gone.\n`);
    });
}

function addReads(queue: Command, terminal: Terminal): void {
  addConnectionOptions(
    addOutputOption(queue.command('list').description('every queue, what it uses and how long it is')),
  )
    .alias('ls')
    .option('--tenant <tenant>', 'whose (default: the key’s own)', parseName)
    .action(async (options: ReadOptions & { tenant?: string }) => {
      const queues = await connect(terminal, options).queues(options.tenant);
      show(terminal, options, queues, () => renderQueues(queues, terminal));
    });
  addConnectionOptions(
    addOutputOption(queue.command('show').description('one queue, and the place and reason of each entry')),
  )
    .argument('<name>', 'its name', parseName)
    .option('--tenant <tenant>', 'whose, without the names of what waits in it (default: the key’s own)', parseName)
    .action(async (name: string, options: ReadOptions & { tenant?: string }) => {
      const { tenant } = options;
      const client = connect(terminal, options);
      const found = await (tenant === undefined ? client.queue(name) : client.tenantQueue(tenant, name));
      show(terminal, options, found, () => renderQueue(found, terminal));
    });
}

function addCreate(queue: Command, terminal: Terminal): void {
  addQueueOptions(addConnectionOptions(addOutputOption(queue.command('create').description('make a queue'))))
    .argument('<name>', 'its name', parseName)
    .option('--parent <queue>', 'the queue that it is part of (default: none)', parseName)
    .action(async (name: string, options: ReadOptions & QueueOptions & { parent?: string }) => {
      const { parent } = options;
      const body = { name, ...(parent === undefined ? {} : { parent }), ...changesOf(options) };
      const made = await connect(terminal, options).createQueue(body);
      show(terminal, options, made, () => `${name} is made.\n${renderQueue(made, terminal)}`);
    });
}

function addUpdate(queue: Command, terminal: Terminal): void {
  addQueueOptions(
    addConnectionOptions(addOutputOption(queue.command('update').description('change what is said; the rest stays'))),
  )
    .argument('<name>', 'its name', parseName)
    .option('--tenant <tenant>', 'whose (default: the key’s own)', parseName)
    .action(async (name: string, options: ReadOptions & QueueOptions & { tenant?: string }) => {
      const change = changesOf(options);
      if (Object.keys(change).length === 0) {
        throw new UsageError('nothing to change was said; see: atoll queue update --help');
      }
      const changed = await connect(terminal, options).updateQueue(name, change, options.tenant);
      if (changed.warning !== undefined) terminal.err(`warning: ${changed.warning}\n`);
      show(terminal, options, changed, () => renderQueue(changed, terminal));
    });
}

function addQueueOptions(command: Command): Command {
  return command
    .option('--weight <number>', 'its share of what is idle, against its siblings (default: 1)', parseWeight)
    .option(
      '--quota <type=count>',
      'devices that are its own, such as nvidia.com/gpu=8; may be given several times',
      collectCounts,
    )
    .option('--borrowing-limit <type=count>', 'how far above its quota it may go, or none', collectLimit)
    .option('--lending-limit <type=count>', 'how much of its idle quota others may use, or none', collectLimit)
    .addOption(new Option('--order <order>', 'how its entries are put in order').choices(QUEUE_ORDERS))
    .addOption(new Option('--pause', 'take work and start none').conflicts('unpause'))
    .option('--unpause', 'start work again');
}

function changesOf(options: QueueOptions): UpdateQueue {
  const { weight, quota, borrowingLimit, lendingLimit, order, pause, unpause } = options;
  const fields = {
    ...{ weight, quota, order },
    borrowingLimit: borrowingLimit === 'none' ? null : borrowingLimit,
    lendingLimit: lendingLimit === 'none' ? null : lendingLimit,
    paused: pause ? true : unpause ? false : undefined,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function parseWeight(text: string): number {
  const problem = queueWeightProblem(/^\d{1,4}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN);
  if (problem === null) return Number(text);
  throw new InvalidArgumentError(`It ${problem}.`);
}

function collectCounts(text: string, earlier: DeviceCounts = {}): DeviceCounts {
  const cut = text.lastIndexOf('=');
  const [type, count] = [text.slice(0, cut), text.slice(cut + 1)];
  if (cut < 1 || count === '') {
    throw new InvalidArgumentError(`It must be written type=count; types are ${DEVICE_TYPES.join(', ')}.`);
  }
  const number = /^-?\d+(\.\d+)?$/.test(count) ? Number(count) : Number.NaN;
  const counts = { ...earlier, [type]: number } as DeviceCounts;
  const problem = deviceCountsProblem(counts);
  if (problem !== null) throw new InvalidArgumentError(`${problem}.`);
  return counts;
}

function collectLimit(text: string, earlier?: DeviceCounts | 'none'): DeviceCounts | 'none' {
  return text === 'none' ? 'none' : collectCounts(text, earlier === 'none' ? {} : earlier);
}
