import { holdfast } from './holdfast.ts';
import { rsync, rsyncFsync } from './rsync.ts';
import { syncthing } from './syncthing.ts';
import type { System } from './system.ts';

export const systems: readonly System[] = [holdfast, syncthing, rsync, rsyncFsync];
