/**
 * The disk of a running server, node or device is unmounted under it (lazily, as a person or a hot-plug script may): what is acknowledged meanwhile
 * lies on that disk, nobody begins anew in the empty mount point, and nothing counts as deleted.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { treeOf, untilInSync, type Listed, type Status } from './cluster.ts';
import { atEnd, freePorts, run, runJson, scratch, service, until, type Surroundings } from './holdfast.ts';
import { lacksRoot } from './privilege.ts';

const MOUNT_MS_MAX = 20_000;

/** An ext4 file system in a file, mounted at the directory. */
function disk(context: TestContext, directory: string) {
  const image = `${directory}.ext4`;
  mkdirSync(directory);
  execFileSync('truncate', ['-s', '256M', image]);
  execFileSync('mkfs.ext4', ['-q', '-F', image]);
  const mount = () => execFileSync('mount', ['-o', 'loop', image, directory], { stdio: 'pipe' });
  const unmount = () => execFileSync('umount', ['--lazy', directory], { stdio: 'pipe' });
  mount();
  rmdirSync(join(directory, 'lost+found'));
  atEnd(context, () => void unmount());
  return { unmount, mount: () => until('it can be mounted again', () => attempt(mount), Boolean, MOUNT_MS_MAX) };
}

/** As long as somebody has files open there, a second mount of the image is refused, or shows the same file system. */
function attempt(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

for (const victim of ['server', 'node', 'folder'] as const)
  test(`the disk of the ${victim} is unmounted while it runs`, { timeout: 180_000 }, async (context) => {
    if (lacksRoot(context, 'a file system of its own')) return;
    const directory = scratch(context);
    const place = join(directory, victim);
    const lost = disk(context, place);
    const owner: Surroundings = { home: join(directory, 'home'), cwd: directory };
    const device: Surroundings = { home: join(directory, 'home-device'), cwd: directory };
    const [port, nodePort] = (await freePorts(2)) as [number, number];
    const serverArgs = ['server', '--data', join(directory, 'server'), '--port', String(port)];
    const nodeArgs = ['node', '--data', join(directory, 'node'), '--port', String(nodePort)];
    const server = await service(context, serverArgs, owner);
    const ticket = (await runJson<{ invite: string }>(['invite', '--node'], owner)).invite;
    const node = await service(context, [...nodeArgs, '--join', ticket], owner);
    const folder = join(directory, 'folder');
    mkdirSync(folder, { recursive: true });
    const { invite } = await runJson<{ invite: string }>(['invite'], owner);
    const sync = await service(context, ['join', invite, folder], device);
    for (let index = 0; index < 10; index++)
      writeFileSync(join(folder, `before-${index}`), randomBytes(10_000 + index));
    await untilInSync(device);

    lost.unmount();
    assert.deepEqual(readdirSync(place), []);
    if (victim === 'folder') {
      const paused = ({ problems }: Status) => problems.some(({ code }) => code === 'folder_missing');
      await until('it pauses', () => runJson<Status>(['status'], device), paused);
    } else {
      for (let index = 0; index < 10; index++)
        writeFileSync(join(folder, `after-${index}`), randomBytes(10_000 + index));
      await until(
        'what came since is acknowledged, or told of',
        () => runJson<Status>(['status'], device),
        ({ inSync, problems }) => inSync || problems.length > 0,
      );
    }
    const acknowledged = (await runJson<Listed[]>(['fetch'], owner)).filter(({ state }) => state === 'stored');
    assert.ok(acknowledged.length >= 10);
    context.diagnostic(`${acknowledged.length} acknowledged`);

    const ended = { server, node, folder: sync }[victim];
    await ended.kill();
    const again = { server: serverArgs, node: nodeArgs, folder: ['sync'] }[victim];
    if (victim !== 'folder') {
      const refused = await run(again, owner);
      assert.ok(refused.code === 7 || refused.code === 4, refused.stderr);
      assert.match(refused.stderr, /disk( not)? mounted\?/);
      assert.deepEqual(readdirSync(place), [], 'nothing was made there');
    }
    await lost.mount();
    await service(context, again, victim === 'folder' ? device : owner);
    await untilInSync(device);
    const tree = treeOf(folder);
    assert.equal(tree.size, victim === 'folder' ? 10 : 20);
    await until(
      'all of it is fetched',
      () => run(['fetch', ...tree.keys()], owner),
      ({ code }) => code === 0,
    );
    for (const name of tree.keys())
      assert.deepEqual(readFileSync(join(directory, 'target_folder', name)), readFileSync(join(folder, name)), name);
  });
