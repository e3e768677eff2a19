/** Ordinary work goes through unasked, however much it changes; disasters do not. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import test from 'node:test';
import type { HoldRow } from '#protocol/holds.ts';
import type { Device } from './sync-world.ts';
import { fill, noise, put, textOf, withHolds, type HoldWorld } from './hold-world.ts';

type Work = {
  readonly before: (one: Device) => void;
  readonly work: (world: HoldWorld) => void | Promise<void>;
};

const papers = (one: Device) => fill(one, 40, (index) => `papers/${index}.txt`);

function git(one: Device, ...args: string[]): void {
  const options = {
    cwd: one.path('project'),
    env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', HOME: one.folder },
  };
  const identity = [
    '-c',
    'user.name=n',
    '-c',
    'user.email=n@localhost',
    '-c',
    'gc.auto=0',
    '-c',
    'commit.gpgsign=false',
  ];
  execFileSync('git', [...identity, ...args], options);
}

const ordinary: Readonly<Record<string, Work>> = {
  'a checkout of another branch, across thousands of files': {
    before: (one) => {
      const source = (branch: string, count: number) =>
        fill(
          one,
          count,
          (index) => `project/src/${branch}${index % 9}/${index}.ts`,
          (index) => `${branch} ${textOf(index)}`,
        );
      source('old', 1300);
      fill(one, 200, (index) => `project/lib/${index}.ts`);
      git(one, 'init', '-q', '-b', 'main');
      git(one, 'add', '.');
      git(one, 'commit', '-q', '-m', 'main');
      git(one, 'checkout', '-q', '-b', 'next');
      rmSync(one.path('project/src'), { recursive: true });
      source('new', 1200);
      fill(
        one,
        200,
        (index) => `project/lib/${index}.ts`,
        (index) => `next ${textOf(index)}`,
      );
      git(one, 'add', '-A');
      git(one, 'commit', '-q', '-m', 'next');
      git(one, 'checkout', '-q', 'main');
      git(one, 'gc', '-q', '--prune=now');
    },
    work: ({ one }) => git(one, 'checkout', '-q', 'next'),
  },
  'an install that replaces all of node_modules': {
    before: (one) => {
      papers(one);
      put(one, 'app/package.json', '{}');
      fill(one, 1300, (index) => `app/node_modules/package${index % 90}/${index}.js`);
    },
    work: ({ one }) => {
      rmSync(one.path('app/node_modules'), { recursive: true });
      fill(
        one,
        600,
        (index) => `app/node_modules/package${index % 70}/v2-${index}.js`,
        (index) => `v2 ${textOf(index)}`,
      );
    },
  },
  'a build folder that is cleaned': {
    before: (one) => {
      papers(one);
      fill(one, 1300, (index) => `app/build/obj/${index % 50}/${index}.o`);
    },
    work: ({ one }) => rmSync(one.path('app/build'), { recursive: true }),
  },
  'a large tree that is unpacked, moved, and thrown away': {
    before: papers,
    work: async (world) => {
      const { one } = world;
      fill(one, 1300, (index) => `unpacked/${index % 40}/${index}.c`);
      await world.same();
      mkdirSync(one.path('sources'));
      renameSync(one.path('unpacked'), one.path('sources/linux'));
      await world.same();
      rmSync(one.path('sources'), { recursive: true });
    },
  },
  'an old tree that is moved, and files that are sorted one by one': {
    before: (one) => {
      fill(one, 1200, (index) => `all/${index}.txt`);
      fill(one, 200, (index) => `tree/${index % 7}/${index}.txt`);
    },
    work: ({ one }) => {
      renameSync(one.path('tree'), one.path('moved'));
      for (const letter of ['a', 'b', 'c']) mkdirSync(one.path(letter));
      for (let index = 0; index < 1200; index++)
        renameSync(one.path(`all/${index}.txt`), one.path(`${'abc'[index % 3]}/${index}.txt`));
    },
  },
  'photos that are imported': {
    before: papers,
    work: ({ one }) =>
      fill(
        one,
        700,
        (index) => `photos/2026/IMG_${index}.jpg`,
        () => randomBytes(3000),
      ),
  },
  'thousands of texts that are written anew, and a few that go': {
    before: (one) => fill(one, 1300, (index) => `notes/${index % 30}/${index}.md`),
    work: ({ one }) => {
      fill(
        one,
        1300,
        (index) => `notes/${index % 30}/${index}.md`,
        (index) => `revised: ${textOf(index)}`,
      );
      for (let index = 0; index < 60; index++) unlinkSync(one.path(`notes/${index % 30}/${index}.md`));
    },
  },
};

for (const [title, { before, work }] of Object.entries(ordinary))
  test(`passes unasked: ${title}`, () =>
    withHolds(before, async (world) => {
      await work(world);
      await world.same();
      assert.deepEqual(await world.holds(), []);
    }));

type Disaster = Work & { readonly reason: HoldRow['reasons'][number] };

const disasters: Readonly<Record<string, Disaster>> = {
  'everything in the folder is deleted': {
    before: (one) => fill(one, 1300, (index) => `${index % 3}/${index % 11}/${index}.txt`),
    work: ({ one }) => {
      for (const name of ['0', '1', '2']) rmSync(one.path(name), { recursive: true });
    },
    reason: 'emptied',
  },
  'more than a thousand files go one by one': {
    before: (one) => fill(one, 1800, (index) => `flat/${index}.txt`),
    work: ({ one }) => {
      for (let index = 0; index < 1100; index++) unlinkSync(one.path(`flat/${index}.txt`));
    },
    reason: 'deletes',
  },
  'a large folder is wiped': {
    before: (one) => {
      papers(one);
      fill(one, 1300, (index) => `archive/${index % 20}/${index}.txt`);
    },
    work: ({ one }) => rmSync(one.path('archive'), { recursive: true }),
    reason: 'deletes',
  },
  'a project is deleted with its history, after work in it': {
    before: (one) => {
      papers(one);
      fill(one, 1100, (index) => `project/src/${index % 20}/${index}.txt`);
      git(one, 'init', '-q', '-b', 'main');
      git(one, 'add', '.');
      git(one, 'commit', '-q', '-m', 'main');
      git(one, 'gc', '-q', '--prune=now');
    },
    work: async (world) => {
      put(world.one, 'project/src/0/0.txt', 'changed');
      git(world.one, 'commit', '-q', '-a', '-m', 'changed');
      await world.same();
      rmSync(world.one.path('project'), { recursive: true });
    },
    reason: 'deletes',
  },
  'texts are encrypted in place': {
    before: (one) => fill(one, 500, (index) => `papers/${index % 12}/${index}.txt`),
    work: ({ one }) => fill(one, 300, (index) => `papers/${index % 12}/${index}.txt`, noise),
    reason: 'encrypts',
  },
  'texts are encrypted into new files beside them, and deleted': {
    before: (one) => fill(one, 700, (index) => `papers/${index % 12}/${index}.txt`),
    work: ({ one }) => {
      for (let index = 0; index < 350; index++) {
        put(one, `papers/${index % 12}/${index}.txt.locked`, noise());
        unlinkSync(one.path(`papers/${index % 12}/${index}.txt`));
      }
    },
    reason: 'encrypts',
  },
};

for (const [title, { before, work, reason }] of Object.entries(disasters))
  test(`is held: ${title}`, () =>
    withHolds(before, async (world) => {
      const { two } = world;
      const old = Object.entries(two.tree());
      await work(world);
      const hold = await world.held();
      assert.ok(hold.reasons.includes(reason), hold.reasons.join());
      const now = two.tree();
      const lost = old.filter(
        ([path, bytes]) => now[path] !== bytes && path !== 'project/src/0/0.txt' && !path.includes('/.git/'),
      );
      assert.deepEqual(lost, [], 'the other device has lost nothing');
    }));
