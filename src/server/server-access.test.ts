import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { toHex } from '#core/bytes.ts';
import { ROOT_ENTRY, type DeviceId, type EntryId, type OpId, type SpaceId, type UploadId } from '#core/ids.ts';
import { parseInvite } from '#core/invite.ts';
import { verifyKeyList } from '#core/key-list.ts';
import { formatDeviceToken } from '#core/token.ts';
import {
  devicesList,
  devicesRevoke,
  hello,
  inviteCreate,
  keys,
  nodeHere,
  nodeJoin,
  redeem,
  spaces,
  tlsRotate,
} from '#protocol/account.ts';
import { ask } from '#protocol/call.ts';
import { blocks, contents } from '#protocol/contents.ts';
import { serverStatus } from '#protocol/cluster.ts';
import { abandon, list, need, prepare, pull, put, settle } from '#protocol/sync.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { realClock } from '#world/real/clock.ts';
import { folder, never, newId, RigNode, ServerRig } from '../../test/server-rig.ts';

async function withRig(work: (rig: ServerRig) => Promise<void>, rig?: ServerRig): Promise<void> {
  const started = rig ?? (await ServerRig.start());
  try {
    await work(started);
  } finally {
    await started.close();
  }
}

test('strangers, wrong and mutilated tokens get the same refusal, whatever they ask', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const tokens = [
      'nothing',
      one.token.slice(0, -1),
      `${one.token}A`,
      formatDeviceToken({ id: '00'.repeat(8), secret: randomBytes(32) }),
      formatDeviceToken({ id: one.token.split('.')[1] ?? '', secret: randomBytes(32) }),
    ];
    const messages = new Set<string>();
    for (const token of tokens)
      await assert.rejects(
        ask(rig.peer({ kind: 'bearer', token, address: '1.2.3.4' }), spaces, {}, never),
        (error: Error & { code: string }) => {
          messages.add(error.message);
          return error.code === 'unauthenticated';
        },
      );
    await assert.rejects(ask(rig.anonymous(), spaces, {}, never), { code: 'unauthenticated' });
    assert.equal(messages.size, 1);
    const call = (name: string, body: unknown) =>
      rig.server.handler(name, { body, parts: [] }, { kind: 'bearer', token: one.token, address: '' }, never);
    await assert.rejects(call('nothing-of-that-name', {}), { code: 'unknown_route' });
    for (const body of [null, 7, 'x', [], { space: 1 }, { space: '..', after: null, limit: 0 }, { extra: true }])
      await assert.rejects(call('list', body), { code: 'invalid_field' });
  }));

test('other people’s and unknown spaces, uploads and manifests look alike', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const two = await rig.link('two');
    const space = newId<SpaceId>();
    const cursor = { ...(await one.head()), seq: 0 };
    await assert.rejects(one.ask(list, { space, after: null, trashed: false, limit: 1 }), { code: 'not_found' });
    await assert.rejects(one.ask(settle, { space, op: newId<OpId>() }), { code: 'not_found' });
    const cursors = [{ space, cursor, met: null }];
    await assert.rejects(one.ask(pull, { cursors, waitMs: 0, rowsMax: 1 }), { code: 'not_found' });
    const manifest = toHex(randomBytes(32)) as never;
    const unknown = await one.ask(contents, { space: one.space, manifests: [manifest], budgetBytes: 10 });
    assert.deepEqual(unknown.response.items, [{ kind: 'unknown' }]);
    await assert.rejects(one.ask(blocks, { space: one.space, manifest, indexes: [0] }), { code: 'not_found' });
    const upload = newId<UploadId>();
    const files = [{ upload, entry: newId<EntryId>(), parent: ROOT_ENTRY, name: 'x.txt', size: 9 }];
    await one.ask(prepare, { space: one.space, files });
    const refusals = new Set<string>();
    for (const asked of [upload, newId<UploadId>()])
      await assert.rejects(
        two.ask(need, { space: two.space, upload: asked, blocks: [manifest] }),
        (error: Error & { code: string }) => refusals.add(error.message) && error.code === 'not_found',
      );
    assert.equal(refusals.size, 1);
    await two.ask(abandon, { space: two.space, uploads: [upload] });
    assert.equal((await one.ask(need, { space: one.space, upload, blocks: [manifest] })).response.missing.length, 1);
  }));

test('an invite serves one redeemer, as often as he asks, and dies of ten wrong secrets', () =>
  withRig(async (rig) => {
    const { invite } = await rig.server.invite({ kind: 'device' });
    const { tokenId: id, secret } = parseInvite(p, invite);
    const mine = { invite: { id, secret }, device: newId<DeviceId>(), name: 'mine', tokenHash: toHex(randomBytes(32)) };
    const first = await ask(rig.anonymous(), redeem, mine, never);
    assert.deepEqual((await ask(rig.anonymous(), redeem, mine, never)).response, first.response);
    const other = { ...mine, device: newId<DeviceId>(), tokenHash: toHex(randomBytes(32)) };
    await assert.rejects(ask(rig.anonymous(), redeem, other, never), { code: 'invite_used' });

    const guessed = parseInvite(p, (await rig.server.invite({ kind: 'device' })).invite);
    const wrong = { ...other, invite: { id: guessed.tokenId, secret: 'A'.repeat(22) } };
    for (let tries = 0; tries < 10; tries++)
      await assert.rejects(ask(rig.anonymous(), redeem, wrong, never), { code: 'invite_used' });
    const right = { ...other, invite: { id: guessed.tokenId, secret: guessed.secret } };
    await assert.rejects(ask(rig.anonymous(), redeem, right, never), { code: 'invite_used' });

    const asNode = parseInvite(p, (await rig.server.invite({ kind: 'node' })).invite);
    const crossed = { ...other, invite: { id: asNode.tokenId, secret: asNode.secret } };
    await assert.rejects(ask(rig.anonymous(), redeem, crossed, never), { code: 'invite_used' });
  }));

test('an expired invite is refused, but who redeemed it in time is still answered', () => {
  let nowMs = 1_000_000;
  const clock = { ...realClock, nowMs: () => nowMs };
  return ServerRig.start({ clock }).then((rig) =>
    withRig(async () => {
      const one = await rig.link('one');
      const made = await one.ask(inviteCreate, { kind: 'device', validMs: 1000 });
      assert.ok(made.response.loopbackOnly);
      assert.equal(made.response.expiresMs, nowMs + 1000);
      const { tokenId: id, secret } = parseInvite(p, made.response.invite);
      const request = {
        invite: { id, secret },
        device: newId<DeviceId>(),
        name: 'late',
        tokenHash: toHex(randomBytes(32)),
      };
      const inTime = await ask(rig.anonymous(), redeem, request, never);
      const second = parseInvite(p, (await one.ask(inviteCreate, { kind: 'device', validMs: 1000 })).response.invite);
      nowMs += 1000;
      assert.deepEqual((await ask(rig.anonymous(), redeem, request, never)).response, inTime.response);
      const late = { ...request, device: newId<DeviceId>(), tokenHash: toHex(randomBytes(32)) };
      late.invite = { id: second.tokenId, secret: second.secret };
      await assert.rejects(ask(rig.anonymous(), redeem, late, never), { code: 'invite_used' });
      await assert.rejects(one.ask(inviteCreate, { kind: 'device', validMs: 8 * 24 * 3_600_000 }), {
        code: 'invalid_field',
      });
    }, rig),
  );
});

test('a revoked device is out at once, its held pull too, and the space has a new key', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const lost = await rig.link('lost');
    const cursor = await lost.head();
    const held = lost.ask(pull, { cursors: [{ space: lost.space, cursor, met: null }], waitMs: 60_000, rowsMax: 10 });
    const refused = assert.rejects(held, { code: 'unauthenticated' });
    const stale = one.seal(randomBytes(300));
    await one.ask(devicesRevoke, { device: lost.device });
    await refused;
    await assert.rejects(lost.head(), { code: 'unauthenticated' });
    const { rows } = await one.pullAll(cursor);
    assert.deepEqual(
      rows.map((row) => [row.kind, row.kind === 'key' && row.keyVersion]),
      [['key', 2]],
    );
    const state = { kind: 'file', content: { ...stale.content, manifest: 0 }, mtimeUs: 0, exec: false } as const;
    const create = { kind: 'create', entry: newId<EntryId>(), parent: ROOT_ENTRY, name: 'x.txt', state } as const;
    const old = await one.commit([[create]], [stale]);
    assert.equal(old.answers[0]?.kind === 'invalid' && old.answers[0].code, 'key_stale');
    await one.refreshKeys();
    assert.equal(one.keyring.currentVersion, 2);
    const files: Parameters<typeof one.createFile>[2] = [];
    const fresh = await one.each([one.createFile(ROOT_ENTRY, 'x.txt', files, randomBytes(300))], files);
    assert.equal(fresh.answers[0]?.kind, 'applied');
    const { devices } = (await one.ask(devicesList, {})).response;
    assert.deepEqual(devices.map(({ name, revoked, self }) => [name, revoked, self]).sort(), [
      ['lost', true, false],
      ['one', false, true],
    ]);
    await assert.rejects(one.ask(devicesRevoke, { device: newId<DeviceId>() }), { code: 'not_found' });
  }));

test('a held pull wakes with the rows, and ends empty when the server is about to close', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const two = await rig.link('two');
    const cursor = await two.head();
    const request = { cursors: [{ space: two.space, cursor, met: null }], waitMs: 60_000, rowsMax: 10 };
    const held = two.ask(pull, request);
    await one.each([folder(ROOT_ENTRY, 'news')]);
    const { response } = await held;
    assert.deepEqual(
      response.spaces.map((space) => space.kind === 'rows' && space.count),
      [1],
    );
    const after = await two.head();
    const idle = two.ask(pull, { ...request, cursors: [{ space: two.space, cursor: after, met: null }] });
    rig.server.endHeldRequests();
    assert.deepEqual((await idle).response.spaces, []);
  }));

test('a cursor of another history is answered with a reset, never with rows', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const start = await one.head();
    await one.each([folder(ROOT_ENTRY, 'a'), folder(ROOT_ENTRY, 'b')]);
    const head = await one.head();
    const chain = toHex(randomBytes(32)) as typeof head.chain;
    assert.equal((await one.pullAll({ ...head, epoch: newId() })).reset, 'epoch_changed');
    assert.equal((await one.pullAll({ ...head, seq: head.seq + 1 })).reset, 'epoch_changed');
    assert.equal((await one.pullAll({ ...head, chain })).reset, 'epoch_changed');
    assert.equal((await one.pullAll({ ...head, seq: 1, chain })).reset, 'epoch_changed');
    assert.equal((await one.pullAll({ ...start, chain })).reset, 'epoch_changed');
    assert.equal((await one.pullAll(start)).rows.length, 2);
  }));

test('a node joins once with its ticket, tells its address only by its key, and gets the signed key list', () =>
  withRig(async (rig) => {
    const extra = new RigNode('txt');
    const ticket = parseInvite(p, (await rig.server.invite({ kind: 'node' })).invite);
    const request = {
      ticket: { id: ticket.tokenId, secret: ticket.secret },
      node: extra.node,
      pin: extra.pin,
      name: 'extra',
      pool: 'txt',
      addresses: ['http://127.0.0.1:9100'],
    };
    const joined = await ask(rig.anonymous(), nodeJoin, request, never);
    assert.equal(joined.response.pool, 'txt');
    const keyList = verifyKeyList(p, joined.parts[0] as Uint8Array, ticket.cluster);
    assert.deepEqual(keyList?.pins, [rig.server.tlsIdentity().pin]);
    assert.deepEqual((await ask(rig.anonymous(), nodeJoin, request, never)).response, joined.response);
    const other = { ...request, node: newId<typeof extra.node>(), pin: new RigNode('txt').pin };
    await assert.rejects(ask(rig.anonymous(), nodeJoin, other, never), { code: 'invite_used' });
    const here = { node: extra.node, addresses: ['http://127.0.0.1:9101'] };
    await assert.rejects(ask(rig.anonymous(), nodeHere, here, never), { code: 'forbidden' });
    const impostor = rig.peer({ kind: 'pinned', pin: other.pin, address: '' });
    await assert.rejects(ask(impostor, nodeHere, here, never), { code: 'forbidden' });
    await ask(rig.peer({ kind: 'pinned', pin: extra.pin, address: '' }), nodeHere, here, never);
    const one = await rig.link('one');
    const { nodes } = (await one.ask(serverStatus, {})).response;
    assert.equal(nodes.find(({ node }) => node === extra.node)?.address, 'http://127.0.0.1:9101');
  }));

test('the TLS key changes over only when every node knows the list that names it', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const before = rig.server.tlsIdentity().pin;
    const shown: string[] = [];
    rig.server.onTlsIdentity(({ pin }) => void shown.push(pin));
    const [first] = rig.nodes;
    assert.ok(first);
    first.down = true;
    await rig.server.greetNodes();
    const waiting = await one.ask(tlsRotate, {});
    assert.deepEqual(waiting.response, { state: 'waiting', pin: before, waitingFor: [`node-${first.pool}`] });
    const announced = await ask(rig.anonymous(), keys, {}, never);
    const list = verifyKeyList(p, announced.parts[0] as Uint8Array, rig.server.cluster);
    assert.equal(list?.pins.length, 2);
    assert.equal(list?.pins[0], before);
    await rig.restart();
    assert.equal(rig.server.tlsIdentity().pin, before, 'a restart in between changes nothing');
    rig.server.onTlsIdentity(({ pin }) => void shown.push(pin));
    first.down = false;
    const done = await one.ask(tlsRotate, {});
    assert.equal(done.response.state, 'done');
    assert.deepEqual(shown, [list?.pins[1]]);
    assert.equal(rig.server.tlsIdentity().pin, list?.pins[1]);
    await rig.server.greetNodes();
    for (const node of rig.nodes) assert.equal(node.shown.at(-1), list?.pins[1]);
    const last = await ask(rig.anonymous(), keys, {}, never);
    assert.deepEqual(verifyKeyList(p, last.parts[0] as Uint8Array, rig.server.cluster)?.pins, [list?.pins[1]]);
  }));

test('put and commit refuse what is not what it says', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const file = one.seal(randomBytes(600_000));
    const [block] = file.blocks;
    assert.ok(block);
    const upload = newId<UploadId>();
    const files = [{ upload, entry: newId<EntryId>(), parent: ROOT_ENTRY, name: 'x.txt', size: 9 }];
    await one.ask(prepare, { space: one.space, files });
    const forged = Buffer.from(block.bytes);
    forged[100] = (forged[100] ?? 0) ^ 1;
    const request = { space: one.space, upload, blocks: [block.id] };
    await assert.rejects(one.ask(put, request, [forged]), { code: 'hash_mismatch' });
    await assert.rejects(one.ask(put, request, []), { code: 'invalid_field' });
    assert.deepEqual((await one.ask(need, request)).response.missing, [block.id]);
    const entry = newId<EntryId>();
    const claim = (content: object, manifest: Uint8Array) => {
      const state = {
        kind: 'file',
        content: { ...file.content, manifest: 0, ...content },
        mtimeUs: 0,
        exec: false,
      } as const;
      const create = { kind: 'create', entry, parent: ROOT_ENTRY, name: 'x.txt', state } as const;
      return one.commit([[create]], [{ ...file, manifest }]);
    };
    const bent = Buffer.from(file.manifest);
    bent[bent.length - 1] = (bent.at(-1) ?? 0) ^ 1;
    for (const [content, manifest] of [
      [{}, bent],
      [{}, file.manifest.subarray(1)],
      [{ size: file.content.size + 1 }, file.manifest],
      [{ contentId: toHex(randomBytes(32)) }, file.manifest],
    ] as const) {
      const { answers } = await claim(content, manifest);
      assert.equal(answers[0]?.kind === 'invalid' && answers[0].code, 'integrity');
    }
    await assert.rejects(claim({ manifest: 5 }, file.manifest), { code: 'invalid_field' });
    const inline = { ...file, blocks: [{ id: block.id, bytes: forged }] };
    await assert.rejects(one.commit([[folder(ROOT_ENTRY, 'f')]], [inline]), { code: 'hash_mismatch' });
    const names = ['', '.', '..', 'a/b', 'a\0b', 'x'.repeat(256), '\ud800'];
    const { answers } = await one.each(names.map((name) => folder(ROOT_ENTRY, name)));
    for (const answer of answers) assert.equal(answer.kind === 'invalid' && answer.code, 'invalid_name');
    assert.equal((await one.listAll()).rows.length, 0, 'nothing of it was applied');
  }));

test('versions without overlap part at hello', () =>
  withRig(async (rig) => {
    const { response } = await ask(rig.anonymous(), hello, { protocol: { min: 1, max: 9 } }, never);
    assert.equal(response.protocol, 1);
    assert.equal(response.cluster, rig.server.cluster);
    await assert.rejects(ask(rig.anonymous(), hello, { protocol: { min: 2, max: 9 } }, never), {
      code: 'upgrade_required',
    });
  }));
