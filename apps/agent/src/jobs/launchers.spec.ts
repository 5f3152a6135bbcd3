import { describe, expect, it } from '@jest/globals';
import type { Launcher } from '#domain';
import { launchArguments, type Member } from './launchers.ts';

const member: Member = {
  rank: 1,
  worldSize: 4,
  devices: 8,
  masterAddress: '127.0.0.1',
  masterPort: 29_500,
  attemptId: 'a1',
  logFolder: '/state/log',
};
const TORCH = [
  'torchrun',
  '--nnodes=4',
  '--nproc-per-node=8',
  '--node-rank=1',
  '--rdzv-backend=c10d',
  '--rdzv-id=a1',
  '--rdzv-endpoint=127.0.0.1:29500',
  '--max-restarts=0',
];
const MS = [
  'msrun',
  '--worker_num=32',
  '--local_worker_num=8',
  '--node_rank=1',
  '--master_addr=127.0.0.1',
  '--master_port=29500',
  '--log_dir=/state/log',
  '--join=True',
];

describe('how members of a gang are started', () => {
  it.each<[string, Launcher, string[], string[]]>([
    ['as it is', 'plain', ['sh', '-c', 'x'], ['sh', '-c', 'x']],
    ['a script', 'torchrun', ['train.py', '--lr', '1'], [...TORCH, 'train.py', '--lr', '1']],
    ['python and a script', 'torchrun', ['python3', 'train.py'], [...TORCH, 'train.py']],
    ['a module', 'torchrun', ['/usr/bin/python3.11', '-m', 'train'], [...TORCH, '-m', 'train']],
    ['a program of another kind', 'torchrun', ['./train', '-x'], [...TORCH, '--no-python', './train', '-x']],
    ['a script', 'msrun', ['train.py', '--lr', '1'], [...MS, 'train.py', '--lr', '1']],
    ['python and a script', 'msrun', ['python', 'train.py'], [...MS, 'train.py']],
  ])('%s by %s', (_case, launcher, command, want) => {
    expect(launchArguments(launcher, command, member)).toEqual(want);
  });
});
