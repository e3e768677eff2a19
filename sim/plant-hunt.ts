/** Runs seeds until one is violated, in a process into which a bug was planted. Prints how many it took. */
import { runSeed } from './seed.ts';
import { USUAL } from './script.ts';

const [first = '1', count = '60'] = process.argv.slice(2);
for (let number = 0; number < Number(count); number++) {
  const { violations } = await runSeed({ ...USUAL, seed: String(Number(first) + number) });
  const [violation] = violations;
  if (violation === undefined) continue;
  console.log(
    JSON.stringify({
      seeds: number + 1,
      how: violation
        .split('\n')[0]
        ?.replace(/\(at \d+ ms\)|"[^"]*"/g, '')
        .trim()
        .slice(0, 80),
    }),
  );
  process.exit(0);
}
console.log('{}');
