/** Which sources a module runs: itself, and all that it imports, now or later. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Of the project's own, by their paths in it, in their order. */
export function sourcesOf(entry: string): string[] {
  const found = new Set<string>();
  const waiting = [join(root, entry)];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (found.has(file)) continue;
    found.add(file);
    for (const [, name] of readFileSync(file, 'utf8').matchAll(/\b(?:from|import)\s*\(?\s*'([#.][^']*)'/g))
      if (name !== undefined)
        waiting.push(name.startsWith('#') ? join(root, 'src', name.slice(1)) : join(dirname(file), name));
  }
  return [...found].map((file) => relative(root, file)).sort();
}

/** Equal for equal sources, and for no others. Libraries are the lock file's. */
export function hashOfSources(entry: string): string {
  const hash = createHash('sha256');
  for (const name of [...sourcesOf(entry), 'package-lock.json'])
    hash
      .update(name)
      .update('\0')
      .update(readFileSync(join(root, name)))
      .update('\0');
  return hash.digest('hex').slice(0, 16);
}
