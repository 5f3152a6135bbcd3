import { describe, expect, it } from '@jest/globals';
import { createJobSchema, jobLogsQuerySchema, nameSchema, pageQuerySchema } from '#contracts';
import { RequestError } from '../errors.ts';
import { PROBLEM_ERRORS_MAX } from './problem.ts';
import { ValidationPipe } from './validation.pipe.ts';

type Metadata = Parameters<ValidationPipe['transform']>[1];

async function errorsOf(value: unknown, metadata: Metadata): Promise<Record<string, string>> {
  const refused = await new ValidationPipe().transform(value, metadata).then(
    () => null,
    (error: unknown) => error,
  );
  if (!(refused instanceof RequestError)) return refused === null ? {} : { thrown: String(refused) };
  return Object.fromEntries(refused.errors.map(({ field, message }) => [field, message]));
}

const job = (change: object) =>
  errorsOf({ name: 'a', command: ['true'], ...change }, { type: 'body', schema: createJobSchema });
const types = 'nvidia.com/gpu, huawei.com/ascend-npu, cambricon.com/mlu, cpu';

describe('what is wrong with a body', () => {
  const table: { name: string; change: object; want: Record<string, string> }[] = [
    { name: 'nothing', change: {}, want: {} },
    { name: 'a fraction', change: { graceSeconds: 1.5 }, want: { graceSeconds: 'must be a whole number, not 1.5' } },
    { name: 'text', change: { graceSeconds: 'x' }, want: { graceSeconds: 'must be a number, not "x"' } },
    {
      name: 'absurd numbers, by its own bound',
      change: { graceSeconds: 1e300 },
      want: { graceSeconds: 'must be at most 86400' },
    },
    { name: 'too little', change: { graceSeconds: 0 }, want: { graceSeconds: 'must be at least 1' } },
    {
      name: 'another word',
      change: { kind: 'game' },
      want: { kind: 'must be one of fine-tune, batch-inference, evaluation, command, not "game"' },
    },
    {
      name: 'too long',
      change: { command: ['x'.repeat(5_000)] },
      want: { 'command[0]': 'must have at most 4096 characters' },
    },
    { name: 'nothing to run', change: { command: [] }, want: { command: 'must not be empty' } },
    { name: 'a program without a name', change: { command: ['', 'a'] }, want: { 'command[0]': 'must name a program' } },
    { name: 'no list', change: { command: 'true' }, want: { command: 'must be a list, not "true"' } },
    { name: 'an unknown field', change: { surprise: 1 }, want: { surprise: 'is not a known field' } },
    { name: 'null', change: { name: null }, want: { name: 'must be text, not null' } },
    { name: 'no name', change: { name: undefined }, want: { name: 'is missing; it must be text' } },
    {
      name: 'a claim: half a device',
      change: { claim: { deviceType: 'cpu', count: 1.5 } },
      want: { 'claim.count': 'must be a whole number, not 1.5' },
    },
    {
      name: 'a claim: text',
      change: { claim: { deviceType: 'cpu', count: '1' } },
      want: { 'claim.count': 'must be a number, not "1"' },
    },
    {
      name: 'a claim: an unknown device type',
      change: { claim: { deviceType: 'tpu', count: 1 } },
      want: { 'claim.deviceType': `must be one of ${types}, not "tpu"` },
    },
    {
      name: 'a claim: no type',
      change: { claim: { count: 1 } },
      want: { 'claim.deviceType': `is missing; it must be one of ${types}` },
    },
    {
      name: 'a claim: an unknown field',
      change: { claim: { deviceType: 'cpu', count: 1, more: 1 } },
      want: { 'claim.more': 'is not a known field' },
    },
    {
      name: 'a claim: a bad scope',
      change: { claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'planet' } } },
      want: { 'claim.schedulingPolicy.topologyScope': 'must be one of link, node, rack, zone, cluster, not "planet"' },
    },
    {
      name: 'a claim of another kind',
      change: { claim: 'cpu' },
      want: { claim: expect.stringMatching(/^must be "auto", or a claim such as/) as never },
    },
    {
      name: 'half of a pair',
      change: { command: ['a', '\ud800'] },
      want: { 'command[1]': 'must be whole Unicode text: there is half of a surrogate pair in it' },
    },
    {
      name: 'half of a pair in a name',
      change: { environment: { 'A\udc00': 'x' } },
      want: {
        'environment.A\ufffd': 'has a name that must be whole Unicode text: there is half of a surrogate pair in it',
      },
    },
    { name: 'NUL', change: { environment: { A: '\0' } }, want: { 'environment.A': 'must not contain NUL' } },
    {
      name: 'what every object has',
      change: { constructor: 1 },
      want: { constructor: 'is not a known field, and nothing can be called so' },
    },
  ];
  it.each(table)('$name', async ({ change, want }) => {
    expect(await job(change)).toEqual(want);
  });

  it('is said in short of what is wrong throughout, however deep it is', async () => {
    let deep: unknown = '\ud800';
    for (let depth = 0; depth < 20_000; depth += 1) deep = [deep];
    expect(Object.keys(await job({ selector: deep }))).toHaveLength(1);
    const many = await job({
      environment: Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`A${at}`, '\0'])),
    });
    expect(Object.keys(many)).toHaveLength(PROBLEM_ERRORS_MAX);
  });

  it('is that it is not there, or is nothing', async () => {
    const metadata: Metadata = { type: 'body', schema: createJobSchema };
    expect(await errorsOf(null, metadata)).toEqual({ body: 'must be an object, not null' });
    expect(await errorsOf([], metadata)).toEqual({ body: 'must be an object, not a list' });
    expect(Object.keys(await errorsOf(undefined, metadata))).toEqual(['name']);
  });
});

describe('what is wrong with a query or a path', () => {
  it.each<[string, unknown, Metadata, Record<string, string>]>([
    ['nothing', { limit: '2' }, { type: 'query', schema: pageQuerySchema }, {}],
    ['no number', { rank: 'x' }, { type: 'query', schema: jobLogsQuerySchema }, { rank: 'must be a number' }],
    [
      'an empty value',
      { rank: '' },
      { type: 'query', schema: jobLogsQuerySchema },
      { rank: 'is empty; give it a value or leave it out' },
    ],
    [
      'a value twice',
      { limit: ['1', '2'] },
      { type: 'query', schema: pageQuerySchema },
      { limit: 'is given more than once' },
    ],
    ['too much', { limit: '201' }, { type: 'query', schema: pageQuerySchema }, { limit: 'must be at most 200' }],
    [
      'a name in the path',
      'UPPER',
      { type: 'param', data: 'name', schema: nameSchema },
      { name: 'must be a DNS label: 1 to 63 lower-case letters, digits or inner hyphens' },
    ],
  ])('%s', async (_name, value, metadata, want) => {
    expect(await errorsOf(value, metadata)).toEqual(want);
  });
});
