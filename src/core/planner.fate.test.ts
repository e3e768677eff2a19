/** What a device plans for what others deleted, what is kept from its disk, and what is held. */
import { ROOT_ENTRY } from './ids.ts';
import { edit, file, folder, make, move, remove, touch, type Act } from '../../test/planner/acts.ts';
import { deselect, drop, forgetBase, note, park, tellCases } from '../../test/planner/told-plan.ts';

const deep = [make('/d', folder), make('/d/e', folder), make('/d/e/a', file('1')), make('/d/b', file('1'))];
const four = ['w', 'x', 'y', 'z'].map((name) => make(`/${name}`, file('1')));
const paths = ['/w', '/x', '/y', '/z'];
const why = ['placeholder', 'disk_full', 'link_unsupported', 'case_clash'] as const;
const keptAway = paths.flatMap((path, index) => [note(path, why[index]!), drop(path)]);
const link = (target: string) => ({ kind: 'symlink', target }) as const;

const becomeLink =
  (path: string): Act =>
  (client) => {
    const row = client.trees.local(client.at(path))!;
    client.trees.localRows.put({ ...row, kind: 'symlink', contentId: null, target: 't' });
    client.bytes.delete(row.entry);
  };
/** There is none on the server of this model. */
const mount =
  (path: string): Act =>
  ({ trees }) => {
    const row = trees.remoteAt(ROOT_ENTRY, path.slice(1))!;
    trees.remoteRows.put({ ...row, kind: 'mount' });
  };

/** The device agreed on it as it is now, but before others changed it and back. */
const agreedBefore =
  (path: string, what: 'placed' | 'revision'): Act =>
  (client) => {
    const row = client.trees.synced(client.at(path))!;
    client.trees.syncedRows.put({ ...row, [what]: row[what] - 1 });
  };

// ---- Folders that others deleted ----

tellCases([
  {
    what: 'a deleted folder stays until it is known whether something in it was edited',
    before: deep,
    theirs: [remove('/d')],
    ours: [touch('/d/b')],
    plan: ['read /d/b', 'down remove /d/e/a', 'down remove /d/e', 'wait /d', 'wait /d/b'],
    after: [],
  },
  {
    what: 'so do the folders around it',
    before: deep,
    theirs: [remove('/d')],
    ours: [touch('/d/e/a')],
    plan: ['read /d/e/a', 'down remove /d/b', 'wait /d', 'wait /d/e', 'wait /d/e/a'],
    after: [],
  },
  {
    what: 'and until what is parked in it is back',
    before: deep,
    theirs: [remove('/d')],
    hearing: [park('/d/e')],
    plan: ['down move /d/e at /d/e', 'down remove /d/b', 'wait /d', 'wait /d/e', 'wait /d/e/a'],
    after: [],
  },
  {
    what: 'but not for what others moved out of it, which goes there at once',
    before: deep,
    theirs: [move('/d/e', '/e'), remove('/d')],
    hearing: [park('/d/e')],
    plan: ['down move /e at /e', 'down remove /d/b', 'wait /d', 'wait /e'],
    after: ['/e = folder', '/e/a = file 1'],
  },
  {
    what: 'nor for what leaves this disk',
    before: [...deep, make('/f', folder)],
    theirs: [move('/d/b', '/f/b'), remove('/d')],
    ours: [deselect('/f')],
    plan: ['withdraw /f', 'withdraw /f/b', 'down remove /d/e/a', 'down remove /d/e', 'wait /d', 'wait /f', 'wait /f/b'],
    after: ['/f = folder', '/f/b = file 1'],
  },
  {
    what: 'a folder that stays for what is ignored in it lets the folder around it go as far as that can',
    before: deep,
    theirs: [remove('/d')],
    hearing: [note('/d/e', 'ignored'), drop('/d/e/a')],
    plan: ['agree /d/e/a', 'down remove /d/b', 'down remove /d'],
  },
  {
    what: 'an edit in it makes both of them new',
    before: deep,
    theirs: [remove('/d/e')],
    hearing: [note('/d/e', 'ignored'), edit('/d/e/a', '2')],
    plan: ['renew /d/e', 'renew /d/e/a'],
    after: ['/d = folder', '/d/b = file 1', '/d/e = folder', '/d/e/a = file 2'],
  },
  {
    what: 'what nobody read in such a folder is read first',
    before: deep,
    theirs: [remove('/d/e')],
    hearing: [note('/d/e', 'ignored'), touch('/d/e/a')],
    plan: ['read /d/e/a', 'wait /d/e', 'wait /d/e/a'],
  },
  {
    what: 'a file that is called ignored and is here is never taken for deleted',
    before: deep,
    theirs: [remove('/d/b')],
    hearing: [note('/d/b', 'ignored')],
    plan: ['renew /d/b'],
    after: ['/d = folder', '/d/b = file 1', '/d/e = folder', '/d/e/a = file 1'],
  },
]);

// ---- What is kept from this disk ----

tellCases([
  {
    what: 'what is held is left alone, whether others left it as it was or deleted it',
    before: four,
    theirs: [remove('/x')],
    ours: [edit('/w', '5')],
    hearing: [note('/w', 'held'), note('/x', 'held'), note('/y', 'held'), drop('/y')],
    plan: [],
  },
  {
    what: 'what is held and others changed is looked at again, and nothing of either is lost',
    before: four,
    theirs: [edit('/w', '5')],
    hearing: [note('/w', 'held')],
    plan: ['conflict /w, copy at /w (copy of device2)', 'wait /w'],
    after: ['/w (copy of device2) = file 1', '/w = file 5', '/x = file 1', '/y = file 1', '/z = file 1'],
  },
  {
    what: 'what this disk could not take is left alone as long as others leave it alone',
    before: four,
    hearing: keptAway,
    plan: [],
  },
  {
    what: 'and tried again when they change it, but for what is to be fetched when somebody asks for it',
    before: four,
    theirs: paths.map((path) => edit(path, '2')),
    hearing: keptAway,
    plan: ['absent /w as placeholder', 'down create /x at /x', 'down create /z at /z', 'down create /y at /y'],
  },
  {
    what: 'what lies in a folder that this disk could not take is kept from it for the same reason',
    before: deep,
    theirs: [make('/d/e/n', file('2')), edit('/d/e/a', '4')],
    hearing: [note('/d/e', 'disk_full'), note('/d/e/a', 'disk_full'), drop('/d/e/a'), drop('/d/e')],
    plan: ['absent /d/e/n as disk_full', 'absent /d/e/a as disk_full'],
  },
  {
    what: 'what was kept from this disk, is here all the same and is deleted by others lives on',
    before: deep,
    theirs: [remove('/d/b')],
    hearing: [note('/d/b', 'disk_full')],
    plan: ['renew /d/b'],
    after: ['/d = folder', '/d/b = file 1', '/d/e = folder', '/d/e/a = file 1'],
  },
  {
    what: 'what was marked to leave, is gone and is wanted again comes again',
    before: deep,
    hearing: [note('/d/b', 'not_selected'), drop('/d/b')],
    plan: ['down create /d/b at /d/b'],
    after: ['/d = folder', '/d/b = file 1', '/d/e = folder', '/d/e/a = file 1'],
  },
  {
    what: 'so does what was ignored',
    before: deep,
    hearing: [note('/d/b', 'ignored'), drop('/d/b')],
    plan: ['down create /d/b at /d/b'],
    after: ['/d = folder', '/d/b = file 1', '/d/e = folder', '/d/e/a = file 1'],
  },
  {
    what: 'a link without a merge base that points elsewhere lives on as another',
    before: [make('/l', link('t'))],
    ours: [(client) => client.change(client.at('/l'), { target: 'u' })],
    hearing: [forgetBase('/l')],
    plan: ['renew /l'],
    after: ['/l (copy of device2) = symlink u', '/l = symlink t'],
  },
  {
    what: 'what became of another kind lives on as another, and what it was comes back',
    before: deep,
    hearing: [becomeLink('/d/b')],
    plan: ['renew /d/b'],
    after: ['/d = folder', '/d/b (copy of device2) = symlink t', '/d/b = file 1', '/d/e = folder', '/d/e/a = file 1'],
  },
  {
    what: 'what was deleted here and brought back by others since is not what this device deleted',
    before: deep,
    ours: [agreedBefore('/d/b', 'placed'), remove('/d/b')],
    plan: ['down create /d/b at /d/b'],
    after: ['/d = folder', '/d/b = file 1', '/d/e = folder', '/d/e/a = file 1'],
  },
  {
    what: 'nor is what others edited, and back',
    before: deep,
    ours: [agreedBefore('/d/b', 'revision'), remove('/d/b')],
    plan: ['down create /d/b at /d/b'],
    after: ['/d = folder', '/d/b = file 1', '/d/e = folder', '/d/e/a = file 1'],
  },
  {
    what: 'a folder that was brought back so comes whole',
    before: deep,
    ours: [agreedBefore('/d', 'placed'), remove('/d')],
    plan: [
      'forget /d/e',
      'forget /d/b',
      'forget /d/e/a',
      'down create /d at /d',
      'down create /d/e at /d/e',
      'down create /d/b at /d/b',
      'down create /d/e/a at /d/e/a',
    ],
    after: ['/d = folder', '/d/b = file 1', '/d/e = folder', '/d/e/a = file 1'],
  },
  {
    what: 'and what was brought back in it keeps a folder that was deleted here',
    before: deep,
    ours: [agreedBefore('/d/e/a', 'placed'), remove('/d')],
    plan: [
      'up delete /d/b',
      'down create /d at /d',
      'down create /d/e at /d/e',
      'down create /d/e/a at /d/e/a',
      'wait /d/b',
    ],
    after: ['/d = folder', '/d/e = folder', '/d/e/a = file 1'],
  },
  {
    what: 'a mount is not for this disk',
    before: deep,
    theirs: [make('/m', folder)],
    hearing: [mount('/m')],
    plan: ['absent /m as not_selected'],
  },
  {
    what: 'what others put into a folder that is held and here comes all the same',
    before: deep,
    theirs: [make('/d/e/n', file('2'))],
    hearing: [note('/d/e', 'held')],
    plan: ['down create /d/e/n at /d/e/n'],
  },
  {
    what: 'what others moved into a folder that is held and was made anew comes to it',
    before: [make('/d', folder), make('/x', file('1'))],
    theirs: [move('/x', '/d/x')],
    ours: [note('/d', 'held'), remove('/d'), make('/d', folder)],
    plan: ['adopt /d for what was found', 'agree /d'],
    after: ['/d = folder', '/d/x = file 1'],
  },
  {
    what: 'a folder that is to leave and stays for what is ignored in it is left alone',
    before: deep,
    ours: [deselect('/d/e')],
    hearing: [note('/d/e', 'ignored'), drop('/d/e/a')],
    plan: ['absent /d/e/a as not_selected'],
  },
]);
