/**
 * Runs seeds until one is violated, in a process into which a bug was planted. Prints how many it took. A defect that the bug sets off ends the process, as
 * it would end a role.
 */
import { runSeed } from './seed.ts';
import { USUAL } from './script.ts';

const [first = '1', count = '60'] = process.argv.slice(2);
let number = 0;

function caught(how: string): never {
  const said = how
    .split('\n')[0]
    ?.replace(/\(at \d+ ms\)|"[^"]*"/g, '')
    .trim();
  console.log(JSON.stringify({ seeds: number + 1, how: said?.slice(0, 80) }));
  process.exit(0);
}

process.on('uncaughtException', (error) => caught(`a defect: ${error.message}`));
for (; number < Number(count); number++) {
  const { violations } = await runSeed({ ...USUAL, seed: String(Number(first) + number) });
  const [violation] = violations;
  if (violation !== undefined) caught(violation);
}
console.log('{}');
