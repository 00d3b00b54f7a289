/** Control and format characters, separators of lines and paragraphs, and halves of surrogate pairs. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/**
 * A text for one line of a log. Keys and ids come from outside: a line break among them would forge a line, an escape
 * sequence would reach the terminal, and a bidirectional mark would show the rest of the line in another order.
 */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}
