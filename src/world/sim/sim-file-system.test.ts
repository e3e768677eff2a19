/** What kinds of disks differ in, and what becomes of them when a process is killed, the disk is full or the power goes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  deviceProfiles,
  ProcessEnded,
  SimFileSystem,
  SystemError,
  type Chance,
  type DeviceProfile,
  type ErrorNumber,
  type SimUser,
} from './sim-file-system.ts';

const { ext4 } = deviceProfiles;
let nowMs = 1_700_000_000_000;
const clock = { nowMs: () => nowMs, elapsedMs: () => nowMs };

function machineWith(profile: Partial<DeviceProfile> = {}): SimFileSystem {
  return new SimFileSystem({ profile: { ...ext4, ...profile }, ...clock });
}

function chanceOf(seed: number): Chance {
  let state = seed | 1;
  return {
    below: (limit) => {
      state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d);
      state = Math.imul(state ^ (state >>> 12), 0x297a2d39);
      state ^= state >>> 15;
      return (state >>> 0) % limit;
    },
  };
}

function fails(work: () => unknown, code: ErrorNumber): void {
  assert.throws(work, (error) => error instanceof SystemError && error.code === code);
}

const texts = (user: SimUser, path = '/'): Record<string, string> =>
  Object.fromEntries(
    [...user.tree(path)].map(([name, thing]) => [
      name,
      thing.kind === 'file' ? Buffer.from(thing.bytes).toString() : thing.kind,
    ]),
  );
const names = (user: SimUser): string => [...user.tree('/')].map(([path, thing]) => `${path} ${thing.kind}`).join('\n');

describe('kinds of disks', () => {
  test('a disk that keeps no inode numbers counts anew when it is mounted, in the order of looking up', () => {
    for (const keepsNumbers of [true, false]) {
      const machine = machineWith();
      const { user } = machine;
      const stick = machine.addDisk({ ...ext4, keepsNumbers });
      user.makeFolder('/mnt');
      machine.mount('/mnt', stick);
      user.makeFolder('/mnt/folder');
      user.write('/mnt/folder/file', 'file');
      user.write('/mnt/other', 'other');
      const paths = ['/mnt/folder', '/mnt/folder/file', '/mnt/other'];
      const numbers = () => paths.map((path) => user.files.stat(path).ino);
      const before = numbers();
      machine.unmount(stick);
      // The last first: the other, then the folder, then what is in it.
      machine.mount('/mnt', stick, { below: (limit) => limit - 1 });
      const [folder, file, other] = before;
      assert.deepEqual(numbers(), keepsNumbers ? before : [file, other, folder]);
      user.write('/mnt/new', 'new');
      assert.equal(new Set([...numbers(), user.files.stat('/mnt/new').ino]).size, 4);
    }
  });

  test('the lowest free inode number is used again at once', () => {
    const { user } = machineWith();
    const inodeOf = (path: string) => user.files.stat(path).ino;
    for (const path of ['/a', '/b', '/c']) user.write(path, path);
    const old = inodeOf('/a');
    user.remove('/b');
    user.remove('/a');
    user.write('/d', '');
    assert.equal(inodeOf('/d'), old);
    user.write('/e', '');
    assert.equal(inodeOf('/e'), old + 1n);
    user.write('/f', '');
    assert.equal(inodeOf('/f'), old + 3n);
  });

  test('stamps are exact and each its own, or as coarse as their tick', () => {
    for (const [stampMs, isEqual] of [
      [null, false],
      [10, true],
      [2000, true],
    ] as const) {
      const { user } = machineWith({ stampMs });
      user.write('/a', 'one');
      const before = user.files.stat('/a');
      user.write('/a', 'two');
      const after = user.files.stat('/a');
      assert.equal(before.mtimeNs === after.mtimeNs && before.ctimeNs === after.ctimeNs, isEqual, `${stampMs}`);
      nowMs += 2000;
      user.write('/a', 'two');
      assert(user.files.stat('/a').mtimeNs > after.mtimeNs);
    }
  });

  test('a clock that was set back stamps earlier times', () => {
    const { user } = machineWith();
    user.write('/a', '');
    nowMs -= 86_400_000;
    user.write('/b', '');
    assert(user.files.stat('/b').mtimeNs < user.files.stat('/a').mtimeNs);
    nowMs += 86_400_000;
  });

  test('birth times are there or not', () => {
    for (const birthTimes of [true, false]) {
      const { user } = machineWith({ birthTimes });
      user.write('/a', '');
      assert.equal(user.files.stat('/a').birthNs !== 0n, birthTimes);
    }
  });

  test('letter case counts or is only kept', () => {
    const folding = machineWith({ letterCase: 'fold' }).user;
    folding.write('/Äb', 'one');
    folding.write('/äB', 'two');
    assert.deepEqual(texts(folding), { Äb: 'two' });
    folding.rename('/Äb', '/äb');
    assert.deepEqual(folding.names('/'), ['äb']);
    const exact = machineWith().user;
    for (const name of ['/a', '/A']) exact.write(name, name);
    assert.deepEqual(exact.names('/'), ['A', 'a']);
  });

  test('composed names are kept, decomposed or found in either form', () => {
    const [composed, decomposed] = ['/é', '/e\u0301'];
    for (const [unicode, kept, isOne] of [
      ['bytes', 'é', false],
      ['nfd', 'e\u0301', true],
      ['ignored', 'é', true],
    ] as const) {
      const { user } = machineWith({ unicode });
      user.write(composed, '');
      assert.deepEqual(user.names('/'), [kept]);
      assert.equal(user.exists(decomposed), isOne);
    }
  });

  test('hard links and clones are there or not', () => {
    const none = machineWith({ hardLinks: false, clones: false });
    const { user } = none;
    user.write('/a', 'x');
    fails(() => user.link('/a', '/b'), 'EPERM');
    const fd = user.files.open('/a', 'read');
    fails(() => user.files.clone(fd, '/b', 0o755), 'ENOTSUP');
    const cloning = machineWith({ clones: true }).user;
    cloning.write('/a', 'x'.repeat(5000));
    cloning.files.clone(cloning.files.open('/a', 'read'), '/b', 0o755);
    cloning.append('/b', 'y');
    cloning.overwrite('/a', 'z', 0, 1).next();
    assert.equal(cloning.readText('/b'), `${'x'.repeat(5000)}y`);
    assert.equal(cloning.readText('/a'), `z${'x'.repeat(4999)}`);
  });

  test('nothing is linked or renamed from one disk to another, and a disk hides what it lies over', () => {
    const machine = machineWith();
    const { user } = machine;
    user.makeFolder('/mnt');
    user.write('/mnt/hidden', '');
    user.write('/a', '');
    const stick = machine.addDisk(deviceProfiles.fat);
    machine.mount('/mnt', stick);
    assert.deepEqual(user.names('/mnt'), []);
    assert.notEqual(user.files.stat('/mnt').dev, user.files.stat('/').dev);
    fails(() => user.rename('/a', '/mnt/a'), 'EXDEV');
    fails(() => user.files.rmdir('/mnt'), 'EBUSY');
    fails(() => user.rename('/mnt', '/other'), 'EBUSY');
    user.write('/mnt/on stick', '');
    assert.deepEqual(user.names('/mnt/..'), ['a', 'mnt']);
    machine.unmount(stick);
    assert.deepEqual(user.names('/mnt'), ['hidden']);
    machine.mount('/mnt', stick);
    assert.deepEqual(user.names('/mnt'), ['on stick']);
  });

  test('sockets cannot be opened, FIFOs can; names may be no text', () => {
    const { user } = machineWith();
    user.makeSpecial('/socket', 'socket');
    user.makeSpecial('/fifo', 'fifo');
    user.writeUnderRawName('/', 'bad ', 0xff, 'x');
    fails(() => user.files.open('/socket', 'read'), 'ENXIO');
    assert.equal(user.files.fstat(user.files.open('/fifo', 'read')).kind, 'other');
    assert.deepEqual(user.names('/').at(0), 'bad \ufffd');
    const bytes = user.files.readdirAsBytes('/').map((name) => Buffer.from(name).toString('latin1'));
    assert.deepEqual(bytes.sort(), ['bad \xff', 'fifo', 'socket']);
  });

  test('a full disk refuses bytes and inodes, and has room again when things go', () => {
    const machine = machineWith({ capacityBytes: 3 * 4096, inodesMax: 4 });
    const { user } = machine;
    const { space } = machine.disk;
    fails(() => user.write('/a', 'x'.repeat(4 * 4096)), 'ENOSPC');
    assert.equal(user.files.stat('/a').size, 3 * 4096);
    assert.equal(user.files.spaceOf('/').freeBytes, 0);
    user.truncate('/a', 5000);
    user.truncate('/a', 100_000);
    assert.equal(user.files.spaceOf('/').freeBytes, 4096);
    user.write('/b', '');
    user.write('/c', '');
    fails(() => user.write('/d', ''), 'ENOSPC');
    const fd = user.files.open('/a', 'read');
    for (const path of ['/a', '/b', '/c']) user.remove(path);
    assert.equal(user.files.spaceOf('/').freeBytes, 4096);
    user.files.close(fd);
    assert.deepEqual(machine.disk.space, space);
    for (const path of ['/a', '/b', '/c']) user.write(path, '');
  });

  test('an error can be put in the place of any call', () => {
    const machine = machineWith();
    machine.user.write('/a', 'x');
    const files = machine.openProcess({
      before: (syscall) => {
        if (syscall === 'read') throw new SystemError('EIO', syscall);
      },
    });
    const fd = files.open('/a', 'read');
    fails(() => files.read(fd, new Uint8Array(1), 0, 1, 0), 'EIO');
  });

  test('whoever reads while another writes in pieces sees the pieces', () => {
    const { user } = machineWith();
    user.write('/a', 'old');
    const seen = [];
    for (const _ of user.writeInPieces('/a', 'four', 2)) seen.push(user.readText('/a'));
    assert.deepEqual(seen, ['', 'fo', 'four']);
    const saved = [];
    for (const _ of user.save('/a', 'new', '/.a.swp', true)) saved.push(user.readText('/a'));
    assert.deepEqual([...new Set(saved)], ['four']);
    assert.equal(user.readText('/a'), 'new');
  });
});

describe('a killed process', () => {
  test('loses its descriptors and nothing else, and can do nothing more', () => {
    const machine = machineWith();
    const files = machine.openProcess();
    const fd = files.open('/a', 'create', 0o666);
    files.write(fd, Buffer.from('unsynced'), 0, 8, 0);
    files.unlink('/a');
    const { freeBytes } = machine.disk.space;
    machine.user.write('/b', 'x');
    files.kill();
    assert.equal(machine.disk.space.freeBytes, freeBytes);
    assert.throws(() => files.mkdir('/c', 0o777), ProcessEnded);
    assert.deepEqual(texts(machine.user), { b: 'x' });
  });

  test('can be killed at any call of its own: that call has no effect', () => {
    const machine = machineWith();
    const files = machine.openProcess({
      before: (syscall) => {
        if (syscall === 'mkdir') files.kill();
      },
    });
    assert.throws(() => files.mkdir('/a', 0o777), ProcessEnded);
    assert.deepEqual(texts(machine.user), {});
  });
});

/** Each of them changes one name at most. */
type Deed = (user: SimUser, a: string, b: string, text: string) => void;
const deeds: readonly Deed[] = [
  (user, a, _b, text) => user.write(a, text),
  (user, a, b) => user.rename(a, b),
  (user, a, b) => user.link(a, b),
  (user, a) => (user.files.lstat(a)?.kind === 'folder' ? user.files.rmdir(a) : user.files.unlink(a)),
  (user, a) => user.files.mkdir(a, 0o777),
  (user, a, b) => user.symlink(b, a),
  (user, a, _b, text) => user.append(a, text),
  (user, a) => user.truncate(a, 1),
  (user, a) => user.setExec(a, true),
];
const path = fc.constantFrom('/a', '/b', '/c', '/a/a', '/a/b', '/b/a', '/b/b/a');
const deed = fc.tuple(fc.nat(deeds.length - 1), path, path, fc.constantFrom('x', 'y'.repeat(600), 'z'.repeat(9000)));
const history = fc.array(deed, { maxLength: 30 });

function done(user: SimUser, [kind, a, b, text]: readonly [number, string, string, string]): void {
  try {
    (deeds[kind] as Deed)(user, a, b, text);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
}

describe('a power cut', () => {
  test('leaves, with an ordered journal, the names as they were at some moment since the last sync', () => {
    fc.assert(
      fc.property(history, history, fc.integer(), (before, after, seed) => {
        const machine = machineWith({ journal: 'ordered' });
        const { user } = machine;
        for (const one of before) done(user, one);
        user.sync('/');
        const moments = new Set([names(user)]);
        for (const one of after) {
          done(user, one);
          moments.add(names(user));
        }
        machine.powerCut(chanceOf(seed));
        const left = names(user);
        assert(moments.has(left), left);
      }),
    );
  });

  test('leaves a sound file system of every kind, with what was synced', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(deviceProfiles)),
        history,
        history,
        fc.integer(),
        (profile, before, after, seed) => {
          const machine = machineWith({ ...profile, capacityBytes: 1_000_000 });
          const { user } = machine;
          for (const one of before) done(user, one);
          user.makeFolder('/kept');
          user.write('/kept/file', 'kept');
          user.sync('/');
          for (const one of after) done(user, one);
          machine.powerCut(chanceOf(seed));
          assert.equal(user.readText('/kept/file'), 'kept');
          checkSound(machine);
        },
      ),
    );
  });

  test('leaves the same for the same seed', () => {
    fc.assert(
      fc.property(fc.constantFrom(ext4, deviceProfiles.weak), history, fc.integer(), (profile, deeds, seed) => {
        const [left, again] = [0, 1].map(() => {
          const machine = machineWith(profile);
          for (const one of deeds) done(machine.user, one);
          machine.powerCut(chanceOf(seed));
          return [...machine.user.tree('/')].map(([at, thing]) => [at, thing, machine.user.files.lstat(`/${at}`)]);
        });
        assert.deepEqual(left, again);
      }),
    );
  });

  /** What is left of `after`, by text, over many cuts. */
  const outcomes = (profile: DeviceProfile, before: (user: SimUser) => void, after: (user: SimUser) => void) => {
    const found = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const machine = machineWith(profile);
      before(machine.user);
      machine.user.sync('/');
      after(machine.user);
      machine.powerCut(chanceOf(seed * 7919));
      found.add(JSON.stringify(texts(machine.user)));
    }
    return [...found].sort();
  };
  const isEach = (left: readonly string[], expected: readonly Record<string, string>[]): void => {
    assert.deepEqual(left, expected.map((one) => JSON.stringify(one)).sort());
  };
  const create = (user: SimUser, at: string, text: string, syncs: boolean): void => {
    const fd = user.files.openToRewrite(at, true);
    user.files.write(fd, Buffer.from(text), 0, text.length, 0);
    if (syncs) user.files.fsync(fd);
    user.files.close(fd);
  };

  test('takes or leaves a file of one sector, or empties it, where it was written over; synced it stays', () => {
    const before = (user: SimUser) => user.write('/a', 'old');
    const left = outcomes(ext4, before, (user) => create(user, '/a', 'new', false));
    isEach(
      left,
      ['', '\0\0\0', 'n', 'n\0\0', 'ne', 'ne\0', 'new', 'old'].map((a) => ({ a })),
    );
    isEach(
      outcomes(ext4, before, (user) => create(user, '/a', 'new', true)),
      [{ a: 'new' }],
    );
  });

  test('a write into a file leaves each sector old or new', () => {
    const sectors = (of: string) => of.repeat(512);
    const left = outcomes(
      ext4,
      (user) => user.write('/a', sectors('abcd'.slice(0, 1)).repeat(8)),
      (user) => {
        for (const _ of user.overwrite('/a', sectors('B').repeat(8), 0, 4096));
      },
    ).map((text) => (JSON.parse(text) as { a: string }).a);
    assert(left.length > 10, `${left.length}`);
    for (const text of left) {
      assert.equal(text.length, 4096);
      assert.match(text, /^[aB]*$/);
    }
    assert(
      left.some((text) => /B.*a.*B/.test(text)),
      'none of them is torn',
    );
  });

  test('a name is lost with an ordered journal only with all that came after, and a sync of a file keeps the names before it', () => {
    const nothing = (): void => {};
    const three = (user: SimUser) => {
      create(user, '/a', '', false);
      create(user, '/b', '', true);
      create(user, '/c', '', false);
    };
    isEach(outcomes(ext4, nothing, three), [
      { a: '', b: '' },
      { a: '', b: '', c: '' },
    ]);
    assert.equal(outcomes(deviceProfiles.weak, nothing, three).length, 8);
  });

  test('a rename is there whole or not at all, also where it replaced something', () => {
    const before = (user: SimUser) => {
      user.write('/a', 'one');
      user.write('/b', 'two');
    };
    for (const profile of [ext4, deviceProfiles.weak]) {
      const left = outcomes(profile, before, (user) => user.rename('/a', '/b'));
      isEach(left, [{ a: 'one', b: 'two' }, { b: 'one' }]);
    }
    const left = outcomes(deviceProfiles.hfs, before, (user) => user.rename('/a', '/A'));
    isEach(left, [
      { A: 'one', b: 'two' },
      { a: 'one', b: 'two' },
    ]);
  });

  test('with a weak journal a folder that is synced keeps its names, a file its bytes', () => {
    const left = outcomes(
      deviceProfiles.weak,
      (user) => user.makeFolder('/d'),
      (user) => {
        create(user, '/d/a', 'synced', true);
        create(user, '/b', 'lost', false);
        const fd = user.files.open('/d', 'list');
        user.files.fsync(fd);
        user.files.close(fd);
      },
    );
    for (const text of left) assert.equal((JSON.parse(text) as Record<string, string>)['d/a'], 'synced');
    assert(left.some((text) => !text.includes('"b"')));
  });

  test('with a weak journal a file that is synced keeps its times, whatever becomes of a name that it was given before', () => {
    const places = new Set<boolean>();
    for (let seed = 0; seed < 100; seed++) {
      const machine = machineWith(deviceProfiles.weak);
      const { user } = machine;
      create(user, '/a', 'old', true);
      user.sync('/');
      user.rename('/a', '/b');
      create(user, '/b', 'new', true);
      const { mtimeNs } = user.files.stat('/b');
      machine.powerCut(chanceOf(seed * 7919));
      const at = user.exists('/b') ? '/b' : '/a';
      places.add(at === '/b');
      assert.equal(user.files.stat(at).mtimeNs, mtimeNs);
    }
    assert.equal(places.size, 2);
  });

  test('attributes go with the names that were changed after them', () => {
    for (let seed = 0; seed < 100; seed++) {
      const machine = machineWith();
      const { user } = machine;
      create(user, '/made', 'x', false);
      user.setTime('/made', 5_000_000);
      user.setExec('/made', true);
      user.rename('/made', '/a');
      machine.powerCut(chanceOf(seed * 7919));
      if (!user.exists('/a')) continue;
      assert.equal(user.files.stat('/a').mtimeNs, 5_000_000_000n);
      assert.equal(user.files.stat('/a').exec, true);
    }
  });

  test('a size is not there without the time that came with it', () => {
    const sizes = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const machine = machineWith();
      const { user } = machine;
      user.sync('/');
      create(user, '/made', 'as it was placed', false);
      user.setTime('/made', 5_000_000);
      user.rename('/made', '/a');
      create(user, '/a', 'written', false);
      machine.powerCut(chanceOf(seed * 7919));
      if (!user.exists('/a')) continue;
      const { mtimeNs } = user.files.stat('/a');
      if (mtimeNs !== 5_000_000_000n) sizes.add('another time');
      else sizes.add(user.readText('/a') ?? 'unreadable');
    }
    assert.deepEqual([...sizes].sort(), ['', 'another time']);
  });

  test('what is old enough was written by the system itself', () => {
    const after = (user: SimUser) => {
      create(user, '/a', 'x', false);
      nowMs += 36_000;
      create(user, '/b', '', false);
    };
    isEach(
      outcomes(ext4, () => {}, after),
      [{ a: 'x' }, { a: 'x', b: '' }],
    );
  });

  test('a sync that failed loses what it should have written, though the next one succeeds', () => {
    const lost = new Set<string | null>();
    for (let seed = 0; seed < 50; seed++) {
      const machine = machineWith();
      let failures = 1;
      const files = machine.openProcess({
        before: (syscall) => {
          if (syscall === 'fsync' && failures-- > 0) throw new SystemError('EIO', syscall);
        },
      });
      const fd = files.open('/a', 'create', 0o666);
      files.write(fd, Buffer.from('x'), 0, 1, 0);
      fails(() => files.fsync(fd), 'EIO');
      files.fsync(fd);
      machine.powerCut(chanceOf(seed * 7919));
      lost.add(machine.user.readText('/a'));
    }
    assert(!lost.has(null), 'its name is durable');
    assert(lost.has(''), 'its bytes are not');
  });
});

/** Every number and count agrees with what can be reached. */
function checkSound(machine: SimFileSystem): void {
  const { user } = machine;
  const links = new Map<bigint, number>();
  let pages = 0;
  for (const [at, thing] of user.tree('/')) {
    if (thing.kind !== 'file') continue;
    const count = links.get(thing.inode) ?? 0;
    links.set(thing.inode, count + 1);
    if (count > 0) continue;
    const fd = user.files.open(`/${at}`, 'read');
    pages += user.files.roomOf(fd) / 4096;
    user.files.close(fd);
  }
  for (const [at, thing] of user.tree('/')) {
    if (thing.kind === 'file') assert.equal(user.files.stat(`/${at}`).links, links.get(thing.inode), at);
  }
  const { freeBytes, totalBytes } = machine.disk.space;
  assert.equal(totalBytes - freeBytes, pages * 4096);
  // All of it can be taken away, and then all room is free.
  for (const name of user.names('/')) user.remove(`/${name}`);
  assert.equal(machine.disk.space.freeBytes, totalBytes);
}
