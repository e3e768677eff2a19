import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { HoldfastError } from '#core/errors.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

const SEED = Number(process.env['SYNC_SEED'] ?? Math.floor(Math.random() * 1e9));
const ROUNDS = Number(process.env['SYNC_ROUNDS'] ?? 6);

let world: SyncWorld;
before(async () => {
  world = await SyncWorld.start();
});
after(() => world.end());

/** A small generator of our own: a failing seed must give the same operations again. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const NAMES = ['a', 'b', 'c'];
let written = 0;
let kills = 0;
let applies = 0;

/** One thing that a person does, somewhere in a small tree. What is not possible there is not done. */
function act(device: Device, random: (below: number) => number, contents: Set<string>): void {
  const pick = () => {
    const depth = 1 + random(3);
    return Array.from({ length: depth }, () => NAMES[random(NAMES.length)]).join('/');
  };
  const path = device.path(pick());
  try {
    switch (random(6)) {
      case 0:
      case 1: {
        const text = `${device.name} wrote ${++written}`;
        if (existsSync(path) && statSync(path).isDirectory()) return;
        writeFileSync(path, text);
        contents.add(text);
        return;
      }
      case 2:
        return mkdirSync(path);
      case 3:
        return unlinkSync(path);
      case 4: {
        const to = device.path(pick());
        if (existsSync(to)) return;
        return renameSync(path, to);
      }
      default:
        if (random(3) === 0) return rmSync(path, { recursive: true });
        return;
    }
  } catch (error) {
    const { code } = error as { code?: string };
    assert.ok(
      ['ENOENT', 'ENOTDIR', 'EEXIST', 'EISDIR', 'EPERM', 'EINVAL', 'ENOTEMPTY'].includes(code ?? ''),
      String(error),
    );
  }
}

function faultsOf(device: Device, random: (below: number) => number): void {
  const lost = () => new HoldfastError('timeout', 'the network lost it');
  device.gate.before = (verb) => {
    if (random(12) === 0 && verb !== 'pull') throw lost();
  };
  device.gate.after = (verb) => {
    if (random(8) === 0 && verb !== 'pull') throw lost();
  };
  device.gate.kill = () => {
    // By count, not by chance: no seed may leave it out.
    if (++applies % 3 !== 0) return false;
    kills++;
    return true;
  };
}

test(`whatever is done on two devices while the network loses messages and clients stop: they come to the same (seed ${SEED})`, async (t) => {
  const random = generator(SEED);
  const devices = [await world.device('anna'), await world.device('bert')];
  const contents = new Set<string>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const device of devices) faultsOf(device, random);
    for (let step = 0; step < 25; step++) {
      const device = devices[random(devices.length)] as Device;
      act(device, random, contents);
      if (random(8) === 0) {
        if (device.client) await device.stop();
        else device.start();
      }
      if (random(3) === 0) await new Promise((resolve) => setTimeout(resolve, random(120)));
    }
    // Both run on under faults, and whoever was killed begins anew.
    for (let pass = 0; pass < 8; pass++) {
      for (const device of devices) {
        if (random(4) === 0) await device.stop();
        if (device.killed) await device.stop();
        if (!device.client) device.start();
      }
      act(devices[random(devices.length)] as Device, random, contents);
      await new Promise((resolve) => setTimeout(resolve, 100 + random(200)));
    }
    for (const device of devices) {
      delete device.gate.before;
      delete device.gate.after;
      delete device.gate.kill;
      // One that was killed does not know: it is taken away and begins anew.
      await device.stop();
      device.start();
    }
    await converged(devices);
    for (const [path, text] of Object.entries((devices[0] as Device).tree()))
      if (text !== '/') assert.ok(contents.has(text), `${path} holds what nobody wrote: ${text}`);
    for (const device of devices) {
      const tmp = join(device.folder, '.holdfast/tmp');
      await eventually(
        () => !existsSync(tmp) || readdirSync(tmp).length === 0,
        () => readdirSync(tmp),
      );
    }
  }
  t.diagnostic(`${kills} kills`);
  assert.ok(kills > 0, 'no client was killed: the test does not test what it says');
  // Quiet: a restart finds nothing to do.
  for (const device of devices) await device.stop();
  for (const device of devices) {
    device.gate.calls.length = 0;
    device.start();
    await device.client?.untilInSync(new AbortController().signal);
    // A file that was still in the tick of its stat is read again, and rules say how: they are asked for, and nothing is sent.
    const asks = ['spaces', 'attach', 'pull', 'list', 'rules-list'];
    const sent = device.gate.calls.filter((verb) => !asks.includes(verb));
    assert.deepEqual(sent, []);
  }
});
