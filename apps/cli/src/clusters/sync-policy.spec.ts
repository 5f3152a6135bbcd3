import { describe, expect, it } from '@jest/globals';
import { formatRate, parseRate, parseWindow, syncChangeOf } from './sync-policy.ts';

describe('--rate', () => {
  it.each<[string, number | 'unlimited']>([
    ['unlimited', 'unlimited'],
    ['Unlimited', 'unlimited'],
    ['40Mbit/s', 5e6],
    ['40mbit/s', 5e6],
    ['40 Mbit/s', 5e6],
    ['40Mbps', 5e6],
    ['1Gbit/sec', 125e6],
    ['100kbit/s', 12_500],
    ['8000bit/s', 1_000],
    ['8000bits/s', 1_000],
    ['5MB/s', 5e6],
    ['5MBps', 5e6],
    ['2.5MB/s', 2.5e6],
    ['512KiB/s', 524_288],
    ['1GiB/s', 2 ** 30],
    ['1000B/s', 1_000],
  ])('%s', (text, want) => expect(parseRate(text)).toBe(want));

  it.each([
    ['', 'a rate such as 40Mbit/s'],
    ['fast', 'a rate such as 40Mbit/s'],
    ['-5MB/s', 'a rate such as 40Mbit/s'],
    ['5MB/h', 'a rate such as 40Mbit/s'],
    ['5TB/s', 'a rate such as 40Mbit/s'],
    ['1e6B/s', 'a rate such as 40Mbit/s'],
    ['40', 'Write 40bit/s or 40B/s'],
    ['40M', 'Write 40Mbit/s or 40MB/s'],
    ['40Mb/s', 'Write 40Mbit/s or 40MB/s'],
    ['40MB', 'per second: 40MB/s'],
    ['40Mbit', 'per second: 40Mbit/s'],
    ['0Mbit/s', 'from 1kB/s'],
    ['999B/s', 'from 1kB/s'],
    ['1001GB/s', 'from 1kB/s'],
  ])('"%s" is refused and says what would be right', (text, want) => expect(() => parseRate(text)).toThrow(want));

  it('is said back in both units', () => expect(formatRate(5e6)).toBe('5.00 MB/s (40.0 Mbit/s)'));
});

describe('--window', () => {
  it.each([
    ['02:00-05:00', '02:00', '05:00'],
    ['2:00-5:30', '02:00', '05:30'],
    ['22:00-06:00', '22:00', '06:00'],
    ['22:00–6:00', '22:00', '06:00'],
    ['18:00 - 24:00', '18:00', '00:00'],
  ])('%s', (text, from, to) => expect(parseWindow(text)).toEqual({ from, to }));

  it.each(['', '02:00', '2-5', '25:00-26:00', '02:60-03:00', '02:00-05:00-07:00', '24:00-02:00', '02:00-05:00Z'])(
    '"%s" is refused',
    (text) => expect(() => parseWindow(text)).toThrow('such as 02:00-05:00'),
  );
});

describe('what the options change', () => {
  it.each<[string, Parameters<typeof syncChangeOf>[0], object | null]>([
    ['none', {}, null],
    ['no windows', { window: false }, { windows: [] }],
    ['no limit', { rate: 'unlimited' }, { bytesPerSecondMax: null }],
    [
      'all',
      { mode: 'snapshot', cron: '0 2 * * *', window: [{ from: '02:00', to: '05:00' }], timeZone: 'UTC', rate: 5e6 },
      {
        mode: 'snapshot',
        cron: '0 2 * * *',
        windows: [{ from: '02:00', to: '05:00' }],
        timeZone: 'UTC',
        bytesPerSecondMax: 5e6,
      },
    ],
  ])('%s', (_name, options, want) => expect(syncChangeOf(options)).toEqual(want));
});
