/**
 * For a claim that no cluster could take were it empty: the largest that could, of those clusters; or beyond the selector;
 * or, where the fleet has no such device, of other types.
 */
import { type ClusterSelector, DEVICE_TYPES, memoryWords } from '#domain';
import type { CapacityAccount, PlaceRequest } from './ports.ts';

type Largest = NonNullable<ReturnType<CapacityAccount['largest']>>;

/** More devices than any domain has: so the answer is as many as one has. */
const ALL = 2 ** 23;
const ALONE = { size: 1, minimum: 1, topology: null, spansClusters: false } as const;

/** Advice in one sentence; none in a fleet without devices. */
export function whatCouldFit(account: Pick<CapacityAccount, 'largest'>, request: PlaceRequest): string[] {
  const here = account.largest(request);
  if (here !== null) return [`ask for less: the largest that could ever fit is ${describe(request, here)}`];
  const anywhere = account.largest({ ...request, selector: {} });
  if (anywhere !== null) return [`widen the selector: ${beyondSelector(request, anywhere)}`];
  const others = ofOtherTypes(account, request, request.selector);
  if (others !== '') return [`ask for another device type: the largest that could ever fit is ${others}`];
  const all = ofOtherTypes(account, request, {});
  return all === ''
    ? []
    : [`ask for another device type, and widen the selector: the largest that could ever fit is ${all}`];
}

function beyondSelector(request: PlaceRequest, largest: Largest): string {
  const { claim, gang } = request;
  const { members, devicesPerMember, memoryBytes, clusterName } = largest;
  const fits = members >= gang.minimum && devicesPerMember === claim.count && memoryBytes === null;
  return fits
    ? `it could run in ${clusterName}`
    : `beyond it the largest that could ever fit is ${describe(request, largest)}`;
}

/** Such as `1 member of nvidia.com/gpu ×8 of 74.5 GiB, in c1`; no more members than are asked for. */
function describe(
  { claim, gang }: PlaceRequest,
  { devicesPerMember, memoryBytes, clusterName, ...most }: Largest,
): string {
  const { deviceType, memoryBytesPerDevice: asked = 0 } = claim;
  const members = Math.min(most.members, gang.size);
  const memory = memoryBytes === null ? memoryWords(asked, 'up') : memoryWords(memoryBytes, 'down');
  const each = `${deviceType} ×${devicesPerMember}${asked === 0 ? '' : ` of ${memory}`}`;
  return `${members} ${members === 1 ? 'member' : 'members'} of ${each}, in ${clusterName}`;
}

/** Such as `nvidia.com/gpu ×8 in c1, cpu ×64 in c2`: the most of each within the claim's scope. */
function ofOtherTypes(
  account: Pick<CapacityAccount, 'largest'>,
  request: PlaceRequest,
  selector: ClusterSelector,
): string {
  const { schedulingPolicy } = request.claim;
  const found = DEVICE_TYPES.filter((type) => type !== request.claim.deviceType).flatMap((deviceType) => {
    const claim = { deviceType, count: ALL, schedulingPolicy };
    const largest = account.largest({ ...request, claim, gang: ALONE, selector });
    return largest === null ? [] : `${deviceType} ×${largest.devicesPerMember} in ${largest.clusterName}`;
  });
  return found.join(', ');
}
