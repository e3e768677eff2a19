import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { Hint } from '../watcher.ts';
import { deviceProfiles, SimFileSystem, type SimUser } from './sim-file-system.ts';
import { SimWatcher, type SimWatcherOptions } from './sim-watcher.ts';

const never = { below: (): number => 0 };

describe('simulated watcher', () => {
  let machine: SimFileSystem;
  let user: SimUser;
  let watcher: SimWatcher;
  let later: (() => void)[];

  const open = (options: Partial<SimWatcherOptions> = {}): SimWatcher =>
    new SimWatcher({
      files: machine.openProcess(),
      root: '/root',
      later: (_name, run) => later.push(run),
      chance: never,
      ...options,
    });
  beforeEach(() => {
    later = [];
    machine = new SimFileSystem({ nowMs: () => 0, elapsedMs: () => 0 });
    user = machine.user;
    user.makeFolder('/root');
    watcher = open();
  });
  const hear = (): readonly Hint[] => {
    for (const run of later.splice(0)) run();
    return watcher.take();
  };
  const name = (directory: string, of: string): Hint => ({ kind: 'name', directory, name: of });
  const whole = (directory: string): Hint => ({ kind: 'directory', directory });

  test('hints at what is made, changed, given other attributes, renamed and removed', () => {
    watcher.watch('');
    user.write('/root/file', 'x');
    assert.deepEqual(hear(), [name('', 'file')]);
    user.append('/root/file', 'y');
    assert.deepEqual(hear(), [name('', 'file')]);
    user.setExec('/root/file', true);
    assert.deepEqual(hear(), [name('', 'file')]);
    user.rename('/root/file', '/root/other');
    assert.deepEqual(hear(), [name('', 'file'), name('', 'other')]);
    user.link('/root/other', '/root/second');
    assert.deepEqual(hear(), [name('', 'second')]);
    user.remove('/root/other');
    assert.deepEqual(hear(), [name('', 'other')]);
    user.makeFolder('/root/folder');
    assert.deepEqual(hear(), [name('', 'folder')]);
  });

  test('what is written by way of an open file is hinted under the name that it has by then', () => {
    user.write('/root/file', 'x');
    const fd = user.files.openToRewrite('/root/file', false);
    user.rename('/root/file', '/root/renamed');
    watcher.watch('');
    user.files.write(fd, new Uint8Array(1), 0, 1, 0);
    assert.deepEqual(hear(), [name('', 'renamed')]);
    user.remove('/root/renamed');
    hear();
    user.files.write(fd, new Uint8Array(1), 0, 1, 0);
    assert.deepEqual(hear(), []);
  });

  test('hears only of watched directories, and of none after unwatch or close', () => {
    user.makeFolder('/root/sub/deeper');
    watcher.watch('sub');
    user.write('/root/sub/deeper/unseen', 'x');
    user.write('/root/unseen', 'x');
    user.write('/root/sub/seen', 'x');
    assert.deepEqual(hear(), [name('sub', 'seen')]);
    watcher.unwatch('sub');
    user.write('/root/sub/late', 'x');
    assert.deepEqual(hear(), []);
    watcher.watch('sub');
    user.write('/root/sub/queued', 'x');
    watcher.close();
    assert.deepEqual(hear(), []);
  });

  test('never mentions the own directory, and follows no symlink', () => {
    user.makeFolder('/root/.holdfast');
    user.makeFolder('/root/real');
    user.symlink('real', '/root/link');
    watcher.watch('');
    assert.equal(watcher.watch('.holdfast'), true);
    assert.equal(watcher.isWatching('.holdfast'), false);
    watcher.take();
    user.write('/root/.holdfast/root-id', 'x');
    user.setMode('/root/.holdfast', 0o700);
    assert.equal(watcher.watch('link'), true);
    assert.equal(watcher.isWatching('link'), false);
    assert.deepEqual(hear(), [whole('link')]);
  });

  test('the hint that there is nothing wakes who waits', async () => {
    const waiting = watcher.wait(new AbortController().signal);
    assert.equal(watcher.watch('missing'), true);
    for (const run of later.splice(0)) run();
    await waiting;
    assert.deepEqual(watcher.take(), [whole('missing')]);
  });

  test('a watch ends with its directory, and can be set again when that is back', () => {
    user.makeFolder('/root/sub');
    watcher.watch('sub');
    user.remove('/root/sub');
    assert.deepEqual(hear(), [whole('sub')]);
    assert.equal(watcher.isWatching('sub'), false);
    user.makeFolder('/root/sub');
    watcher.watch('sub');
    user.write('/root/sub/file', 'x');
    assert.deepEqual(hear(), [name('sub', 'file')]);
  });

  test('a directory that was away only for a moment, and not the same, is no longer watched', () => {
    user.makeFolder('/root/sub');
    watcher.watch('sub');
    user.remove('/root/sub');
    user.makeFolder('/root/sub');
    hear();
    assert.equal(watcher.isWatching('sub'), false);
  });

  test('a renamed directory and all below are no longer watched under their old paths', () => {
    user.makeFolder('/root/old/deeper');
    watcher.watch('old');
    watcher.watch('old/deeper');
    user.rename('/root/old', '/root/new');
    assert.deepEqual(hear(), [whole('old')]);
    assert.equal(watcher.isWatching('old/deeper'), false);
    watcher.watch('new/deeper');
    user.write('/root/new/deeper/file', 'x');
    assert.deepEqual(hear(), [name('new/deeper', 'file')]);
  });

  test('an unmounted root is hinted, unless it was torn out', () => {
    const stick = machine.addDisk(deviceProfiles.fat);
    for (const quietly of [false, true]) {
      machine.mount('/root', stick);
      watcher.watch('');
      machine.unmount(stick, quietly);
      assert.deepEqual(hear(), quietly ? [] : [whole('')]);
      assert.equal(watcher.isWatching(''), quietly);
    }
  });

  test('many names in one directory become one hint, too many events an overflow', () => {
    watcher.watch('');
    for (let i = 0; i < 65; i++) user.write(`/root/file ${i}`, '');
    assert.deepEqual(hear(), [whole('')]);
    watcher.close();
    watcher = open({ queueMax: 2 });
    watcher.watch('');
    for (const file of ['a', 'b', 'c']) user.write(`/root/${file}`, '');
    assert.deepEqual(hear(), [{ kind: 'overflow' }, name('', 'a'), name('', 'b')]);
  });

  test('events are lost as often as was asked for, and the limit of watches is one', () => {
    const sequence = [100, 99, 100];
    watcher = open({ lostOfThousand: 100, chance: { below: () => sequence.shift() ?? 100 }, watchesMax: 1 });
    assert.equal(watcher.watch(''), true);
    for (const file of ['a', 'b', 'c']) user.write(`/root/${file}`, '');
    assert.deepEqual(hear(), [name('', 'a'), name('', 'c')]);
    user.makeFolder('/root/sub');
    assert.equal(watcher.watch('sub'), false);
    assert.equal(watcher.watch(''), true);
  });

  test('wait ends with the signal, and with a hint', async () => {
    const controller = new AbortController();
    const waiting = watcher.wait(controller.signal);
    controller.abort();
    await waiting;
    watcher.watch('');
    const hinted = watcher.wait(new AbortController().signal);
    user.write('/root/file', 'x');
    for (const run of later.splice(0)) run();
    await hinted;
    assert.equal(watcher.take().length, 1);
  });
});
