import { describe, expect, it } from '@jest/globals';
import type { AnyObject } from '../../../test/kubernetes-api.fixture.ts';
import { schemaProblems } from '../../../test/kubernetes-schemas.fixture.ts';
import { type GangFlavor, gangObject, rankOf, rendezvousOf } from './task-objects.ts';
import { configurationOf, orderOf } from './task-orders.builders.ts';

const made = (flavor: GangFlavor, order: object = {}, configuration: object = {}): AnyObject =>
  gangObject(orderOf(order), flavor, configurationOf(configuration));
const podOf = (object: AnyObject): AnyObject => (object.spec.template ?? object.spec.tasks[0].template).spec;
const environmentOf = (object: AnyObject): Record<string, AnyObject> =>
  Object.fromEntries(
    podOf(object).containers[0].env.map((each: AnyObject) => [each.name, each.value ?? each.valueFrom]),
  );

describe('an attempt in Kubernetes', () => {
  const flavors: GangFlavor[] = ['plain', 'kueue', 'volcano'];
  it.each(
    flavors.flatMap((flavor) => [
      { flavor, name: 'the plain one', order: {}, configuration: {} },
      {
        flavor,
        name: 'everything set',
        order: {
          worldSize: 8,
          launcher: 'torchrun',
          mounts: [{ name: 'base', versionDigest: 'd'.repeat(64) }],
          checkpoint: { mode: 'signal', signal: 'SIGUSR1', intervalSeconds: null },
          claim: { deviceType: 'nvidia.com/gpu', count: 8, schedulingPolicy: { topologyScope: 'rack' } },
        },
        configuration: {
          queue: 'research',
          priorityClassName: 'batch',
          memoryBytes: 1e9,
          imagePullSecrets: ['mirror'],
        },
      },
    ]),
  )('R21: what is sent is what the published schemas take: $flavor, $name', ({ flavor, order, configuration }) => {
    const object = made(flavor, order, configuration);
    const owner = { name: object.metadata.name, uid: 'u' };
    expect(schemaProblems(object)).toEqual([]);
    expect(schemaProblems(rendezvousOf(orderOf(order), owner, configurationOf()) as never)).toEqual([]);
  });

  it('G01: an indexed Job has a pod a member, and none is tried again', () => {
    expect(made('plain', { worldSize: 3 }).spec).toMatchObject({
      completionMode: 'Indexed',
      completions: 3,
      parallelism: 3,
      backoffLimit: 0,
    });
    expect(podOf(made('plain')).restartPolicy).toBe('Never');
  });

  it('G01: Volcano starts all members or none; Kueue holds all of it back', () => {
    expect(made('volcano', { worldSize: 3 }, { queue: 'research' }).spec).toMatchObject({
      minAvailable: 3,
      maxRetry: 0,
      queue: 'research',
      policies: [{ events: ['PodFailed', 'PodEvicted'], action: 'AbortJob' }],
      tasks: [{ replicas: 3 }],
    });
    const kueue = made('kueue', {}, { queue: 'research' });
    expect([kueue.spec.suspend, kueue.metadata.labels['kueue.x-k8s.io/queue-name']]).toEqual([true, 'research']);
  });

  it.each<{ flavor: GangFlavor; wantField: string; wantMaster: string }>([
    {
      flavor: 'plain',
      wantField: "metadata.annotations['batch.kubernetes.io/job-completion-index']",
      wantMaster: 'atoll-ID-0.atoll-ID.jobs.svc',
    },
    {
      flavor: 'volcano',
      wantField: "metadata.annotations['volcano.sh/task-index']",
      wantMaster: 'atoll-ID-member-0.atoll-ID.jobs.svc',
    },
  ])('members know who they are and where they meet: $flavor', ({ flavor, wantField, wantMaster }) => {
    const order = orderOf({ worldSize: 2 });
    const environment = environmentOf(made(flavor, { worldSize: 2 }));
    expect(environment).toMatchObject({
      ATOLL_RANK: { fieldRef: { fieldPath: wantField } },
      RANK: '$(ATOLL_RANK)',
      WORLD_SIZE: '2',
      LOCAL_RANK: '0',
      MASTER_ADDR: wantMaster.replaceAll('ID', order.task.attemptId),
      MASTER_PORT: '29500',
      ATOLL_CHECKPOINT_DIR: '/atoll/attempt/checkpoint',
      ATOLL_CHECKPOINT_DONE: '/atoll/attempt/$(ATOLL_RANK)/control/checkpoint-done',
    });
    const [first] = podOf(made(flavor)).containers[0].env;
    expect(first.name).toBe('ATOLL_RANK');
  });

  it('what a container sees of devices is its device plugin’s to say', () => {
    const names = Object.keys(environmentOf(made('plain')));
    expect(names.filter((name) => name.endsWith('VISIBLE_DEVICES'))).toEqual([]);
  });

  it('launchers get the rank as it will be', () => {
    const [container] = podOf(made('plain', { launcher: 'torchrun', command: ['train.py'] })).containers;
    expect(container.command).toContain('--node-rank=$(ATOLL_RANK)');
  });

  it('a job’s own $(…) is filled in by nobody', () => {
    const object = made('plain', { command: ['echo', '$(ATOLL_RANK)'], environment: { HOME_OF: '$(HOME)' } });
    expect(podOf(object).containers[0].command).toEqual(['echo', '$$(ATOLL_RANK)']);
    expect(environmentOf(object).HOME_OF).toBe('$$(HOME)');
  });

  it('a member sees its attempt and its mounts, and nothing beside them', () => {
    const mounts = [{ name: 'base', versionDigest: 'd'.repeat(64) }];
    const order = orderOf({ mounts });
    expect(podOf(made('plain', { mounts })).containers[0].volumeMounts).toEqual([
      { name: 'state', mountPath: '/atoll/attempt', subPath: `jobs/${order.task.attemptId}` },
      { name: 'state', mountPath: '/atoll/mounts/base', subPath: `models/${'d'.repeat(64)}`, readOnly: true },
      { name: 'work', mountPath: '/atoll/work' },
      { name: 'shm', mountPath: '/dev/shm' },
    ]);
  });

  it('its grace is the grace of its pods; a signal that saves comes before SIGTERM', () => {
    const pod = (signal: string, mode = 'signal') =>
      podOf(made('plain', { graceSeconds: 90, checkpoint: { mode, signal, intervalSeconds: null } }));
    expect(pod('SIGUSR1').terminationGracePeriodSeconds).toBe(90);
    expect(pod('SIGUSR1').containers[0].lifecycle.preStop.exec.command[2]).toMatch(/^kill -USR1 1; until /);
    expect(pod('SIGTERM').containers[0].lifecycle).toBeUndefined();
    expect(pod('SIGUSR1', 'file').containers[0].lifecycle).toBeUndefined();
  });

  it.each([
    { scope: 'rack', worldSize: 4, wantKey: 'topology.kubernetes.io/rack' },
    { scope: 'zone', worldSize: 4, wantKey: 'topology.kubernetes.io/zone' },
    { scope: 'node', worldSize: 4, wantKey: undefined },
    { scope: 'rack', worldSize: 1, wantKey: undefined },
  ])('T02: $worldSize members in one $scope', ({ scope, worldSize, wantKey }) => {
    const claim = { deviceType: 'nvidia.com/gpu', count: 8, schedulingPolicy: { topologyScope: scope } };
    const affinity = podOf(made('plain', { claim, worldSize })).affinity;
    expect(affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey).toBe(wantKey);
  });

  it('T01: what the centre bound is where its pods may be', () => {
    const order = {
      ...orderOf(),
      devices: [
        { node: 'b', deviceIds: ['gpu-0'] },
        { node: 'a', deviceIds: ['gpu-0'] },
      ],
    };
    const pod = podOf(gangObject(order, 'plain', configurationOf()));
    expect(
      pod.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions,
    ).toEqual([{ key: 'kubernetes.io/hostname', operator: 'In', values: ['a', 'b'] }]);
  });

  it('what is not on the volume is refused', () => {
    const order = { ...orderOf(), attemptFolder: '/elsewhere/jobs' };
    expect(() => gangObject(order, 'plain', configurationOf())).toThrow(
      '/elsewhere/jobs is not on the volume that tasks see (/var/lib/atoll).',
    );
  });

  it.each([
    [{ 'batch.kubernetes.io/job-completion-index': '3' }, 3],
    [{ 'volcano.sh/task-index': '0' }, 0],
    [{ 'batch.kubernetes.io/job-completion-index': 'x' }, null],
    [{}, null],
  ])('rank of %j', (annotations, want) => {
    expect(rankOf({ metadata: { annotations } })).toBe(want);
  });
});
