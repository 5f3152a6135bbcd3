// After the integration specs, failed or not: nothing of servers.setup.ts is left.
export default async function stopServers(): Promise<void> {
  await globalThis.atollTestPostgres?.stop();
  globalThis.atollTestPostgres = undefined;
}
