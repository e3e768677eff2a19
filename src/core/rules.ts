/** Which pool a file's bytes belong to. Pure: the same file under the same rules goes to the same pool, whoever asks. */

export type Rule = {
  /** The rule's own name, a-z and 0-9. */
  readonly rule: string;
  readonly position: number;
  /** Without the dot, any letter case. */
  readonly extensions: readonly string[];
  readonly pool: string;
};

/** Always exists; takes what no rule names a pool for. */
export const DEFAULT_POOL = 'others';

/** What a new cluster starts with. */
export const DEFAULT_RULES: readonly Rule[] = ['mp3', 'txt', 'pdf'].map((extension, position) => ({
  rule: extension,
  position,
  extensions: [extension],
  pool: extension,
}));

/** Of the rules that match, the one of lowest position decides. `rule: null` says that none did. */
export function poolOf(
  rules: readonly Rule[],
  file: { readonly name: string; readonly size: number },
): { readonly pool: string; readonly rule: Rule | null } {
  const extension = extensionOf(file.name);
  let first: Rule | null = null;
  for (const rule of rules) {
    if (first !== null && first.position <= rule.position) continue;
    if (matches(rule, extension)) first = rule;
  }
  return { pool: first?.pool ?? DEFAULT_POOL, rule: first };
}

function matches(rule: Rule, extension: string): boolean {
  return extension !== '' && rule.extensions.some((one) => one.toLowerCase() === extension);
}

/** In lower case, without its dot; '' where there is none. A leading dot hides a file; it begins no extension. */
function extensionOf(name: string): string {
  const dot = name.lastIndexOf('.');
  return dot <= 0 ? '' : name.slice(dot + 1).toLowerCase();
}
