import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { DesiredState, DesiredTask } from './desired.ts';
import type { Node } from './devices.ts';
import { TASK_PHASES } from './jobs.ts';
import {
  type LocalTask,
  type LocalTasks,
  reconcileTasks,
  TASK_KEPT_MS,
  TASKS_KEPT_MAX,
  type TaskAction,
} from './task-reconciliation.ts';

const NOW_MS = 10_000_000;
const STOP = { cause: 'preempted', reason: 'by x', wantsCheckpoint: true } as const;
const cpu = (id: string) => ({ id, deviceType: 'cpu' as const, memoryBytes: 1 });
const NODES: Node[] = [{ name: 'n', devices: ['c0', 'c1', 'c2'].map(cpu) }];
const on = (...deviceIds: string[]) => [{ node: 'n', deviceIds }];

const task = (taskId: string, rest: Partial<DesiredTask> = {}): DesiredTask => ({
  taskId,
  attemptId: taskId,
  jobId: 'j',
  jobName: 'j',
  kind: 'command',
  attempt: 1,
  rank: 0,
  worldSize: 1,
  epoch: 1,
  claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
  devices: on('c0'),
  launcher: 'plain',
  command: ['x'],
  environment: {},
  mounts: [],
  checkpoint: { mode: 'file', signal: 'SIGUSR1', intervalSeconds: null },
  graceSeconds: 60,
  resumeFrom: null,
  outputRequired: false,
  stop: null,
  stopAfterSilentSeconds: 300,
  ...rest,
});
const here = (taskId: string, phase: LocalTask['phase'], rest: Partial<LocalTask> = {}): LocalTask => ({
  taskId,
  attemptId: taskId,
  jobId: 'j',
  attempt: 1,
  epoch: 1,
  phase,
  isPrepared: phase === 'Pending',
  devices: [],
  ...rest,
});
const desired = (tasks: DesiredTask[], rest: Partial<DesiredState> = {}): DesiredState => ({
  clusterId: 'a',
  epoch: 1,
  revision: 1,
  versions: [],
  replicas: [],
  tasks,
  ...rest,
});
const local = (tasks: LocalTask[], rest: Partial<LocalTasks> = {}): LocalTasks => ({
  tasks,
  nodes: NODES,
  heldDigests: new Set(),
  silentSeconds: 0,
  ...rest,
});
const replica = (devices?: DesiredTask['devices']) => ({
  replicaId: 'r',
  deploymentId: 'd',
  deploymentName: 'd',
  servedModel: 'm',
  versionDigest: 'v',
  claim: task('x').claim,
  epoch: 1,
  draining: false,
  ...(devices ? { devices } : {}),
});

function words(action: TaskAction): string {
  switch (action.action) {
    case 'refuse':
      return `refuse ${action.task.taskId}: ${action.reason}`;
    case 'wait':
      return `wait ${action.task.taskId} (${action.phase}): ${action.reason}`;
    case 'start':
      return `start ${action.task.taskId} on ${action.devices.flatMap(({ deviceIds }) => deviceIds).join()}`;
    case 'drop':
    case 'forget':
      return `${action.action} ${action.taskId}`;
    default:
      return `${action.action} ${action.task.taskId}`;
  }
}

describe('reconcileTasks', () => {
  it.each<[string, DesiredState, LocalTasks, string[]]>([
    ['new here: its inputs first', desired([task('a')]), local([]), ['prepare a']],
    ['inputs on their way are left alone', desired([task('a')]), local([here('a', 'Fetching')]), []],
    [
      'inputs that failed wait for their time',
      desired([task('a')]),
      local([here('a', 'Pending', { isPrepared: false, retryAtMs: NOW_MS + 1 })]),
      [],
    ],
    [
      'and are tried at their time',
      desired([task('a')]),
      local([here('a', 'Pending', { isPrepared: false, retryAtMs: NOW_MS })]),
      ['prepare a'],
    ],
    [
      'prepared: it starts on what the centre bound',
      desired([task('a', { devices: on('c2') })]),
      local([here('a', 'Pending')]),
      ['start a on c2'],
    ],
    [
      'unbound: it starts on what is free',
      desired([task('a', { devices: null })]),
      local([here('a', 'Pending')]),
      ['start a on c0'],
    ],
    ['what runs is left alone', desired([task('a')]), local([here('a', 'Running', { devices: on('c0') })]), []],
    ['it began and ended: never again', desired([task('a')]), local([here('a', 'Failed')]), []],
    ['nor one that succeeded', desired([task('a')]), local([here('a', 'Succeeded')]), []],
    [
      'a mount that is not held yet',
      desired([task('a', { mounts: [{ name: 'base', versionDigest: 'v1' }] })]),
      local([here('a', 'Pending')]),
      ['wait a (Fetching): its mount base is being fetched and verified'],
    ],
    [
      'a mount that is held',
      desired([task('a', { mounts: [{ name: 'base', versionDigest: 'v1' }] })]),
      local([here('a', 'Pending')], { heldDigests: new Set(['v1']) }),
      ['start a on c0'],
    ],
    [
      'told to stop: each turn until it has ended',
      desired([task('a', { stop: STOP })]),
      local([here('a', 'Running')]),
      ['stop a'],
    ],
    ['told to stop before it began', desired([task('a', { stop: STOP })]), local([]), ['stop a']],
    ['told to stop and ended', desired([task('a', { stop: STOP })]), local([here('a', 'Stopped')]), []],
    ['no longer named', desired([]), local([here('a', 'Running')]), ['drop a']],
    ['dropped already: it is ending', desired([]), local([here('a', 'Stopping', { droppedAtMs: 0 })]), []],
    [
      'ended and dropped: kept for an hour',
      desired([]),
      local([here('a', 'Stopped', { droppedAtMs: NOW_MS - TASK_KEPT_MS + 1 })]),
      [],
    ],
    [
      'and then forgotten',
      desired([]),
      local([here('a', 'Stopped', { droppedAtMs: NOW_MS - TASK_KEPT_MS })]),
      ['forget a'],
    ],
    [
      'or sooner, where a flood of short ones came: the first to be dropped',
      desired([]),
      local(
        Array.from({ length: TASKS_KEPT_MAX + 1 }, (_, index) =>
          here(`t${index}`, 'Succeeded', { droppedAtMs: NOW_MS - 1 - index }),
        ),
      ),
      [`forget t${TASKS_KEPT_MAX}`],
    ],
    [
      'X01 of an older epoch than one seen of this job',
      desired([task('b', { epoch: 3 })]),
      local([here('a', 'Failed', { epoch: 4, droppedAtMs: NOW_MS })]),
      ['refuse b: it is of epoch 3, and one of epoch 4 of this job was seen here'],
    ],
    [
      'X01 an older attempt than one seen of this job',
      desired([task('b', { attempt: 2, epoch: 9 })]),
      local([here('a', 'Failed', { attempt: 3, droppedAtMs: NOW_MS })]),
      ['refuse b: it is attempt 2, and attempt 3 of this job was seen here'],
    ],
    [
      'X01 of two attempts in one document the newer one',
      desired([task('a', { devices: null }), task('b', { attempt: 2, devices: null })]),
      local([]),
      ['refuse a: it is attempt 1, and attempt 2 of this job was seen here', 'prepare b'],
    ],
    [
      'of another job nothing follows',
      desired([task('b', { jobId: 'k', epoch: 3 })]),
      local([here('a', 'Failed', { epoch: 4, droppedAtMs: NOW_MS })]),
      ['prepare b'],
    ],
    [
      'one that is here is judged already',
      desired([task('a', { epoch: 1 }), task('b', { attempt: 2, devices: null })]),
      local([here('a', 'Running', { devices: on('c0') }), here('b', 'Pending', { attempt: 2 })]),
      ['start b on c1'],
    ],
    [
      'X01 out of contact too long: the centre may have run it elsewhere',
      desired([task('a', { stopAfterSilentSeconds: 300 })]),
      local([here('a', 'Pending')], { silentSeconds: 300 }),
      ['wait a (Pending): the control plane may have placed it elsewhere; waiting for its word'],
    ],
    [
      'not yet too long',
      desired([task('a')]),
      local([here('a', 'Pending')], { silentSeconds: 299 }),
      ['start a on c0'],
    ],
    [
      'a device whose process is not gone yet',
      desired([task('b', { attempt: 2 })]),
      local([here('a', 'Stopping', { devices: on('c0'), droppedAtMs: 0 }), here('b', 'Pending', { attempt: 2 })]),
      ['wait b (Pending): device n/c0 is not free yet'],
    ],
    [
      'one that was bound and had not begun when its agent died is not in its own way',
      desired([task('a')]),
      local([here('a', 'Pending', { devices: on('c0') })]),
      ['start a on c0'],
    ],
    [
      'nor in that of others',
      desired([task('b', { jobId: 'k' })]),
      local([here('a', 'Fetching', { devices: on('c0'), droppedAtMs: NOW_MS }), here('b', 'Pending', { jobId: 'k' })]),
      ['start b on c0'],
    ],
    [
      'a replica’s device is taken',
      desired([task('a', { devices: null })], { replicas: [replica(on('c0'))] }),
      local([here('a', 'Pending')]),
      ['start a on c1'],
    ],
    [
      'a replica that binds by itself counts too',
      desired([task('a', { devices: null })], { replicas: [replica()] }),
      local([here('a', 'Pending')]),
      ['start a on c1'],
    ],
    [
      'two in one turn never get the same device',
      desired([task('a', { devices: null }), task('b', { jobId: 'k', devices: null })]),
      local([here('a', 'Pending'), here('b', 'Pending')]),
      ['start a on c0', 'start b on c1'],
    ],
    [
      'G01 three of four fit: none starts, and another job may',
      desired([...gang(4), task('b', { jobId: 'k', devices: null })]),
      local([...gang(4).map(({ taskId }) => here(taskId, 'Pending', { attemptId: 'g' })), here('b', 'Pending')]),
      [
        ...[0, 1, 2, 3].map((rank) => `wait g-${rank} (Pending): waits for 1 free cpu within one node`),
        'start b on c0',
      ],
    ],
    [
      'a gang starts together',
      desired(gang(2)),
      local([here('g-0', 'Pending', { attemptId: 'g' }), here('g-1', 'Fetching', { attemptId: 'g' })]),
      ['wait g-0 (Pending): it starts together with the other members of its attempt'],
    ],
    [
      'also after an agent restarted in the middle of it',
      desired(gang(2)),
      local([
        here('g-0', 'Running', { attemptId: 'g', devices: on('c0') }),
        here('g-1', 'Pending', { attemptId: 'g' }),
      ]),
      ['start g-1 on c1'],
    ],
  ])('%s', (_case, want, has, actions) => {
    expect(reconcileTasks(want, has, NOW_MS).map(words)).toEqual(actions);
  });

  it('any state: only what never began starts, on devices of its own, and no device has two processes', () => {
    const id = fc.constantFrom('a', 'b', 'c', 'd');
    const wanted = fc.uniqueArray(
      fc.record({ taskId: id, attempt: fc.integer({ min: 1, max: 3 }), epoch: fc.integer({ min: 1, max: 3 }) }),
      { selector: ({ taskId }) => taskId },
    );
    const present = fc.uniqueArray(
      fc.record({ taskId: id, phase: fc.constantFrom(...TASK_PHASES), attempt: fc.integer({ min: 1, max: 3 }) }),
      { selector: ({ taskId }) => taskId },
    );
    fc.assert(
      fc.property(wanted, present, (tasks, locals) => {
        const runs = new Set(['Starting', 'Running', 'Checkpointing', 'Stopping']);
        const state = locals.map(({ taskId, phase, attempt }, index) =>
          here(taskId, phase, { attempt, devices: runs.has(phase) && index < 3 ? on(`c${index}`) : [] }),
        );
        const actions = reconcileTasks(
          desired(tasks.map(({ taskId, ...rest }) => task(taskId, { ...rest, devices: null }))),
          local(state),
          NOW_MS,
        );
        const starts = actions.filter((action) => action.action === 'start');
        const taken = [...state.flatMap(({ devices }) => devices), ...starts.flatMap(({ devices }) => devices)];
        const ids = taken.flatMap(({ deviceIds }) => deviceIds);
        expect(new Set(ids).size).toBe(ids.length);
        for (const { task: started } of starts) {
          expect(state.find(({ taskId }) => taskId === started.taskId)?.phase).toBe('Pending');
        }
        const touched = actions.map((action) => ('task' in action ? action.task.taskId : action.taskId));
        expect(new Set(touched).size).toBe(touched.length);
      }),
    );
  });
});

function gang(size: number): DesiredTask[] {
  return Array.from({ length: size }, (_, rank) =>
    task(`g-${rank}`, { attemptId: 'g', rank, worldSize: size, devices: null }),
  );
}
