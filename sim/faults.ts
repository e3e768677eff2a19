/** What goes wrong in a world, drawn from the seed: each fault begins at a moment of its own, lasts, and is over. */
import { SimRandom } from '#world/sim/sim-random.ts';
import { choosingDevice, deselectSoon } from './choices.ts';
import type { DeviceMachine } from './device-machine.ts';
import type { Machine } from './machines.ts';
import type { World } from './world.ts';

export type Fault = {
  readonly name: string;
  /** Returns what ends it. */
  readonly begin: (world: World, random: SimRandom) => () => void;
  readonly weight: number;
  /** What one person alone made is not known exactly any more: the disk itself, or what the device knew of it, went back. */
  readonly endsExactness?: boolean;
};

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * 24 * HOUR_MS;

/** Down now, and up again when the fault is over. */
function downFor(world: World, machine: Machine, how: 'kill' | 'powerCut'): () => void {
  if (machine.isUp) world.bringDown(machine, how);
  return () => world.bringUp(machine);
}

/** Ends at one of its next effects: between any two of them, or right after one that it never hears of. `where`: at the first such. */
function doom(
  world: World,
  machine: Machine,
  random: SimRandom,
  how: 'kill' | 'powerCut',
  where?: (effect: string) => boolean,
): () => void {
  const { process } = machine;
  if (!process?.alive) return () => world.bringUp(machine);
  process.doom = {
    atEffect: process.effects + 1 + (where ? 0 : random.below(200)),
    ...(where && { where }),
    applied: random.chance(0.5),
    ended: () => world.bringDown(machine, how),
  };
  return () => {
    if (machine.process === process && process.alive) process.doom = null;
    world.bringUp(machine);
  };
}

/** What a node does seldom, each as often as the others. */
const NODE_EFFECTS = ['disk append', 'disk sync', 'disk read', 'serve node-put', 'answer node-put', 'serve node-get'];

function doomNode(world: World, random: SimRandom, how: 'kill' | 'powerCut'): () => void {
  const chosen = random.pick([...NODE_EFFECTS, null]);
  return doom(world, random.pick(world.nodes), random, how, chosen === null ? undefined : (name) => name === chosen);
}

const nothing = () => {};
const onDevice = (world: World, random: SimRandom): DeviceMachine => random.pick(world.devices);
const onAny = (world: World, random: SimRandom): Machine => random.pick(world.machines);

export const faults: readonly Fault[] = [
  { name: 'kill device', weight: 3, begin: (world, random) => downFor(world, onDevice(world, random), 'kill') },
  { name: 'kill server', weight: 2, begin: (world) => downFor(world, world.server, 'kill') },
  { name: 'kill node', weight: 2, begin: (world, random) => downFor(world, random.pick(world.nodes), 'kill') },
  {
    name: 'kill device at an effect',
    weight: 6,
    begin: (world, random) => doom(world, onDevice(world, random), random, 'kill'),
  },
  {
    name: 'kill device that parks',
    // Another person acts than the one who works alone.
    endsExactness: true,
    weight: 2,
    begin: (world, random) => {
      const device = onDevice(world, random);
      const other = random.pick(world.devices.filter((one) => one !== device));
      const drawn = new SimRandom(`${random.below(2 ** 32)}`);
      other.swap(drawn);
      return doom(world, device, random, 'kill', (effect) => effect === 'folder apply' && device.isParking());
    },
  },
  { name: 'kill server at an effect', weight: 5, begin: (world, random) => doom(world, world.server, random, 'kill') },
  { name: 'kill node at an effect', weight: 4, begin: (world, random) => doomNode(world, random, 'kill') },
  {
    name: 'power cut of device',
    endsExactness: true,
    weight: 3,
    begin: (world, random) => downFor(world, onDevice(world, random), 'powerCut'),
  },
  { name: 'power cut of server', weight: 2, begin: (world) => downFor(world, world.server, 'powerCut') },
  {
    name: 'power cut of node',
    weight: 2,
    begin: (world, random) => downFor(world, random.pick(world.nodes), 'powerCut'),
  },
  {
    name: 'power cut of device at an effect',
    endsExactness: true,
    weight: 3,
    begin: (world, random) => doom(world, onDevice(world, random), random, 'powerCut'),
  },
  {
    name: 'power cut of server at an effect',
    weight: 2,
    begin: (world, random) => doom(world, world.server, random, 'powerCut'),
  },
  { name: 'power cut of node at an effect', weight: 3, begin: (world, random) => doomNode(world, random, 'powerCut') },
  {
    name: 'stopped process',
    weight: 2,
    begin: (world, random) => {
      const { process } = onAny(world, random);
      if (process) process.stoppedUntilMs = world.scheduler.nowMs + 1000 + random.below(30_000);
      return () => {
        if (process) process.stoppedUntilMs = 0;
      };
    },
  },
  {
    name: 'bad weather',
    weight: 4,
    begin: (world, random) => {
      world.net.weather = {
        loss: random.pick([0, 0.02, 0.1, 0.3, 0.6]),
        repeat: random.pick([0, 0.1, 0.3]),
        delayMsMax: random.pick([2, 50, 500, 3000]),
        damage: random.pick([0, 0, 0.05, 0.3]),
      };
      return () => world.calm();
    },
  },
  {
    name: 'device cut off',
    weight: 2,
    begin: (world, random) => cutOff(world, onDevice(world, random).name, 'https://server:12345', random),
  },
  {
    name: 'node cut off',
    weight: 2,
    begin: (world, random) => cutOff(world, 'server', random.pick(world.nodes).address, random),
  },
  {
    name: 'wall clock set',
    weight: 2,
    begin: (world, random) => {
      const machine = onAny(world, random);
      machine.wall.aheadMs += random.pick([-10 * YEAR_MS, -HOUR_MS, -1000, 1000, HOUR_MS, 10 * YEAR_MS]);
      return random.chance(0.5) ? nothing : () => void (machine.wall.aheadMs = 0);
    },
  },
  {
    name: 'node disk errors',
    weight: 1,
    begin: (world, random) => {
      const node = random.pick(world.nodes);
      node.disk.faults.ioError = 0.05;
      return () => {
        node.disk.faults.ioError = 0;
        // A node that saw too many errors serves no more until somebody starts it again.
        world.bringDown(node, 'kill');
        world.bringUp(node);
      };
    },
  },
  {
    name: 'node disk full',
    weight: 1,
    begin: (world, random) => {
      const { disk } = random.pick(world.nodes);
      disk.faults.freeBytes = random.below(20_000);
      return () => void (disk.faults.freeBytes = 1e12);
    },
  },
  {
    name: 'node index lost',
    weight: 1,
    begin: (world, random) => {
      const node = random.pick(world.nodes);
      world.bringDown(node, 'kill');
      node.loseIndex();
      return () => world.bringUp(node);
    },
  },
  {
    name: 'device disk full',
    weight: 2,
    begin: (world, random) => {
      const device = onDevice(world, random);
      device.files.full = true;
      return () => void (device.files.full = false);
    },
  },
  {
    name: 'device disk errors',
    // The root that cannot be read for a moment may have been such a disk.
    endsExactness: true,
    weight: 1,
    begin: (world, random) => {
      const device = onDevice(world, random);
      device.files.errorShare = 0.05;
      return () => void (device.files.errorShare = 0);
    },
  },
  {
    name: 'hints lost',
    weight: 2,
    begin: (world, random) => poorHints(world, random, { lostOfThousand: random.pick([100, 500, 1000]) }),
  },
  {
    name: 'watches refused',
    weight: 1,
    begin: (world, random) => poorHints(world, random, { watchesMax: random.below(4) }),
  },
  {
    name: 'hints overflow',
    weight: 1,
    begin: (world, random) => poorHints(world, random, { queueMax: 1 + random.below(3) }),
  },
  {
    name: 'folder cannot be read',
    weight: 1,
    begin: (world, random) => onDevice(world, random).closeFolder(random),
  },
  {
    name: 'folder unmounted',
    // A disk that was pulled may lack what was just made, and nobody can tell that from a deletion.
    endsExactness: true,
    weight: 2,
    begin: (world, random) => {
      const device = onDevice(world, random);
      device.files.unmount();
      return () => device.files.mount();
    },
  },
  {
    name: 'client database lost',
    endsExactness: true,
    weight: 1,
    begin: (world, random) => {
      const device = onDevice(world, random);
      if (!device.files.isMounted) return nothing;
      world.bringDown(device, 'kill');
      device.loseState();
      return () => world.bringUp(device);
    },
  },
  {
    name: 'client database put back',
    endsExactness: true,
    weight: 2,
    begin: (world, random) => {
      const choosing = choosingDevice(world);
      const device = choosing && random.chance(0.8) ? choosing : onDevice(world, random);
      const image = device.copyState();
      if (image === null) return nothing;
      const { links } = device;
      // What leaves the disk meanwhile is still there by what is put back: it must not be taken for deleted.
      if (device === choosing) deselectSoon(world, device, random);
      return () => {
        // The folder has another mark by now: such a state would say that this is not its folder, and wait for a person.
        if (device.links !== links) return;
        world.bringDown(device, 'kill');
        device.putStateBack(image);
        world.bringUp(device);
      };
    },
  },
  {
    name: 'index put back',
    endsExactness: true,
    weight: 1,
    begin: (world) => {
      const image = world.server.copyIndex();
      return () => {
        world.bringDown(world.server, 'kill');
        world.server.putIndexBack(image);
        world.bringUp(world.server);
      };
    },
  },
  {
    name: 'device away for days',
    weight: 2,
    begin: (world, random) => {
      const device = onDevice(world, random);
      world.bringDown(device, 'kill');
      return () => {
        world.bringDown(world.server, 'kill');
        world.server.wall.aheadMs += 2 * DAY_MS;
        world.bringUp(world.server);
        world.scheduler.after(null, random.below(2000), 'the device is back', () => world.bringUp(device));
      };
    },
  },
];

/** For a client that is started now. */
function poorHints(world: World, random: SimRandom, hints: DeviceMachine['files']['hints']): () => void {
  const device = onDevice(world, random);
  device.files.hints = hints;
  device.kill();
  world.bringUp(device);
  return () => void (device.files.hints = {});
}

function cutOff(world: World, here: string, there: string, random: SimRandom): () => void {
  const way = random.pick(['out', 'in', 'both']);
  if (way !== 'in') world.net.cut(here, there);
  if (way !== 'out') world.net.cut(there, here);
  return () => {
    world.net.mend(here, there);
    world.net.mend(there, here);
  };
}

const deck = faults.flatMap((fault) => Array.from({ length: fault.weight }, () => fault));

export function faultNamed(name: string): Fault | null {
  return faults.find((fault) => fault.name === name) ?? null;
}

export function drawFault(random: SimRandom): Fault {
  return random.pick(deck);
}
