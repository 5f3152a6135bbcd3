// Run after `npm install --package-lock-only --omit-lockfile-registry-resolved=true` in this folder, when the
// version of node-llama-cpp changes. Takes node-llama-cpp's optional platform packages out of the lock: they are
// 600 MB of CUDA and Vulkan builds, and `npm ci` refuses a lock that lists only some of them. The one package a
// machine needs is pinned in platforms.txt instead, and install.sh checks its digest.
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('./package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
for (const [path, entry] of Object.entries(lock.packages)) {
  if (path.startsWith('node_modules/@node-llama-cpp/')) delete lock.packages[path];
  if (path === 'node_modules/node-llama-cpp') delete entry.optionalDependencies;
}
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
