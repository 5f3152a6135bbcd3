import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type SilenceRules, type SilenceState, type SilenceStep, silenceStep } from './silence.ts';

const rules = (rest: Partial<SilenceRules> = {}): SilenceRules => ({
  stopAfterSilentSeconds: 300,
  graceSeconds: 60,
  canSave: true,
  ...rest,
});
const silent = (silentSeconds: number, rest: Partial<SilenceState> = {}): SilenceState => ({
  silentSeconds,
  isAsked: false,
  isSaved: false,
  isTold: false,
  ...rest,
});

describe('what silence does to a task', () => {
  it.each<[string, SilenceRules, SilenceState, SilenceStep]>([
    ['in contact', rules(), silent(1), 'go-on'],
    ['not yet long', rules(), silent(239), 'go-on'],
    ['its grace begins before the end', rules(), silent(240), 'ask'],
    ['asked', rules(), silent(250, { isAsked: true }), 'go-on'],
    [
      'saved: no reason to compute on what will be lost',
      rules(),
      silent(250, { isAsked: true, isSaved: true }),
      'tell',
    ],
    ['told', rules(), silent(250, { isAsked: true, isSaved: true, isTold: true }), 'go-on'],
    ['not saved: told shortly before the end', rules(), silent(295, { isAsked: true }), 'tell'],
    ['X01 the end', rules(), silent(300, { isAsked: true, isTold: true }), 'kill'],
    ['it cannot save: only the end', rules({ canSave: false }), silent(294), 'go-on'],
    ['it cannot save: told shortly before', rules({ canSave: false }), silent(295), 'tell'],
    ['a long grace is at most half of it', rules({ graceSeconds: 86_400 }), silent(149), 'go-on'],
    ['and begins then', rules({ graceSeconds: 86_400 }), silent(150), 'ask'],
    ['a second of silence is allowed', rules({ stopAfterSilentSeconds: 1 }), silent(0.75), 'tell'],
    ['never noted in this boot', rules(), silent(Number.POSITIVE_INFINITY), 'kill'],
  ])('%s', (_case, given, state, want) => {
    expect(silenceStep(given, state)).toBe(want);
  });

  it('any rules: from the bound on it is killed, and before half of it left alone', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100_000 }),
        fc.integer({ min: 1, max: 100_000 }),
        fc.boolean(),
        fc.double({ min: 0, max: 2, noNaN: true }),
        (stopAfterSilentSeconds, graceSeconds, canSave, share) => {
          const step = silenceStep(
            { stopAfterSilentSeconds, graceSeconds, canSave },
            silent(share * stopAfterSilentSeconds),
          );
          if (share >= 1) expect(step).toBe('kill');
          if (share < 0.5) expect(step).toBe('go-on');
        },
      ),
    );
  });
});
