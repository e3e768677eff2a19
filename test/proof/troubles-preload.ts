/** Loaded before the program (`NODE_OPTIONS=--import=…`): the server's way to a node leads over a line of the test's, a node's disk may be slow. */
import { registerHooks } from 'node:module';

const troubles = new URL('./troubles.ts', import.meta.url).href;
const REPLACED: Readonly<Record<string, string>> = { '#world/real/net.ts': 'server', '#world/real/disk.ts': 'nodes' };

registerHooks({
  resolve: (specifier, context, next) => {
    const role = REPLACED[specifier];
    return role && context.parentURL?.endsWith(`/src/role-${role}.ts`)
      ? { url: troubles, format: 'module-typescript', shortCircuit: true }
      : next(specifier, context);
  },
});
