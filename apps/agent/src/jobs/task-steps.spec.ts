import { describe, expect, it } from '@jest/globals';
import { nextTaskStep, type StopFacts, type TaskFacts, type TaskStep } from './task-steps.ts';

const facts = (rest: Partial<TaskFacts> = {}): TaskFacts => ({
  isOver: false,
  overSeconds: 0,
  sendIdleSeconds: 0,
  hasDone: false,
  isSaving: false,
  canSave: true,
  intervalSeconds: null,
  quietSeconds: 0,
  stop: null,
  graceSeconds: 60,
  isInContact: true,
  ...rest,
});
const stop = (rest: Partial<StopFacts> = {}): { stop: StopFacts } => ({
  stop: { wantsCheckpoint: true, seconds: 1, isAsked: false, isAnswered: false, isTold: false, ...rest },
});

describe('the next step of a task', () => {
  it.each<[string, Partial<TaskFacts>, TaskStep]>([
    ['it runs', {}, 'wait'],
    ['a checkpoint is whole', { hasDone: true }, 'save'],
    ['another one while the first is sent', { hasDone: true, isSaving: true }, 'wait'],
    ['its interval is over', { intervalSeconds: 10, quietSeconds: 10 }, 'ask'],
    ['not yet', { intervalSeconds: 10, quietSeconds: 9 }, 'wait'],
    ['over, and the last one is on its way', { intervalSeconds: 10, quietSeconds: 10, isSaving: true }, 'wait'],
    ['over, and it cannot save', { intervalSeconds: 10, quietSeconds: 10, canSave: false }, 'wait'],
    ['stopped: it is asked', stop(), 'ask'],
    ['stopped and asked', stop({ isAsked: true }), 'wait'],
    ['stopped and answering', { ...stop({ isAsked: true }), hasDone: true }, 'save'],
    [
      'stopped and answering while an older one is sent',
      { ...stop({ isAsked: true }), hasDone: true, isSaving: true },
      'save',
    ],
    [
      'stopped and answered: it is told to end, though it is being sent',
      { ...stop({ isAnswered: true }), isSaving: true },
      'tell',
    ],
    ['stopped and saving again and again: told all the same', { ...stop({ isAnswered: true }), hasDone: true }, 'tell'],
    ['told, and it saves once more', { ...stop({ isAnswered: true, isTold: true }), hasDone: true }, 'save'],
    ['P20 saving does not put the end off', { ...stop({ isTold: true, seconds: 60 }), hasDone: true }, 'kill'],
    ['stopped and told', stop({ isAnswered: true, isTold: true }), 'wait'],
    ['stopped, and nobody wants a checkpoint', stop({ wantsCheckpoint: false }), 'tell'],
    ['stopped, and it cannot save', { ...stop(), canSave: false }, 'tell'],
    ['shortly before the end of its grace', stop({ isAsked: true, seconds: 55 }), 'tell'],
    ['P20 at the end of its grace', stop({ isAsked: true, seconds: 60 }), 'kill'],
    ['P20 and after it, however often', stop({ isTold: true, seconds: 90 }), 'kill'],
    ['a grace of a second', { ...stop({ isAsked: true, seconds: 0.8 }), graceSeconds: 1 }, 'tell'],
    ['it has ended', { isOver: true }, 'conclude'],
    ['it has ended and left a checkpoint', { isOver: true, hasDone: true }, 'save'],
    ['it has ended and something is sent', { isOver: true, isSaving: true, overSeconds: 9_999 }, 'wait'],
    ['it has ended and nothing moves for an hour', { isOver: true, isSaving: true, sendIdleSeconds: 3_600 }, 'give-up'],
    ['but nobody can be reached', { isOver: true, isSaving: true, sendIdleSeconds: 3_600, isInContact: false }, 'wait'],
    ['it was stopped and something is sent', { ...stop(), isOver: true, isSaving: true, overSeconds: 59 }, 'wait'],
    ['others have waited long enough', { ...stop(), isOver: true, isSaving: true, overSeconds: 60 }, 'give-up'],
    [
      'they wait as long as its grace',
      { ...stop(), isOver: true, isSaving: true, overSeconds: 60, graceSeconds: 90 },
      'wait',
    ],
  ])('%s', (_case, change, want) => {
    expect(nextTaskStep(facts(change))).toBe(want);
  });
});
