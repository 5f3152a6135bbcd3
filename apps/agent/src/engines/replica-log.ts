// The answer to who asks for a replica's log: any range of the file that its engine writes.
import { stat } from 'node:fs/promises';
import type { ReplicaLogsRequest, TaskLogsReply } from '#contracts';
import { readLogParts } from '../jobs/task-log.ts';
import { logPath } from './engine-log.ts';

/** `isHere`: its engine may still write. An engine that began its file anew is read from the start of it. */
export async function readReplicaLog(
  logsFolder: string,
  { replicaId, offset, bytesMax }: ReplicaLogsRequest,
  isHere: boolean,
): Promise<TaskLogsReply> {
  const path = logPath(logsFolder, replicaId);
  const size = await stat(path).then(
    (found) => (found.isFile() ? found.size : null),
    () => null,
  );
  if (size === null) {
    const reason = isHere ? 'Its engine keeps no log here.' : 'Its cluster has no log of it any more.';
    return { found: false, reason };
  }
  const from = offset > size ? 0 : offset;
  const { isAtEnd, ...range } = await readLogParts([{ path, start: 0, end: size }], from, bytesMax);
  return { found: true, ...range, isComplete: isAtEnd && !isHere };
}
