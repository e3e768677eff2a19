/** Ordinary work in a synced folder: a source tree unpacked and built, a repository cloned and committed to, editors' ways of saving; from both sides. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  appendFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { addDevice, startCluster, treeOf, untilIdentical, untilInSync } from './cluster.ts';
import { checkout, until } from './holdfast.ts';

const git = (cwd: string, ...args: readonly string[]): string =>
  execFileSync(
    'git',
    ['-c', 'user.name=Someone', '-c', 'user.email=someone@example.org', '-c', 'commit.gpgsign=false', ...args],
    { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
  );

/** A small C project with enough files that its build is real work. */
function writeSourceTree(folder: string, modules: number): void {
  mkdirSync(join(folder, 'src'), { recursive: true });
  const names = Array.from({ length: modules }, (_, index) => `module_${index}`);
  for (const [index, name] of names.entries())
    writeFileSync(join(folder, `src/${name}.c`), `int ${name}(int x) {\n  return x * ${index} + 1;\n}\n`);
  writeFileSync(
    join(folder, 'src/main.c'),
    `${names.map((name) => `int ${name}(int);`).join('\n')}\nint main(void) {\n  return (${names.map((name) => `${name}(1)`).join(' + ')}) == 0;\n}\n`,
  );
  writeFileSync(
    join(folder, 'Makefile'),
    'OBJ := $(patsubst src/%.c,build/%.o,$(wildcard src/*.c))\nprogram: $(OBJ)\n\tcc -o $@ $^\nbuild/%.o: src/%.c\n\t@mkdir -p build\n\tcc -c -o $@ $<\nclean:\n\trm -rf build program\n',
  );
}

test('real work on two devices ends byte-identical', { timeout: 300_000 }, async (context) => {
  const cluster = await startCluster(context);
  const desk = await addDevice(context, cluster, 'desk');
  const here = cluster.folder;
  const there = desk.folder;

  // A source tree is unpacked and built here, from a clean clone made there.
  git(there, 'init', '-q', '-b', 'main', 'repository');
  writeSourceTree(join(there, 'repository'), 60);
  git(join(there, 'repository'), 'add', '.');
  git(join(there, 'repository'), 'commit', '-qm', 'first');
  git(here, 'clone', '-q', checkout, 'holdfast-clone');
  writeSourceTree(join(here, 'project'), 120);
  execFileSync('make', ['-s', '-j2'], { cwd: join(here, 'project') });
  await untilInSync(cluster.owner, 120_000);
  await untilInSync(desk.at, 120_000);
  let tree = await untilIdentical([here, there], 120_000);
  assert.ok(tree.get('project/program')?.startsWith('x '), 'a built program stays executable');

  // Work goes on, on the side where it did not begin.
  assert.equal(git(join(here, 'repository'), 'status', '--porcelain'), '', 'the repository is whole here');
  appendFileSync(join(here, 'repository/src/main.c'), '/* a change */\n');
  git(join(here, 'repository'), 'commit', '-qam', 'second');
  git(join(here, 'repository'), 'checkout', '-qb', 'branch', 'HEAD~1');
  execFileSync('make', ['-s', 'clean'], { cwd: join(there, 'project') });
  execFileSync('git', ['fsck', '--strict'], { cwd: join(there, 'holdfast-clone'), stdio: 'pipe' });
  await until(
    'the build is gone here',
    () => treeOf(here).has('project/build'),
    (has) => !has,
    60_000,
  );
  await untilInSync(cluster.owner, 120_000);
  await untilInSync(desk.at, 120_000);
  tree = await untilIdentical([here, there], 120_000);
  assert.equal(git(join(there, 'repository'), 'log', '--oneline', 'main').trim().split('\n').length, 2);
  git(join(there, 'repository'), 'fsck', '--strict');

  // Editors: write aside and rename over; rename away and write new; backup by link; truncate and write.
  const file = join(there, 'project/src/main.c');
  const original = readFileSync(file, 'utf8');
  for (let save = 0; save < 5; save++) {
    const text = `${original}/* save ${save} */\n`;
    if (save === 0) {
      writeFileSync(`${file}.tmp`, text);
      renameSync(`${file}.tmp`, file);
    } else if (save === 1) {
      renameSync(file, `${file}~`);
      writeFileSync(file, text);
      unlinkSync(`${file}~`);
    } else if (save === 2) {
      linkSync(file, `${file}.bak`);
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
      rmSync(`${file}.bak`);
    } else writeFileSync(file, text);
    await until(
      `save ${save} crossed`,
      () => readFileSync(join(here, 'project/src/main.c'), 'utf8'),
      (seen) => seen === text,
    );
  }
  cpSync(join(here, 'project'), join(here, 'copied'), { recursive: true });
  renameSync(join(here, 'project'), join(here, 'moved'));
  await until(
    'the move crossed',
    () => treeOf(there),
    (seen) => seen.has('moved/src/main.c') && seen.has('copied/src/main.c') && !seen.has('project'),
    60_000,
  );
  await untilInSync(cluster.owner, 120_000);
  await untilInSync(desk.at, 120_000);
  tree = await untilIdentical([here, there], 120_000);
  assert.deepEqual(
    [...tree.keys()].filter((path) => path.includes('conflicted copy')),
    [],
    'sequential work makes no conflict copies',
  );
});
