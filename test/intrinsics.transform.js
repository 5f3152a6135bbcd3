// How Jest reads the sources: compiled by swc, and with the language's own objects as bindings of each module. Jest runs
// modules in a context whose global object answers every `Math` or `Map` by a call out of the engine: pure code that
// works in it as in production takes several times as long. What specs replace (`Date`, timers, `fetch`) is not named.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import swc from '@swc/jest';

const INTRINSICS = [
  ...['Array', 'BigInt', 'Boolean', 'Error', 'Float64Array', 'Infinity', 'Int32Array', 'JSON', 'Map', 'Math', 'NaN'],
  ...['Number', 'Object', 'RangeError', 'Reflect', 'RegExp', 'Set', 'String', 'Symbol', 'TypeError', 'Uint8Array'],
  ...['Uint32Array', 'WeakMap', 'WeakSet', 'isNaN', 'parseFloat', 'parseInt'],
];
const version = createHash('sha256')
  .update(readFileSync(import.meta.filename))
  .digest('hex');

/** Those that the code names and does not declare itself; on the first line, so that no line moves. */
function withIntrinsics(code) {
  const used = INTRINSICS.filter((name) => {
    const declared = new RegExp(`\\b(class|const|function|let|var|as)\\s+${name}\\b|[{,]\\s*${name}\\s*[,}=]`);
    return new RegExp(`\\b${name}\\b`).test(code) && !declared.test(code);
  });
  return used.length === 0 ? code : `const { ${used.join(', ')} } = globalThis; ${code}`;
}

export default {
  createTransformer(options) {
    const inner = swc.createTransformer(options);
    return {
      ...inner,
      process: (...input) => {
        const output = inner.process(...input);
        return { ...output, code: withIntrinsics(output.code) };
      },
      processAsync: async (...input) => {
        const output = await inner.processAsync(...input);
        return { ...output, code: withIntrinsics(output.code) };
      },
      getCacheKey: (...input) =>
        createHash('sha256')
          .update(version + inner.getCacheKey(...input))
          .digest('hex'),
    };
  },
};
