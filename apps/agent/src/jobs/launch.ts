// The order for a runner: everything that a command finds when it starts.
import type { DesiredTask, NodeDevices } from '#domain';
import { launchArguments } from './launchers.ts';
import { taskEnvironment } from './task-environment.ts';
import type { TaskFolder } from './task-folder.ts';
import type { TaskServices } from './task-services.ts';

/** All members of an attempt that this agent runs are on this machine. */
const MASTER_ADDRESS = '127.0.0.1';
const UNHURRIED = new AbortController().signal;

/** Lays the mounts in and writes the order; from then on a runner may take it. */
export async function writeOrder(
  task: DesiredTask,
  devices: readonly NodeDevices[],
  folder: TaskFolder,
  services: Pick<
    TaskServices,
    'environment' | 'contact' | 'contactFile' | 'cgroups' | 'uptime' | 'versionPath' | 'shared'
  >,
): Promise<void> {
  const { environment, contact, contactFile, cgroups, uptime, versionPath, shared } = services;
  for (const { name, versionDigest } of task.mounts) await folder.mount(name, versionPath(versionDigest));
  const { attempt, files } = folder;
  const masterPort = await shared.run(attempt.rendezvous, UNHURRIED, () => folder.rendezvousPort());
  const place = {
    folder: folder.path,
    checkpointFolder: attempt.checkpoint,
    outputFolder: attempt.output,
    resumeFolder: task.resumeFrom === null ? null : attempt.resume,
    mountsFolder: folder.mounts,
    requestFile: files.request,
    doneFile: files.done,
    progressFile: files.progress,
    masterAddress: MASTER_ADDRESS,
    masterPort,
    devices,
  };
  const member = {
    rank: task.rank,
    worldSize: task.worldSize,
    devices: task.claim.count,
    masterAddress: MASTER_ADDRESS,
    masterPort,
    attemptId: task.attemptId,
    logFolder: folder.work,
  };
  await folder.writeOrder({
    command: launchArguments(task.launcher, task.command, member),
    environment: taskEnvironment(task, place, environment),
    workFolder: folder.work,
    checkpoint: task.checkpoint,
    graceSeconds: task.graceSeconds,
    stopAfterSilentSeconds: task.stopAfterSilentSeconds,
    contactAtSeconds: uptime() - contact.silentSeconds,
    contactFile,
    cgroupFolder: await cgroups.create(task.taskId, task.claim),
  });
}
