/** An edge that cannot reach the centre: its own endpoint goes on answering, with the keys that it knows. */
import type { AdminClient } from '#contracts';
import type { QuickstartFleet } from './fleet.ts';
import { type Narrator, StepError } from './narrator.ts';
import { type ChatProof, chat, until } from './story.ts';

const LEARN_TIMEOUT_MS = 40_000;
const BACK_TIMEOUT_MS = 40_000;

export interface CutOffProof {
  readonly url: string;
  readonly chat: ChatProof;
  /** From NATS' return until the cluster, Ready, has reported again. */
  readonly backSeconds: number;
}

/** Chats with the edge itself while NATS, and with it all word of the centre, is gone; then waits until it is back. */
export async function serveCutOff(
  fleet: QuickstartFleet,
  admin: AdminClient,
  { edge, key }: { edge: string; key: string },
  narrator: Narrator,
  report: (progress: string) => void,
): Promise<CutOffProof> {
  const url = fleet.localUrlOf(edge);
  report(`${edge} learns the key`);
  await until(LEARN_TIMEOUT_MS, () => knowsKey(url, key));
  report('NATS stops');
  const heal = await fleet.stopNats();
  const answer = await chat(url, key, narrator).finally(heal);
  const healedAtMs = Date.now();
  await until(BACK_TIMEOUT_MS, async () => {
    const { phase, observed } = await admin.cluster(edge);
    report(`${edge} is ${phase}`);
    return phase === 'Ready' && Date.parse(observed?.reportedAt ?? '') > healedAtMs;
  });
  return { url, chat: answer, backSeconds: (Date.now() - healedAtMs) / 1_000 };
}

/** @throws StepError when it was not the edge that answered by itself, or not with this version */
export function proveCutOff({ chat: answer }: CutOffProof, edge: string, versionDigest: string | null): void {
  const { cluster, path, text, tokens } = answer;
  const isRight = cluster === edge && path === 'local' && text.trim() !== '' && tokens > 0;
  if (isRight && answer.versionDigest === versionDigest) return;
  throw new StepError(
    `the answer of ${edge} is not right: ${tokens} tokens of cluster "${cluster}" over path "${path}", version ${answer.versionDigest}`,
    `Look at the log of ${edge}.`,
  );
}

async function knowsKey(url: string, key: string): Promise<boolean> {
  const response = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } }).catch(() => null);
  await response?.body?.cancel();
  return response?.status === 200;
}
