// What this cluster may serve by itself, and for how long: the offline bundle on disk, judged as the agent judges it.
import { z } from 'zod';
import { offlineBundleSchema } from '#contracts';
import { ageMs, standingOf } from '../offline/bundle-age.ts';
import { bundleMarksSchema, storedBundleSchema } from '../offline/bundle-keeper.ts';
import { isSignedBundle } from '../offline/bundle-signature.ts';
import { duration, type Finding } from './finding.ts';
import { jsonOf, type Patient, readDocument, readMembership } from './patient.ts';

const keySchema = z.object({ verifyingKey: z.string() });

export async function checkPermission(patient: Patient): Promise<Finding> {
  const check = 'offline permission';
  const [stored, marks, key, membership] = await Promise.all([
    readDocument(patient, 'offline-bundle', storedBundleSchema),
    readDocument(patient, 'offline-marks', bundleMarksSchema),
    readDocument(patient, 'verifying-key', keySchema),
    readMembership(patient),
  ]);
  if (stored === null) {
    return { check, verdict: 'ok', says: 'None is here; one comes with a local endpoint and the first contact.' };
  }
  if (key === null || !isSignedBundle(stored.text, stored.signature, key.verifyingKey)) {
    const advice = 'The agent does not use it. It asks for a new one as soon as the centre answers.';
    return { check, verdict: 'failed', says: "It is not proven by the centre's key.", advice };
  }
  const bundle = offlineBundleSchema.safeParse(jsonOf(stored.text)).data;
  if (bundle === undefined) {
    const advice = 'Start the release that it was made for, or wait: a new one comes as soon as the centre answers.';
    return { check, verdict: 'failed', says: 'This release cannot read it; was the agent a newer one?', advice };
  }
  if (membership !== null && bundle.clusterId !== membership.clusterId) {
    const says = `It is of cluster ${bundle.clusterId}, not of this one.`;
    return {
      check,
      verdict: 'failed',
      says,
      advice: 'Was the folder put together from two? The agent does not use it.',
    };
  }
  const standing = standingOf(bundle, ageMs(bundle, marks, patient.nowMs), 0);
  const holds = `${bundle.keys.length} keys, ${bundle.deployments.length} deployments`;
  if (standing.state === 'valid') {
    return { check, verdict: 'ok', says: `Good for ${duration(standing.leftMs / 1_000)} more: ${holds}.` };
  }
  const advice = 'Local clients get 503 until the centre answers.';
  if (standing.state === 'early') {
    return { check, verdict: 'failed', says: 'It was issued in the future: this clock is behind.', advice };
  }
  return { check, verdict: 'failed', says: `It ended ${duration(standing.endedAgoMs / 1_000)} ago.`, advice };
}
