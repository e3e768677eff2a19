/** `npm run sim:scale`: how Holdfast's layouts do from 3 to 3,000 nodes. The figures of docs/scale.md. */
import { parseArgs } from 'node:util';
import { runCase, type Case } from './case.ts';
import { changesTable, balanceTable, lossTable, repairTable } from './tables.ts';

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '3,5,10,20,50,100,300,1000,3000' },
    copies: { type: 'string', default: '1,2,3' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
});

const numbersOf = (text: string, most: number): readonly number[] =>
  text.split(',').map((part) => {
    const number = Number(part);
    if (!Number.isInteger(number) || number < 1 || number > most)
      throw new Error(`not a number from 1 to ${most}: ${part}`);
    return number;
  });

const cases: Case[] = [];
for (const kind of ['hosts', 'sites'] as const)
  for (const nodes of numbersOf(values.nodes, 4000))
    for (const copies of numbersOf(values.copies, 3)) {
      cases.push(runCase({ seed: values.seed, nodes, kind, copies }));
      if (values.json) console.log(JSON.stringify(cases.at(-1)));
      else process.stderr.write(`${kind} ${nodes} x ${copies}\n`);
    }
if (!values.json)
  console.log([balanceTable, changesTable, repairTable, lossTable].map((table) => table(cases)).join('\n\n'));
