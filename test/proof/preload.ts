/** Loaded before the program (`NODE_OPTIONS=--import=…`) on each of its threads: where a role's module asks for a door, it gets the one that kills. */
import { registerHooks } from 'node:module';

const doors = new URL('./doors.ts', import.meta.url).href;
const REPLACED = new Set([
  '#world/real/boot.ts',
  '#world/real/sql.ts',
  '#world/real/disk.ts',
  '#world/real/folder.ts',
  '#world/real/net.ts',
  '#world/pinned-peer.ts',
  './launcher.ts',
]);

registerHooks({
  resolve: (specifier, context, next) =>
    REPLACED.has(specifier) && /\/src\/role-(server|nodes|device)\.ts$/.test(context.parentURL ?? '')
      ? { url: doors, format: 'module-typescript', shortCircuit: true }
      : next(specifier, context),
});
