/** One codec thread: a block comes, a block goes. Started by pool.ts. */
import { parentPort } from 'node:worker_threads';
import { decodeBlock, type EncodedBlock, encodeBlock, fitModel } from '../codecs/work.ts';
import { describeError, type WorkerAnswer, type WorkerRequest } from './messages.ts';

const port = parentPort!;

port.on('message', (request: WorkerRequest) => {
  try {
    const result = perform(request);
    const bytes = result instanceof Uint8Array ? result : result.payload;
    const answer: WorkerAnswer = { id: request.id, result };
    port.postMessage(answer, isOwn(bytes) ? [bytes.buffer] : []);
  } catch (error) {
    const answer: WorkerAnswer = { id: request.id, error: describeError(error) };
    port.postMessage(answer);
  }
});

function perform(request: WorkerRequest): EncodedBlock | Uint8Array {
  if (request.kind === 'encode') return encodeBlock(request.work);
  return request.kind === 'decode' ? decodeBlock(request.work) : fitModel(request.work);
}

/** Only a buffer that is all of the bytes may be given away: others are shared with Node's pools or the request. */
function isOwn(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength;
}
