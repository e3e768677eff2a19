import assert from 'node:assert/strict';
import test from 'node:test';
import { ROOT_ENTRY, type EntryId, type InstallId, type SessionId } from '#core/ids.ts';
import { devicesRevoke } from '#protocol/account.ts';
import { attach } from '#protocol/sync.ts';
import { folder, newId, ServerRig, type RigDevice } from '../../test/server-rig.ts';

async function withDevice(work: (one: RigDevice, rig: ServerRig) => Promise<void>): Promise<void> {
  const rig = await ServerRig.start();
  try {
    await work(await rig.link('one'), rig);
  } finally {
    await rig.close();
  }
}

function attaching(device: RigDevice, install: InstallId) {
  return async (tick: number, session: SessionId) =>
    (await device.ask(attach, { install, tick, session })).response.kind;
}

test('a state goes on where its tick rises, and where the same session repeats itself; else it is a copy or an old one', () =>
  withDevice(async (one, rig) => {
    const [first, second, third] = [newId<SessionId>(), newId<SessionId>(), newId<SessionId>()];
    const install = newId<InstallId>();
    const say = attaching(one, install);
    assert.equal(await say(1, first), 'attached');
    assert.equal(await say(1, first), 'attached', 'its answer was lost');
    assert.equal(await say(5, first), 'attached');
    assert.equal(await say(6, second), 'attached');
    assert.equal(await say(6, third), 'reconcile', 'two began from one state');
    assert.equal(await say(5, first), 'reconcile', 'another has begun since');
    assert.equal(await say(2, third), 'reconcile', 'put back from an older time');
    await rig.restart();
    assert.equal(await say(6, second), 'attached');
    assert.equal(await say(6, third), 'reconcile');
    const two = await rig.link('two');
    assert.equal(await attaching(two, install)(9, third), 'reconcile', 'a state stays with its device');
    assert.equal(await attaching(two, newId<InstallId>())(1, third), 'attached');
  }));

test('a state that was copied before a commit does not go on after it', () =>
  withDevice(async (one) => {
    const install = newId<InstallId>();
    const say = attaching(one, install);
    const [first, second] = [newId<SessionId>(), newId<SessionId>()];
    assert.equal(await say(1, first), 'attached');
    // The copy is made here, at tick 1, in the midst of a run.
    await one.commit([[folder(ROOT_ENTRY, 'a')]], [], { state: { install, tick: 2, session: first } });
    assert.equal(await say(2, second), 'reconcile', 'its next run raises the tick to what the commit had');
    assert.equal(await say(3, second), 'attached', 'the state that made the commit goes on');
  }));

test('only the client that was attached last may commit', () =>
  withDevice(async (one, rig) => {
    await one.each([folder(ROOT_ENTRY, 'a')]);
    const session = newId<SessionId>();
    await one.ask(attach, { install: one.install, tick: 9, session });
    await assert.rejects(one.each([folder(ROOT_ENTRY, 'b')]), { code: 'superseded' });
    const two = await rig.link('two');
    await two.each([folder(ROOT_ENTRY, 'c')]);
    await two.ask(devicesRevoke, { device: one.device });
    assert.equal((await two.listAll()).rows.length, 2);
  }));

test('a commit from another history is refused whole, and so is one from below the horizon of this', () =>
  withDevice(async (one) => {
    await one.each([folder(ROOT_ENTRY, 'a')]);
    const head = await one.head();
    const create = [[folder(ROOT_ENTRY, 'b')]];
    for (const cursor of [
      { ...head, seq: head.seq + 1 },
      { ...head, chain: '00'.repeat(32) as typeof head.chain },
      { ...head, epoch: newId<typeof head.epoch>() },
    ])
      await assert.rejects(one.commit(create, [], { cursor }), { code: 'cursor_reset' });
    assert.equal((await one.listAll()).rows.length, 1);
    assert.equal((await one.commit(create, [], { cursor: head })).answers[0]?.kind, 'applied');
  }));

test('a delete spares what is newer than its basis also where the device did it itself: its state may be a copy', () =>
  withDevice(async (one) => {
    const top = newId<EntryId>();
    const made = await one.commit([[folder(ROOT_ENTRY, 'top', top), folder(top, 'old')]]);
    await one.each([folder(top, 'new')]);
    const { answers } = await one.each([{ kind: 'delete', entry: top, basis: made.head.seq }]);
    assert.deepEqual(answers[0]?.kind === 'applied' && answers[0].survivors, 1);
    const names = (await one.listAll()).rows.map((row) => (row.kind === 'entry' ? row.entry.name : ''));
    assert.deepEqual(names.sort(), ['new', 'top']);
  }));
