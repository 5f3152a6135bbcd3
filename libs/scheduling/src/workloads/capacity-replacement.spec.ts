import { describe, expect, it } from '@jest/globals';
import { capacityOf, type Held } from './capacity.builders.ts';
import { binding, claim, gang, gpuCluster, on, request, within } from './workloads.builders.ts';

describe('T08 a worker whose node failed', () => {
  /** Three workers of 4 ran in rack r1 on n1 to n3; n2 is gone. */
  const cluster = gpuCluster('c1', 6, 4, {
    nodesPerRack: 4,
    eachNode: (node, index) => (index === 1 ? { ...node, devices: [] } : node),
  });
  const stay = [binding(0, 'c1', [on('c1-n1', 4)]), binding(2, 'c1', [on('c1-n3', 4)])];
  const place = (required: boolean, held: Held = []) => {
    const capacity = capacityOf([cluster], held);
    capacity.take('gang', claim(4), stay);
    const asked = request({ devices: 4, gang: gang(3, within('rack', required)) });
    return capacity.findReplacement(asked, stay, 1);
  };

  it('is replaced in the same rack, with its rank', () => {
    expect(place(true)).toEqual(binding(1, 'c1', [on('c1-n4', 4)]));
  });

  it('is not replaced outside a rack that is required', () => {
    expect(place(true, [['c1', on('c1-n4', 1)]])).toBeNull();
  });

  it('is replaced elsewhere when the rack is only preferred', () => {
    expect(place(false, [['c1', on('c1-n4', 1)]])).toEqual(binding(1, 'c1', [on('c1-n5', 4)]));
  });

  it('beside the others where the cluster binds by itself', () => {
    const capacity = capacityOf([gpuCluster('e1', 1, 4, { kind: 'edge' })]);
    const others = [binding(0, 'e1')];
    capacity.take('gang', claim(2), others);
    expect(capacity.findReplacement(request({ devices: 2, gang: gang(2) }), others, 1)).toEqual(binding(1, 'e1'));
  });

  it.each([true, false])('in another cluster only where the gang may span them: %s', (spansClusters) => {
    const capacity = capacityOf([gpuCluster('c1', 1, 2), gpuCluster('c2', 1, 2)]);
    const others = [binding(0, 'c1', [on('c1-n1', 2)])];
    capacity.take('gang', claim(2), others);
    const found = capacity.findReplacement(request({ devices: 2, gang: gang(2, { spansClusters }) }), others, 1);
    expect(found?.clusterId).toBe(spansClusters ? 'c2' : undefined);
  });

  it('not in a cluster that takes nothing new', () => {
    const capacity = capacityOf([gpuCluster('c1', 1, 4, { closed: 'draining' })]);
    expect(capacity.findReplacement(request({ gang: gang(2) }), [binding(0, 'c1')], 1)).toBeNull();
  });
});
