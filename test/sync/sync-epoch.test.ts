/** A server whose index was put back by hand: an older copy of the file, which then grows on. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, test } from 'node:test';
import { HoldfastError } from '#core/errors.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
let a: Device;
let b: Device;
beforeEach(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
  a.start();
  b.start();
  await converged([a, b], {});
});
afterEach(() => world.end());

const day = new Date().toISOString().slice(0, 10);

function reasonsOf(device: Device): string[] {
  const seen: string[] = [];
  device.gate.answer = (verb, answer) => {
    const { spaces } = answer.body as { spaces?: { reason?: string }[] };
    if (verb === 'pull') for (const { reason } of spaces ?? []) if (reason) seen.push(reason);
    return null;
  };
  return seen;
}

test('devices are ahead of an index that was put back: a union, nothing is deleted, what is newer goes up again', async () => {
  mkdirSync(a.path('dir'));
  for (const name of ['kept', 'edited', 'deleted', 'renamed', 'dir/f']) writeFileSync(a.path(name), name);
  await converged([a, b]);
  const copy = await world.copyIndex();
  await converged([a, b]);
  writeFileSync(a.path('edited'), 'edited since');
  unlinkSync(a.path('deleted'));
  renameSync(a.path('renamed'), a.path('dir/renamed'));
  writeFileSync(b.path('new'), 'new since');
  mkdirSync(b.path('sub'));
  writeFileSync(b.path('sub/large'), randomBytes(5_000_000));
  await converged([a, b]);
  const tree = a.tree();
  const seen = [reasonsOf(a), reasonsOf(b)];
  await world.putIndexBack(copy);
  await world.startServer();
  // The file's time is its own: the large one is told by it.
  await eventually(
    () => 'deleted' in a.tree() && 'deleted' in b.tree(),
    () => [a.tree(), b.tree()],
  );
  await converged([a, b]);
  for (const reasons of seen) assert.ok(reasons.includes('epoch_changed'), String(reasons));
  const united = a.tree();
  for (const [path, text] of Object.entries(tree)) {
    if (path === 'edited' || path === 'dir/renamed') continue;
    assert.equal(united[path], text, path);
  }
  assert.equal(united['deleted'], 'deleted', 'what was deleted since comes back');
  // Nobody can tell which of the two is newer: both are there.
  const texts = Object.values(united);
  assert.ok(texts.includes('edited since') && texts.includes('edited'), JSON.stringify(united));
  assert.ok(texts.includes('renamed'));
  // Offered again under the same ids, things are the same entries: a rename of them is one move, without bytes.
  a.gate.sentBytes['put'] = 0;
  renameSync(a.path('sub'), a.path('sub2'));
  await converged([a, b]);
  assert.equal(a.gate.sentBytes['put'], 0);
  assert.equal(b.tree()['sub'], undefined);
});

test('an index that was put back and has grown past everybody is another history all the same', async () => {
  for (const name of ['f', 'g']) writeFileSync(a.path(name), name);
  await converged([a, b]);
  const copy = await world.copyIndex();
  mkdirSync(a.path('d'));
  writeFileSync(a.path('d/one'), 'one');
  writeFileSync(a.path('f'), 'f since');
  await converged([a, b]);
  await a.stop();
  await b.stop();
  await world.putIndexBack(copy);
  await world.startServer();
  // Another device makes the journal longer than any cursor.
  const c = await world.device('carl');
  c.start();
  await converged([c], { f: 'f', g: 'g' });
  for (let index = 0; index < 12; index++) writeFileSync(c.path(`c${index}`), String(index));
  writeFileSync(c.path('f'), 'f by carl');
  const witness = await world.device('witness');
  witness.start();
  await converged([c, witness]);
  // What one has that the other history has not, is deleted by neither; nor what it deleted itself by what the other never saw.
  rmSync(a.path('d'), { recursive: true });
  unlinkSync(a.path('g'));
  const reasons = reasonsOf(a);
  a.start();
  b.start();
  await converged([a, b, c, witness]);
  assert.ok(reasons.includes('epoch_changed'));
  const tree = a.tree();
  for (let index = 0; index < 12; index++) assert.equal(tree[`c${index}`], String(index));
  assert.equal(tree['f'], 'f by carl');
  assert.ok(Object.values(tree).includes('f since'));
  assert.equal(tree['g'], 'g');
  assert.equal(tree['d/one'], 'one');
});

test('a commit that is planned before the device hears of it is refused whole: another history has other numbers', async () => {
  mkdirSync(a.path('d'));
  writeFileSync(a.path('d/old'), 'old');
  await converged([a, b]);
  const copy = await world.copyIndex();
  for (let index = 0; index < 8; index++) writeFileSync(b.path(`since${index}`), String(index));
  await converged([a, b]);
  await b.stop();
  await world.putIndexBack(copy);
  // Deleted while the server is away; by its numbers the device had seen everything through a seq that others fill anew.
  rmSync(a.path('d'), { recursive: true });
  const commits = () => a.gate.calls.filter((verb) => verb === 'commit').length;
  const commitsBefore = commits();
  let held = true;
  a.gate.before = async (verb) => {
    while (verb === 'pull' && held && a.client) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await world.startServer();
  const c = await world.device('carl');
  c.start();
  await eventually(
    () => c.tree()['d/old'] === 'old',
    () => c.tree(),
  );
  for (let index = 0; index < 12; index++) writeFileSync(c.path(`d/new${index}`), String(index));
  const witness = await world.device('witness');
  witness.start();
  await converged([c, witness]);
  writeFileSync(a.path('more'), 'more');
  await eventually(
    () => commits() > commitsBefore,
    () => a.gate.calls,
  );
  held = false;
  await converged([a, c, witness]);
  for (let index = 0; index < 12; index++) assert.equal(a.tree()[`d/new${index}`], String(index));
  assert.equal(a.tree()['d/old'], 'old');
  assert.equal(a.tree()['more'], 'more');
});

test('an answer that only the lost index remembers is settled as void, and its files go up', async () => {
  writeFileSync(a.path('f'), 'f');
  await converged([a, b]);
  const copy = await world.copyIndex();
  await converged([a, b]);
  let lose = true;
  a.gate.after = (verb) => {
    if (verb !== 'commit' || !lose) return;
    lose = false;
    throw new HoldfastError('timeout', 'the answer is lost');
  };
  a.gate.before = (verb) => {
    if (!lose && verb !== 'commit') throw new HoldfastError('unreachable', 'the server is away');
  };
  writeFileSync(a.path('g'), 'g');
  await eventually(
    () => b.tree()['g'] === 'g',
    () => b.tree(),
  );
  await a.stop();
  delete a.gate.after;
  delete a.gate.before;
  await world.putIndexBack(copy);
  await world.startServer();
  a.start();
  await converged([a, b], { f: 'f', g: 'g' });
});

test('a device that was linked after the backup is refused, loses nothing, and unites when it is linked again', async () => {
  writeFileSync(a.path('f'), 'f');
  await converged([a, b]);
  const copy = await world.copyIndex();
  const late = await world.device('late');
  late.start();
  writeFileSync(late.path('late'), 'late');
  await converged([a, b, late], { f: 'f', late: 'late' });
  await a.stop();
  await b.stop();
  unlinkSync(a.path('late'));
  unlinkSync(b.path('late'));
  await world.putIndexBack(copy);
  await world.startServer();
  await eventually(
    () => late.client?.status().problems[0]?.code === 'unauthenticated',
    () => late.client?.status(),
  );
  assert.equal(late.client?.status().settled, true);
  assert.deepEqual(late.tree(), { f: 'f', late: 'late' });
  await late.stop();
  const again = await world.device('again');
  rmSync(again.folder, { recursive: true });
  renameSync(late.folder, again.folder);
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${again.statePath}${suffix}`, { force: true });
  await again.link();
  for (const device of [a, b, again]) device.start();
  await converged([a, b, again], { f: 'f', late: 'late' });
});

test(`the copies of a conflict bear the device and the day (${day}), and are made once`, async () => {
  writeFileSync(a.path('f'), 'f');
  await converged([a, b]);
  const copy = await world.copyIndex();
  writeFileSync(a.path('f'), 'f since');
  await converged([a, b], { f: 'f since' });
  await b.stop();
  await world.putIndexBack(copy);
  await world.startServer();
  const united = { f: 'f', [`f (conflicted copy, anna, ${day})`]: 'f since' };
  await converged([a], united);
  await a.stop();
  a.start();
  await converged([a], united);
});
