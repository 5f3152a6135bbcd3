/** Memory of devices as sentences name it: in binary units, which devices are sold and asked for in. */

const UNITS = [
  { name: 'GiB', bytes: 2 ** 30 },
  { name: 'MiB', bytes: 2 ** 20 },
  { name: 'bytes', bytes: 1 },
] as const;

/**
 * `80 GiB`, `11.78 GiB`, `512 MiB`, `90 bytes`: the largest unit of which there is one, with at most two decimals. What is
 * asked for is rounded up and what is there down, so that what is short never looks enough.
 */
export function memoryWords(bytes: number, rounded: 'up' | 'down'): string {
  const unit = UNITS.find((each) => bytes >= each.bytes) ?? UNITS[2];
  const hundredths = (bytes / unit.bytes) * 100;
  return `${(rounded === 'up' ? Math.ceil(hundredths) : Math.floor(hundredths)) / 100} ${unit.name}`;
}
