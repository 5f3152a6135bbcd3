import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SseScanner, sseDone, sseEvent } from './sse.ts';

function run(text: string, cuts: readonly number[] = [], eventBytesMax?: number): { out: string; scanner: SseScanner } {
  const scanner = new SseScanner(eventBytesMax);
  const bytes = Buffer.from(text);
  const at = [...cuts, bytes.length].sort((left, right) => left - right);
  const out: Buffer[] = [];
  let start = 0;
  for (const end of at) {
    out.push(scanner.push(bytes.subarray(start, end)));
    start = end;
  }
  out.push(scanner.flush());
  return { out: Buffer.concat(out).toString(), scanner };
}

describe('SseScanner', () => {
  const chunk = sseEvent({ choices: [{ delta: { content: 'é\n data: [DONE]' } }] });
  const cases = [
    { name: 'a whole stream', text: chunk + sseDone, wantVerdict: 'done', wantOut: chunk + sseDone },
    {
      name: 'carriage returns',
      text: 'data: {}\r\n\r\ndata: [DONE]\r\n\r\n',
      wantVerdict: 'done',
      wantOut: 'data: {}\r\n\r\ndata: [DONE]\r\n\r\n',
    },
    {
      name: 'no space after the colon',
      text: 'data:{}\n\ndata:[DONE]\n\n',
      wantVerdict: 'done',
      wantOut: 'data:{}\n\ndata:[DONE]\n\n',
    },
    {
      name: 'comments and named events',
      text: ': hi\n\nevent: x\ndata: {}\n\n',
      wantVerdict: 'open',
      wantOut: ': hi\n\nevent: x\ndata: {}\n\n',
    },
    {
      name: 'data over two lines',
      text: 'data: {"a":\ndata: 1}\n\n',
      wantVerdict: 'open',
      wantOut: 'data: {"a":\ndata: 1}\n\n',
    },
    { name: 'R14: [DONE] inside a text', text: chunk, wantVerdict: 'open', wantOut: chunk },
    { name: 'R14: half an event at the end', text: `${chunk}data: {"choi`, wantVerdict: 'malformed', wantOut: chunk },
    { name: 'R14: broken JSON', text: `${chunk}data: {"a":}\n\n${sseDone}`, wantVerdict: 'malformed', wantOut: chunk },
    {
      name: 'R14: the upstream says error, then [DONE]',
      text: `data: {"error":{}}\n\n${sseDone}`,
      wantVerdict: 'error',
      wantOut: 'data: {"error":{}}\n\n',
    },
    {
      name: 'R14: the upstream says error in the flat shape, which is written as OpenAI writes it',
      text: `${chunk}data: {"object":"error","message":"é: out of memory","code":500}\n\n${sseDone}`,
      wantVerdict: 'error',
      wantOut: `${chunk}data: {"error":{"message":"é: out of memory","type":"server_error","param":null,"code":null}}\n\n`,
    },
    {
      name: 'R14: the upstream says error as bare JSON, which is written as an event',
      text: `${chunk}{"error":{"message":"é: runner ended","type":"api_error","param":null,"code":null}}\n`,
      wantVerdict: 'error',
      wantOut: `${chunk}data: {"error":{"message":"é: runner ended","type":"server_error","param":null,"code":null}}\n\n`,
    },
    {
      name: 'a last event without its blank line',
      text: `${chunk}data: [DONE]`,
      wantVerdict: 'done',
      wantOut: chunk + sseDone,
    },
  ];
  it.each(cases)('$name', ({ text, wantVerdict, wantOut }) => {
    const { out, scanner } = run(text);
    expect({ verdict: scanner.verdict, out }).toEqual({ verdict: wantVerdict, out: wantOut });
  });

  it('says the same however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...cases),
        fc.array(fc.nat({ max: 80 }), { maxLength: 10 }),
        ({ text, wantVerdict, wantOut }, cuts) => {
          const size = Buffer.byteLength(text);
          const { out, scanner } = run(
            text,
            cuts.filter((cut) => cut <= size),
          );
          expect({ verdict: scanner.verdict, out }).toEqual({ verdict: wantVerdict, out: wantOut });
        },
      ),
    );
  });

  it('bounds an event', () => {
    expect(run(`data: "${'x'.repeat(100)}`, [50, 80], 64).scanner.verdict).toBe('malformed');
  });

  it('keeps the last usage', () => {
    const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 };
    expect(run(sseEvent({ usage: null }) + sseEvent({ choices: [], usage }) + sseDone).scanner.usage).toEqual(usage);
  });
});
