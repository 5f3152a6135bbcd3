import { type Command, Option } from 'commander';
import type { CreateJoinToken } from '#contracts';
import { CLUSTER_KINDS, type Labels } from '#domain';
import { parseLabel, parseName } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { UsageError } from '../errors.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import { relativeTime } from '../output/units.ts';
import { intoSecretFile } from '../secret-file.ts';
import type { Terminal } from '../terminal.ts';
import { addClusterOperations } from './operations.ts';
import { addSyncPolicyOptions, type SyncPolicyOptions, syncChangeOf } from './sync-policy.ts';
import { renderCluster, renderClusters, renderSync } from './views.ts';

type ReadOptions = ConnectionOptions & OutputOptions;

export function addClusterCommands(program: Command, terminal: Terminal): void {
  const cluster = program
    .command('cluster')
    .alias('clusters')
    .description('the clusters of the fleet, and tokens to join it');
  addReads(cluster, terminal);
  addChanges(cluster, terminal);
  addClusterOperations(program, cluster, terminal);
  addSync(cluster, terminal);
  addTokenCommands(cluster, terminal);
}

function addReads(cluster: Command, terminal: Terminal): void {
  addConnectionOptions(addOutputOption(cluster.command('list').description('every cluster')))
    .alias('ls')
    .action(async (options: ReadOptions) => {
      const clusters = await connect(terminal, options).clusters();
      show(terminal, options, clusters, () => renderClusters(clusters, terminal));
    });
  addConnectionOptions(addOutputOption(cluster.command('show').description('one cluster and what it last reported')))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const found = await connect(terminal, options).cluster(name);
      show(terminal, options, found, () => renderCluster(found, terminal));
    });
}

function addChanges(cluster: Command, terminal: Terminal): void {
  addConnectionOptions(cluster.command('accept').description('let a cluster in that asked to join'))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ConnectionOptions) => {
      const { phase } = await connect(terminal, options).acceptCluster(name);
      terminal.out(`${name} is accepted (${phase}).\n`);
    });
  for (const cordoned of [true, false]) {
    const description = cordoned ? 'place nothing new there' : 'allow new placements again';
    addConnectionOptions(cluster.command(cordoned ? 'cordon' : 'uncordon').description(description))
      .argument('<name>', 'its name', parseName)
      .action(async (name: string, options: ConnectionOptions) => {
        await connect(terminal, options).updateCluster(name, { cordoned });
        terminal.out(`${name} ${cordoned ? 'gets no new placements' : 'may get new placements'}.\n`);
      });
  }
  addConnectionOptions(cluster.command('label').description('set labels (key=value) and take them away (key-)'))
    .argument('<name>', 'its name', parseName)
    .argument('<change...>', 'key=value or key-')
    .action(async (name: string, changes: string[], options: ConnectionOptions) => {
      const { set, drop } = readLabelChanges(changes);
      const client = connect(terminal, options);
      const { labels, revision } = await client.cluster(name);
      const kept = Object.entries(labels).filter(([key]) => !drop.includes(key));
      // The API takes all labels at once: the revision keeps a change of somebody else from being undone.
      await client.updateCluster(name, { labels: { ...Object.fromEntries(kept), ...set } }, { ifRevision: revision });
      terminal.out(`${name} is labelled.\n`);
    });
  addConnectionOptions(
    cluster.command('remove').description('take a cluster out of the fleet; its access ends at once'),
  )
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ConnectionOptions) => {
      await connect(terminal, options).removeCluster(name);
      terminal.out(`${name} is removed; its credentials are revoked.\n`);
    });
}

function addSync(cluster: Command, terminal: Terminal): void {
  const sync = cluster.command('sync').description('how versions travel to a cluster; shows it or changes it');
  addSyncPolicyOptions(addConnectionOptions(addOutputOption(sync)))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions & SyncPolicyOptions) => {
      const change = syncChangeOf(options);
      const client = connect(terminal, options);
      const found = change === null ? await client.cluster(name) : await client.updateCluster(name, { sync: change });
      const measures = found.observed?.measures ?? null;
      show(terminal, options, { ...found.sync, measures }, () => renderSync(found));
    });
}

function addTokenCommands(cluster: Command, terminal: Terminal): void {
  const token = cluster.command('token').description('single-use tokens that let a cluster join');
  addConnectionOptions(addOutputOption(token.command('create').description('make a join token; it is shown once')))
    .argument('<name>', 'the name the cluster will have', parseName)
    .addOption(new Option('--kind <kind>', 'what it will be').choices(CLUSTER_KINDS).makeOptionMandatory())
    .option('--region <region>', 'where it is, such as cn-east')
    .option('--zone <zone>', 'where in the region')
    .option('--label <key=value>', 'a label; may be given several times', parseLabel)
    .option('--pre-approved', 'Ready as soon as it joins, with no `cluster accept`')
    .option('--token-out <file>', 'write the token to a new file (0600) and do not show it')
    .action(
      async (
        clusterName: string,
        options: ReadOptions & {
          kind: CreateJoinToken['kind'];
          region?: string;
          zone?: string;
          label?: Labels;
          preApproved?: true;
          tokenOut?: string;
        },
      ) => {
        const { kind, region, zone, label: labels, preApproved, tokenOut } = options;
        const client = connect(terminal, options);
        const made = await intoSecretFile(
          terminal,
          tokenOut,
          () => client.createJoinToken({ clusterName, kind, region, zone, labels, preApproved }),
          (created) => created.token,
        );
        const { token: secret, ...rest } = made;
        const expiry = `It joins ${clusterName} once, and expires ${relativeTime(made.expiresAt, terminal.now())}.\n`;
        if (tokenOut !== undefined) {
          show(terminal, options, { ...rest, tokenFile: tokenOut }, () => `The token is in ${tokenOut}. ${expiry}`);
        } else {
          show(terminal, options, made, () => `${secret}\n`);
          terminal.err(`This token is not shown again. ${expiry}`);
        }
      },
    );
}

function readLabelChanges(changes: readonly string[]): { set: Labels; drop: string[] } {
  let set: Labels = {};
  const drop: string[] = [];
  for (const change of changes) {
    if (!change.includes('=') && change.length > 1 && change.endsWith('-')) {
      drop.push(change.slice(0, -1));
      continue;
    }
    try {
      set = parseLabel(change, set);
    } catch (error) {
      throw new UsageError(`label change "${change}" is invalid. ${(error as Error).message} (key- takes one away)`);
    }
  }
  const both = drop.find((key) => Object.hasOwn(set, key));
  if (both !== undefined) throw new UsageError(`label ${both} is both set and taken away`);
  return { set, drop };
}
