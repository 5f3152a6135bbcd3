import { describe, expect, it } from '@jest/globals';
import type { ExitRecord } from './runner/runner-contract.ts';
import { type EndFacts, endOf, outputEnd } from './task-end.ts';
import type { TaskEnd } from './task-folder.ts';

const exit = (exitCode: number, rest: Partial<ExitRecord> = {}): ExitRecord => ({
  exitCode,
  signal: null,
  cause: 'exit',
  reason: '',
  ranSeconds: 1,
  ...rest,
});
const facts = (rest: Partial<EndFacts>): EndFacts => ({
  exit: exit(0),
  stop: null,
  isTold: false,
  isAnswered: false,
  fault: null,
  saved: null,
  saveFault: undefined,
  canSave: true,
  lastLine: '',
  ...rest,
});
const stop = { reason: 'preempted by job x' };
const killed = exit(137, { signal: 'SIGKILL' });

describe('how a task ended', () => {
  it.each<[string, Partial<EndFacts>, TaskEnd]>([
    ['with 0', {}, { phase: 'Succeeded', reason: '', exitCode: 0 }],
    [
      'with another code',
      { exit: exit(3), lastLine: 'out of luck' },
      { phase: 'Failed', reason: 'It ended with code 3; its last words: out of luck', exitCode: 3 },
    ],
    ['silently', { exit: exit(3) }, { phase: 'Failed', reason: 'It ended with code 3.', exitCode: 3 }],
    [
      'by a signal',
      { exit: exit(139, { signal: 'SIGSEGV' }) },
      { phase: 'Failed', reason: 'It was ended by SIGSEGV.', exitCode: 139 },
    ],
    [
      'by the kernel',
      { exit: killed },
      { phase: 'Failed', reason: 'It was ended by SIGKILL (the machine may have run out of memory).', exitCode: 137 },
    ],
    [
      'before it began',
      { exit: exit(127, { cause: 'not-started', reason: 'The command x does not exist on this machine.' }) },
      { phase: 'Failed', reason: 'The command x does not exist on this machine.', exitCode: 127 },
    ],
    [
      'unseen',
      { exit: null },
      {
        phase: 'Failed',
        reason: 'Its process is gone and left no exit code: it was killed from outside, or the machine restarted.',
      },
    ],
    [
      'stopped, saved',
      { stop, isTold: true, isAnswered: true, saved: 'step 4', exit: exit(143, { signal: 'SIGTERM' }) },
      { phase: 'Stopped', reason: 'preempted by job x. Saved: step 4.', exitCode: 143 },
    ],
    [
      'stopped, saved without words',
      { stop, isTold: true, saved: '', exit: killed },
      { phase: 'Stopped', reason: 'preempted by job x. A checkpoint is saved.', exitCode: 137 },
    ],
    [
      'stopped, nothing saved',
      { stop, isTold: true, exit: killed },
      { phase: 'Stopped', reason: 'preempted by job x. It saved no checkpoint.', exitCode: 137 },
    ],
    [
      'stopped, and it never could',
      { stop, isTold: true, canSave: false, exit: killed },
      { phase: 'Stopped', reason: 'preempted by job x.', exitCode: 137 },
    ],
    [
      'stopped, and the last one was lost',
      { stop, isTold: true, saved: 'step 4', saveFault: 'its checkpoint 2 is not saved: no', exit: killed },
      {
        phase: 'Stopped',
        reason: 'preempted by job x. Saved: step 4 (its checkpoint 2 is not saved: no).',
        exitCode: 137,
      },
    ],
    [
      'stopped, saved, and ended by itself',
      { stop, isAnswered: true, saved: 'step 4' },
      { phase: 'Stopped', reason: 'preempted by job x. Saved: step 4.', exitCode: 0 },
    ],
    ['P22 finished at the moment it was stopped', { stop }, { phase: 'Succeeded', reason: '', exitCode: 0 }],
    [
      'stopped and unseen',
      { stop, isTold: true, exit: null },
      { phase: 'Stopped', reason: 'preempted by job x. It saved no checkpoint.' },
    ],
    [
      'out of contact',
      { exit: exit(143, { cause: 'silence' }), saved: 'step 4' },
      { phase: 'Stopped', reason: 'It was ended here: the control plane was out of contact too long. Saved: step 4.' },
    ],
    [
      'out of contact, and it cannot save',
      { exit: exit(143, { cause: 'silence' }), canSave: false },
      { phase: 'Stopped', reason: 'It was ended here: the control plane was out of contact too long.' },
    ],
    [
      'what it computed with was damaged',
      { fault: 'its mount base was found damaged', stop, isTold: true },
      { phase: 'Failed', reason: 'its mount base was found damaged.' },
    ],
  ])('%s', (_case, change, want) => {
    expect(endOf(facts(change))).toEqual(want);
  });
});

describe('what becomes of the output of one that succeeded', () => {
  const end: TaskEnd = { phase: 'Succeeded', reason: '', exitCode: 0 };
  const content = (files: number) => ({ sent: 'content', digest: 'd', files }) as const;
  it.each<[string, Parameters<typeof outputEnd>, TaskEnd]>([
    ['files', [end, content(2), true], { ...end, outputDigest: 'd' }],
    ['none, and none are needed', [end, content(0), false], end],
    [
      'none, though some must be',
      [end, content(0), true],
      { ...end, phase: 'Failed', reason: 'It ended without a file in ATOLL_OUTPUT_DIR, and its output is required.' },
    ],
    [
      'files that cannot be kept',
      [end, { sent: 'nothing', reason: 'no room' }, false],
      { phase: 'Failed', reason: 'Its command ended well, but its output could not be kept: no room.' },
    ],
  ])('%s', (_case, parameters, want) => {
    expect(outputEnd(...parameters)).toEqual(want);
  });
});
