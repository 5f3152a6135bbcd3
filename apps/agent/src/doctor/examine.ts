// All checks, in the order in which a person would ask.
import { checkEngines } from './engine-checks.ts';
import type { Finding } from './finding.ts';
import { checkAgent, checkContact, checkDisk, checkDocuments, checkFolder, checkIdentity } from './folder-checks.ts';
import {
  checkControlPlane,
  checkCredentials,
  checkLocalEndpoint,
  checkNats,
  checkReadiness,
} from './network-checks.ts';
import { checkPermission } from './offline-checks.ts';
import type { Patient } from './patient.ts';

/** Looks, changes nothing, starts no process. What cannot be looked at is a finding too; it rejects for nothing expected. */
export async function examine(patient: Patient): Promise<Finding[]> {
  const folder = await checkFolder(patient);
  if (folder.verdict === 'failed') return [folder];
  const found = await Promise.all([
    checkAgent(patient),
    checkReadiness(patient),
    checkIdentity(patient),
    checkCredentials(patient),
    checkDocuments(patient),
    checkDisk(patient),
    checkContact(patient),
    checkControlPlane(patient),
    checkNats(patient),
    checkEngines(patient),
    checkPermission(patient),
    checkLocalEndpoint(patient),
  ]);
  return [folder, ...found.flat()];
}
