/** Text of unknown origin, safe to print: control and invisible direction characters are shown by their numbers. */
export function escapeForPeople(text: string): string {
  return text.replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
