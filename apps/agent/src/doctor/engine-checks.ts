// Engines of the folder: what should run by the desired document, and what does.
import { basename, join } from 'node:path';
import { lastLine, logPath } from '../engines/engine-log.ts';
import { INSTANCE_VARIABLE } from '../engines/engine-processes.ts';
import * as folders from '../engines/instance-folder.ts';
import { environmentOf, isProcessAlive, processStartTicks } from '../state/processes.ts';
import type { Finding } from './finding.ts';
import { type Patient, readDesired } from './patient.ts';

interface Engine {
  readonly replicaId: string;
  readonly processId: number | null;
  readonly isAlive: boolean;
}

/** One finding for all, and one for each replica that should run and does not. */
export async function checkEngines(patient: Patient): Promise<Finding[]> {
  const check = 'engines';
  const [desired, engines] = await Promise.all([readDesired(patient), readEngines(patient.stateFolder)]);
  const living = new Set(engines.filter(({ isAlive }) => isAlive).map(({ replicaId }) => replicaId));
  const wanted = (desired?.replicas ?? []).filter(({ draining, engine }) => !draining && engine === undefined);
  const missing = wanted.filter(({ replicaId }) => !living.has(replicaId));
  const known = new Set((desired?.replicas ?? []).map(({ replicaId }) => replicaId));
  const extra = [...living].filter((replicaId) => !known.has(replicaId));
  const summary: Finding = {
    check,
    verdict: missing.length === 0 ? 'ok' : 'warning',
    says: `${living.size} run, ${wanted.length} are wanted of this machine's own engine.${extra.length === 0 ? '' : ` Not in the desired document: ${extra.join(', ')}.`}`,
  };
  const silent = await Promise.all(missing.map(({ replicaId }) => explainMissing(patient, replicaId)));
  return [summary, ...silent];
}

async function explainMissing({ stateFolder }: Patient, replicaId: string): Promise<Finding> {
  const words = await lastLine(logPath(join(stateFolder, 'logs'), replicaId));
  const says =
    words === ''
      ? `Replica ${replicaId} does not run, and left no log.`
      : `Replica ${replicaId} does not run; its last words: ${words}`;
  return {
    check: 'engines',
    verdict: 'warning',
    says,
    advice: `Its log is logs/${replicaId}.log in the state folder.`,
  };
}

async function readEngines(stateFolder: string): Promise<Engine[]> {
  const found = await folders.listInstanceFolders(join(stateFolder, 'engines'));
  const engines = await Promise.all(
    found.map(async (folder): Promise<Engine | null> => {
      const [spec, processId] = await Promise.all([folders.readSpec(folder), folders.readProcessId(folder)]);
      if (spec === null) return null;
      return {
        replicaId: spec.replicaId,
        processId,
        isAlive: processId !== null && (await isItself(folder, processId)),
      };
    }),
  );
  return engines.filter((engine) => engine !== null);
}

/**
 * A process id may be another's by now, as after a restart of the machine: an engine has its folder in its environment, or
 * began when it was noted to. By the instance's id, for the folder may be given here by another path than to the agent.
 */
async function isItself(folder: string, processId: number): Promise<boolean> {
  if (!isProcessAlive(processId)) return false;
  const isIdentityKnown = (await processStartTicks(process.pid)) !== null;
  if (!isIdentityKnown) return true;
  const told = await environmentOf(processId, INSTANCE_VARIABLE);
  return (told !== null && basename(told) === basename(folder)) || folders.isNotedProcess(folder, processId);
}
