// Stands in for the engine in specs: the same contract (folder, files, routes, signals), no model.
// The served model's name says how it behaves: `dies`, `never-ready`, `ignores-sigterm`, `slow` (a token each 100 ms),
// `cannot-generate` (500 to every completion).
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const folder = process.env.ATOLL_INSTANCE_DIR;
const at = (name) => join(folder, name);
if (!existsSync(at('spec.json'))) process.exit(3);
const spec = JSON.parse(readFileSync(at('spec.json'), 'utf8'));
const token = readFileSync(at('token'), 'utf8').trim();
const write = (name, value) => {
  writeFileSync(at(`${name}.tmp`), JSON.stringify(value));
  renameSync(at(`${name}.tmp`), at(name));
};
const { instanceId, versionDigest, servedModel } = spec;
write('pid.json', { pid: process.pid, instanceId, startedAt: new Date().toISOString() });
if (servedModel === 'dies') {
  console.error('out of memory, said the engine');
  process.exit(7);
}
process.on('SIGTERM', () => {
  if (servedModel !== 'ignores-sigterm') process.exit(0);
});
setInterval(() => existsSync(at('spec.json')) || servedModel === 'ignores-sigterm' || process.exit(0), 200);

const tokensOf = (body) => (body.stream === true ? (body.max_tokens ?? 3) : 0);
const server = createServer(async (request, response) => {
  if (request.headers.authorization !== `Bearer ${token}`) return response.writeHead(401).end();
  if (request.url === '/instance') return response.end(JSON.stringify({ instanceId, versionDigest, pid: process.pid }));
  const body = JSON.parse((await request.toArray()).join(''));
  if (body.user === 'crash') process.exit(9);
  const content = readFileSync(spec.modelPath, 'utf8').slice(0, 40);
  if (request.url === '/v1/completions' && body.stream !== true) {
    const isAble = servedModel !== 'cannot-generate' && body.model === servedModel && body.prompt?.length > 0;
    const message = 'the device ran out of memory';
    const choices = [{ index: 0, text: content.slice(0, 4), logprobs: null, finish_reason: 'length' }];
    response.writeHead(isAble ? 200 : 500, { 'content-type': 'application/json' });
    return response.end(
      JSON.stringify(isAble ? { object: 'text_completion', model: body.model, choices } : { error: { message } }),
    );
  }
  if (body.stream !== true) {
    response.setHeader('content-type', 'application/json');
    return response.end(JSON.stringify({ model: body.model, content, headers: request.headers }));
  }
  response.setHeader('content-type', 'text/event-stream');
  for (let index = 0; index < tokensOf(body); index += 1) {
    response.write(`data: ${JSON.stringify({ index, content })}\n\n`);
    if (servedModel === 'slow') await new Promise((resolve) => setTimeout(resolve, 100));
  }
  response.end('data: [DONE]\n\n');
});
server.listen(0, '127.0.0.1', () => {
  console.log('listening');
  if (servedModel !== 'never-ready') write('ready.json', { pid: process.pid, port: server.address().port, instanceId });
});
