/** A server that wants to write where a device's folder does not reach: by names that lead elsewhere. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeRow, frameRows, parseRow, parseRows } from '#core/journal-row.ts';
import type { Wire } from '#protocol/wire.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

const names = [
  '..',
  '.',
  '',
  '../escaped',
  '../../escaped',
  '/escaped',
  'inside/../../escaped',
  'inside/planted',
  'inside/.',
  '.holdfast',
  '.holdfast/root-id',
  '.holdfast/tmp/planted',
  'a\0b',
];

/** What the server says to that device, with other names in the rows of entries that are called `hostile-...`. */
function lie(answer: Wire): Wire {
  const parts = answer.parts.map((part) =>
    frameRows(
      parseRows(part).map((bytes) => {
        const row = parseRow(bytes);
        const index = row.kind === 'entry' ? /^hostile-.*-([0-9]+)$/.exec(row.entry.name)?.[1] : undefined;
        if (row.kind !== 'entry' || index === undefined) return bytes;
        return encodeRow({ ...row, entry: { ...row.entry, name: names[Number(index)] as string } });
      }),
    ),
  );
  return { body: answer.body, parts };
}

/** What lies beside the devices' folders, and in the places of Holdfast's own. */
function around(world: SyncWorld, device: Device): readonly string[] {
  const own = join(device.folder, '.holdfast');
  return [
    ...readdirSync(world.directory).filter((name) => !/^meta|\.state/.test(name)),
    ...readdirSync(own).filter((name) => name !== 'trash'),
    ...readdirSync(join(own, 'tmp')),
    readFileSync(join(own, 'root-id'), 'utf8'),
  ];
}

for (const kind of ['file', 'folder'] as const)
  test(`a server gives a ${kind} names that lead elsewhere: nothing is written there, and the rest is synced`, async (context) => {
    const world = await SyncWorld.start();
    context.after(() => world.end());
    const a = await world.device(`honest-${kind}`);
    const b = await world.device(`lied-to-${kind}`);
    a.start();
    b.start();
    mkdirSync(a.path('inside'));
    writeFileSync(a.path('inside/there'), 'before');
    await converged([a, b]);
    await b.stop();
    const before = around(world, b);
    names.forEach((_, index) => {
      const path = a.path(`hostile-${kind}-${index}`);
      if (kind === 'file') writeFileSync(path, `gets out ${index}`);
      else mkdirSync(path);
      if (kind === 'folder') writeFileSync(join(path, 'below'), 'gets out too');
    });
    writeFileSync(a.path('honest'), 'comes');
    await converged([a]);
    b.gate.answer = (verb, answer) => (verb === 'pull' || verb === 'list' ? lie(answer) : null);
    b.start();
    await eventually(
      () => b.tree()['honest'] === 'comes',
      () => [b.client?.status(), b.tree()],
    );
    const wanted = { honest: 'comes', inside: '/', 'inside/there': 'before' };
    const absent = () => b.client?.status().counts.notHere['name_impossible'];
    await eventually(
      () => absent() === names.length && b.client?.status().settled === true,
      () => [b.client?.status(), b.tree()],
    );
    assert.deepEqual(b.tree(), wanted);
    assert.deepEqual(around(world, b), before);
  });
