import { describe, expect, it } from '@jest/globals';
import { StopText } from './stop-text.ts';

describe('StopText', () => {
  const cases = [
    { name: 'no stops', stops: [], pieces: ['a', 'b'], want: 'ab', wantStopped: false },
    { name: 'a stop in one piece', stops: ['END'], pieces: ['aEND', 'b'], want: 'a', wantStopped: true },
    { name: 'a stop over pieces', stops: ['END'], pieces: ['aE', 'N', 'Db'], want: 'a', wantStopped: true },
    { name: 'almost a stop', stops: ['END'], pieces: ['aE', 'N', 'x'], want: 'aENx', wantStopped: false },
    { name: 'half a stop at the end', stops: ['END'], pieces: ['aEN'], want: 'aEN', wantStopped: false },
    { name: 'the earliest of several', stops: ['cd', 'b'], pieces: ['ab', 'cd'], want: 'a', wantStopped: true },
    { name: 'a repeating stop', stops: ['aab'], pieces: ['a', 'a', 'a', 'b'], want: 'a', wantStopped: true },
  ];
  it.each(cases)('$name', ({ stops, pieces, want, wantStopped }) => {
    const stopText = new StopText(stops);
    let text = '';
    let isStopped = false;
    for (const piece of pieces) {
      const step = stopText.push(piece);
      text += step.text;
      isStopped = step.isStopped;
      if (isStopped) break;
    }
    if (!isStopped) text += stopText.flush();
    expect({ text, isStopped }).toEqual({ text: want, isStopped: wantStopped });
  });
});
