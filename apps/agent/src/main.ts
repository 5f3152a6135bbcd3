// The agent process: `node main.js --config agent.yaml`.
// Exit codes: 0 stopped in order, 1 unexpected, 2 it cannot start as it is configured (configuration, state folder in
// use, join refused), 3 the cluster was removed from the fleet, 4 a newer agent with the same identity took its place.
import { fileURLToPath } from 'node:url';
import { runProcess } from '#configuration';
import { CredentialError } from '#messaging';
import {
  bearerMatches,
  createLogger,
  createMetrics,
  HealthRegistry,
  type OperationalListener,
  Registry,
  startOperationalListener,
} from '#telemetry';
import { Agent } from './agent.ts';
import { type AgentConfiguration, agentConfiguration } from './configuration.ts';
import { createEngines } from './engines/named-engines.ts';
import { ProcessEngine } from './engines/process-engine.ts';
import { AgentFencedError, ClusterRemovedError, JoinRefusedError, messageOf, StateFolderInUseError } from './errors.ts';
import { bindMetrics, showStatus } from './telemetry.ts';

const EXIT_UNEXPECTED = 1;
const EXIT_CANNOT_START = 2;
const EXIT_REMOVED = 3;
const EXIT_FENCED = 4;
const GAUGES_MS = 1_000;

/** The engine of this installation, beside this file. */
function ownEngineCommand(): string[] {
  const end = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return [process.execPath, fileURLToPath(new URL(`../../engine/src/main.${end}`, import.meta.url))];
}

async function run(configuration: AgentConfiguration): Promise<void> {
  const log = createLogger({ process: 'agent', level: configuration.log.level });
  const registry = new Registry();
  const gauges = createMetrics('agent', registry);
  const metrics = bindMetrics(gauges);
  const health = new HealthRegistry();
  const { modulesDirectory, command = ownEngineCommand() } = configuration.engine;
  const agent: Agent = new Agent({
    configuration,
    engine: (stateFolder, publicKey) => {
      const context = { stateFolder, agent: publicKey, environment: process.env, log, metrics };
      const standard = new ProcessEngine({ ...context, command, modulesDirectory });
      return createEngines(configuration.engines, standard, context);
    },
    environment: process.env,
    log,
    metrics,
    onRemoved: (error) => {
      log.error(error.message);
      // It was said, not guessed: nothing of the fleet's may run on here.
      void end(EXIT_REMOVED, false);
    },
    onFenced: (error) => {
      log.error(error.message);
      void end(EXIT_FENCED);
    },
  });
  health.register('agent', () => (agent.status().isReady ? null : agent.status().reason));
  const refresh = setInterval(() => showStatus(gauges, agent.status()), GAUGES_MS).unref();
  let operational: OperationalListener | undefined;

  let isEnding = false;
  const end = async (exitCode: number, keepEngines?: boolean) => {
    if (isEnding) return;
    isEnding = true;
    health.beginStopping();
    clearInterval(refresh);
    await agent.stop(keepEngines);
    await operational?.close();
    log.info({ exitCode }, 'agent stopped');
    process.exit(exitCode);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // A second signal is impatience. Engines that are left behind are adopted or ended by the next start.
      if (isEnding) process.exit(EXIT_UNEXPECTED);
      void end(0);
    });
  }

  try {
    operational = await startOperationalListener({
      ...configuration.operational,
      health,
      registry,
      mayReadMetrics: (authorization) => bearerMatches(authorization, configuration.metrics.token?.reveal()),
    });
    log.info({ host: operational.host, port: operational.port }, 'operational listener');
    await agent.start();
    log.info(agent.status().details ?? {}, 'agent started');
  } catch (cause) {
    if (isEnding) return;
    if (isAdvice(cause)) log.fatal(messageOf(cause));
    else log.fatal({ err: cause }, 'the agent cannot start');
    // Engines of an earlier agent may serve on: nobody said that they should not, unless the cluster was removed.
    await end(exitCodeOf(cause), true);
  }
}

function isAdvice(cause: unknown): boolean {
  return (
    cause instanceof StateFolderInUseError ||
    cause instanceof JoinRefusedError ||
    cause instanceof ClusterRemovedError ||
    cause instanceof AgentFencedError ||
    cause instanceof CredentialError
  );
}

function exitCodeOf(cause: unknown): number {
  if (cause instanceof ClusterRemovedError) return EXIT_REMOVED;
  if (cause instanceof AgentFencedError) return EXIT_FENCED;
  return isAdvice(cause) ? EXIT_CANNOT_START : EXIT_UNEXPECTED;
}

await runProcess(agentConfiguration, run);
