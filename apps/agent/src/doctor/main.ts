// `atoll doctor FOLDER` and `atoll doctor --config agent.yaml`: what is wrong with the agent of this machine.
// Exit codes: 0 nothing failed, 1 something did, 2 wrongly called.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ConfigurationError, loadConfiguration } from '#configuration';
import { agentConfiguration } from '../configuration.ts';
import { messageOf } from '../errors.ts';
import { examine } from './examine.ts';
import { exitCodeOf, renderFindings, summarise } from './finding.ts';
import type { Patient } from './patient.ts';

const USAGE = `Usage: ./atoll doctor FOLDER [--json]
       ./atoll doctor --config FILE [--json]

Looks at an agent's state folder: key, credentials, documents, disk, clock, NATS, engines, last contact.
It changes nothing and works while the agent runs, and while it does not. With the agent's configuration file it
also asks the control plane and the agent's own listeners.`;

const EXIT_MISUSED = 2;

class MisuseError extends Error {
  override readonly name = 'MisuseError';
}

function patientOf(folder: string | undefined, file: string | undefined): Patient {
  const nowMs = Date.now();
  if (file === undefined) {
    if (folder === undefined) throw new MisuseError('Name a state folder, or a configuration file with --config.');
    const unknown = { controlPlaneUrl: null, operational: null, localEndpoint: null };
    return { stateFolder: resolve(folder), ...unknown, nowMs };
  }
  const configuration = loadConfiguration(agentConfiguration, { file, argv: [] });
  return {
    stateFolder: resolve(folder ?? configuration.stateDirectory),
    controlPlaneUrl: configuration.controlPlaneUrl,
    operational: configuration.operational,
    localEndpoint: configuration.localEndpoint.listen ?? null,
    nowMs,
  };
}

async function run(parameters: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...parameters],
    allowPositionals: true,
    options: { config: { type: 'string' }, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  if (positionals.length > 1) throw new MisuseError('One folder at a time.');
  const findings = await examine(patientOf(positionals[0], values.config));
  const text =
    values.json === true
      ? JSON.stringify({ findings }, null, 2)
      : `${renderFindings(findings)}\n\n${summarise(findings)}`;
  process.stdout.write(`${text}\n`);
  return exitCodeOf(findings);
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (cause) {
  const isMisuse = cause instanceof MisuseError || cause instanceof ConfigurationError || isParseError(cause);
  process.stderr.write(`${messageOf(cause)}\n${cause instanceof ConfigurationError ? '' : `\n${USAGE}\n`}`);
  process.exitCode = isMisuse ? EXIT_MISUSED : 1;
}

function isParseError(cause: unknown): boolean {
  return String((cause as NodeJS.ErrnoException).code ?? '').startsWith('ERR_PARSE_ARGS');
}
