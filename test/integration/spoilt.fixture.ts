/**
 * The same key, token or JWT with one character of its secret or signature changed, whatever it was. Not one of the last
 * two: those of base64url may stand for fewer than six bits, so that another one can mean the same bytes.
 */
export function spoilt(text: string): string {
  const at = text.length - 10;
  return `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
}
