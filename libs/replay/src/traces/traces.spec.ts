import { describe, expect, it } from '@jest/globals';
import { TraceError } from '../errors.ts';
import { parseJobTrace } from './job-trace.ts';
import { parsePromptTrace } from './prompt-trace.ts';
import { traceKindOf } from './recognise.ts';
import { parseRequestTrace } from './request-trace.ts';

const JOBS = 'arrival_s,vc,job_type,num_gpu,duration_s_v100';
const REQUESTS = 'TIMESTAMP,ContextTokens,GeneratedTokens';

describe('traces', () => {
  it.each([
    ['jobs', `${JOBS}\n0,a,b,1,1`, 'jobs'],
    ['requests', `${REQUESTS}\n`, 'requests'],
    ['prompts', '{"timestamp":0,"input_length":1,"output_length":1,"hash_ids":[]}', 'prompts'],
    ['a header alone, with a byte-order mark and a carriage return', `\uFEFF${REQUESTS}\r\n`, 'requests'],
  ])('are told by their first line: %s', (_name, text, want) => {
    expect(traceKindOf(text)).toBe(want);
  });

  it.each([
    ['another header', 'a,b,c\n1,2,3', '"a,b,c"'],
    ['nothing at all', '', '""'],
    ['an object of something else', '{"timestamp":0}', 'timestamp, input_length, output_length, hash_ids (prompts)'],
    ['a long first line', 'x'.repeat(500), `${'x'.repeat(80)}…`],
  ])('of %s are refused with the headers that are known', (_name, text, wantShown) => {
    expect(() => traceKindOf(text)).toThrow(TraceError);
    expect(() => traceKindOf(text)).toThrow(JOBS);
    expect(() => traceKindOf(text)).toThrow(wantShown);
  });

  it('of jobs are put in order of arrival, counted from the first', () => {
    const text = `${JOBS}\n70,vc2,"LM (batch size 5, large)",8,90.5\r\n\n50,vc1,plain,1,10\n`;
    expect(parseJobTrace(text)).toEqual([
      { arrivalSeconds: 0, tenant: 'vc1', devices: 1, durationSeconds: 10 },
      { arrivalSeconds: 20, tenant: 'vc2', devices: 8, durationSeconds: 90.5 },
    ]);
  });

  it('of requests count milliseconds from the first, fractions kept', () => {
    const text = `${REQUESTS}\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16T18:15:47.6815900Z,1,0`;
    const [first, second] = parseRequestTrace(text);
    expect(first).toEqual({ arrivalMs: 0, contextTokens: 374, generatedTokens: 44 });
    expect(second!.arrivalMs).toBeCloseTo(1_001, 3);
  });

  it.each([
    ['no jobs', '', 'holds no jobs'],
    ['too few fields', '0,a,b,1', 'line 2 has 4 fields where the header names 5'],
    ['half a device', '0,a,b,1.5,1', 'line 2: num_gpu must be a whole number'],
    ['no device', '0,a,b,0,1', 'line 2: num_gpu must be a number of at least 1, not "0"'],
    ['a negative time', '0,a,b,1,1\n-1,a,b,1,1', 'line 3: arrival_s must be a number of at least 0, not "-1"'],
    ['no duration', '0,a,b,1,', 'line 2: duration_s_v100 must be a number of at least 0, not ""'],
    ['an endless duration', '0,a,b,1,Infinity', 'line 2: duration_s_v100'],
  ])('of jobs with %s are refused with the line', (_name, rows, want) => {
    expect(() => parseJobTrace(`${JOBS}\n${rows}`)).toThrow(want);
  });

  it.each([
    ['no requests', '', 'holds no requests'],
    ['no time', 'yesterday,1,1', 'line 2: TIMESTAMP must be a time such as'],
    ['a month that is none', '2023-13-16 18:15:46,1,1', 'line 2: TIMESTAMP'],
    ['tokens that are none', '2023-11-16 18:15:46,x,1', 'line 2: ContextTokens must be a number'],
  ])('of requests with %s are refused with the line', (_name, rows, want) => {
    expect(() => parseRequestTrace(`${REQUESTS}\n${rows}`)).toThrow(want);
  });

  it('of prompts are put in order of arrival, counted from the first', () => {
    const [late, early] = [promptLine({ timestamp: 90, hash_ids: [0, 7] }), promptLine({ timestamp: 50 })];
    expect(parsePromptTrace(`${late}\r\n\n${early}\n`)).toEqual([
      { arrivalMs: 0, promptTokens: 600, answerTokens: 5, blocks: [1, 2] },
      { arrivalMs: 40, promptTokens: 600, answerTokens: 5, blocks: [0, 7] },
    ]);
  });

  it.each([
    ['no requests', '\n', 'holds no requests'],
    ['half a line', `${promptLine()}\n{"timestamp":`, 'line 2 is no JSON object'],
    ['a list', '[1]', 'line 1 is no JSON object'],
    ['no time', promptLine({ timestamp: 'now' }), 'line 1: timestamp must be a number of at least 0, not "now"'],
    ['a negative length', promptLine({ input_length: -1 }), 'line 1: input_length'],
    ['no answer', promptLine({ output_length: undefined }), 'line 1: output_length must be'],
    ['blocks that are none', promptLine({ hash_ids: [1, 'a'] }), 'line 1: hash_ids must be a list of whole numbers'],
  ])('of prompts with %s are refused with the line', (_name, text, want) => {
    expect(() => parsePromptTrace(text)).toThrow(want);
  });
});

function promptLine(rest: Record<string, unknown> = {}): string {
  return JSON.stringify({ timestamp: 0, input_length: 600, output_length: 5, hash_ids: [1, 2], ...rest });
}
