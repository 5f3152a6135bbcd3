// Stands in for an engine of others in specs: OpenAI over HTTP, a port and a token that it is told, nothing of Atoll.
// `--model <name>` says how it behaves: `dies`, `never-answers` (takes connections and says nothing), `not-ready`,
// `garbage` (200 to everything, and nonsense in it), `leaks`, `ignores-sigterm`, `leaves-child` (a child of its own in a
// session of its own, which ignores SIGTERM). It has the metrics of vLLM, and writes down which adapters it is told to load.
import { spawn } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSocketServer } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { model: { type: 'string' }, port: { type: 'string' }, seen: { type: 'string' }, rest: { type: 'string' } },
});
const { model, port, seen } = values;
if (seen !== undefined) writeFileSync(seen, JSON.stringify({ arguments: values, environment: process.env }));
if (model === 'dies') {
  console.error('CUDA out of memory, said the engine');
  process.exit(7);
}
if (model === 'ignores-sigterm') process.on('SIGTERM', () => undefined);
if (model === 'leaves-child') {
  const command = "process.on('SIGTERM', () => undefined); console.log('child'); setInterval(() => undefined, 1000)";
  spawn(process.execPath, ['-e', command], { detached: true, stdio: 'ignore' }).unref();
}
const METRICS = `vllm:num_requests_running{model_name="${model}"} 2.0
vllm:num_requests_waiting{model_name="${model}"} 5.0
vllm:kv_cache_usage_perc{model_name="${model}"} 0.25
`;
const held = [];
if (model === 'leaks') setInterval(() => held.push(Buffer.alloc(8 * 1_048_576, 1)), 20);

const json = (response, status, value) => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
};
const answer = async (request, response) => {
  if (request.url === '/health') return response.writeHead(model === 'not-ready' ? 503 : 200).end();
  if (model === 'garbage') return response.writeHead(200).end('<html>nonsense</html>');
  const key = process.env.ENGINE_KEY;
  if (key && request.headers.authorization !== `Bearer ${key}`)
    return json(response, 401, { error: { message: 'key' } });
  if (request.url === '/metrics') return response.writeHead(200).end(METRICS);
  const text = (await request.toArray()).join('');
  if (request.url.endsWith('_lora_adapter')) {
    appendFileSync(join(process.env.HOME, 'calls'), `${request.url} ${text}\n`);
    return response.writeHead(200).end('Success');
  }
  const body = JSON.parse(text);
  if (body.model !== model) return json(response, 404, { error: { message: `no model ${body.model}` } });
  json(response, 200, {
    object: 'text_completion',
    model,
    choices: [{ index: 0, text: 'Hi', finish_reason: 'length' }],
  });
};
const server = model === 'never-answers' ? createSocketServer(() => undefined) : createServer(answer);
server.listen(Number(port), '127.0.0.1', () => console.log('listening'));
