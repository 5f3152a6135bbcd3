/**
 * Deferrable work (batch inference, training that saves) fills the head-room that serving keeps for its peaks: with 30 %
 * of it the cost of serving falls by 53 … 59 % (SCHEDULING, finding 5). It yields first when serving needs the room (E05):
 * before any other deployment is touched, and before serving waits.
 */

export interface DeferrableWork {
  readonly id: string;
  /** Devices of the type in question, at least 1. */
  readonly devices: number;
  /** Device-seconds that would be lost were it stopped now. */
  readonly lostDeviceSeconds: number;
}

export interface RoomMade {
  /** Devices taken from what is free. */
  readonly fromFree: number;
  /** What has to stop, in the order given up. */
  readonly yields: readonly string[];
  /** Devices that are still missing when all of it has stopped. */
  readonly missing: number;
}

/**
 * Where `devices` devices come from: free ones first, then deferrable work, the least loss per device first; then whatever
 * turned out not to be needed is given back, the greatest loss first, so that none of what yields could be spared.
 */
export function makeRoom(devices: number, free: number, deferrable: readonly DeferrableWork[]): RoomMade {
  const fromFree = Math.min(devices, free);
  const needed = devices - fromFree;
  const yields: DeferrableWork[] = [];
  let gained = 0;
  for (const work of deferrable.toSorted(byLossPerDevice)) {
    if (gained >= needed) break;
    yields.push(work);
    gained += work.devices;
  }
  for (const work of yields.toSorted((left, right) => right.lostDeviceSeconds - left.lostDeviceSeconds)) {
    if (gained - work.devices < needed) continue;
    yields.splice(yields.indexOf(work), 1);
    gained -= work.devices;
  }
  return { fromFree, yields: yields.map(({ id }) => id), missing: Math.max(0, needed - gained) };
}

function byLossPerDevice(left: DeferrableWork, right: DeferrableWork): number {
  return (
    left.lostDeviceSeconds / left.devices - right.lostDeviceSeconds / right.devices ||
    left.devices - right.devices ||
    (left.id < right.id ? -1 : 1)
  );
}
