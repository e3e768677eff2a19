/** Plants the bug that `HOLDFAST_PLANT` names: for `node --import`. */
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { plants } from './plants.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const name = process.env['HOLDFAST_PLANT'];
const plant = plants.find((known) => known.name === name);
if (!plant) throw new Error(`there is no bug to plant that is called "${name}"`);

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    const edits = plant.edits.filter(({ file }) => url === `file://${root}${file}`);
    if (edits.length === 0) return loaded;
    let source = String(loaded.source instanceof Uint8Array ? new TextDecoder().decode(loaded.source) : loaded.source);
    for (const { find, put } of edits) source = source.replace(find, () => put);
    return { ...loaded, source };
  },
});
