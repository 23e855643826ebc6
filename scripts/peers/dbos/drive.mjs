// DBOS: workflows and their steps run in this process and are recorded in PostgreSQL ("step": nothing is dispatched).
import { DBOS } from "@dbos-inc/dbos-sdk";
import { fib, measure } from "../measure.mjs";

const numbers = (nodes) => Array.from({ length: nodes }, (_, number) => number);
const step = (number, work) => DBOS.runStep(async () => work(), { name: `n${number}` });

const sequence = DBOS.registerWorkflow(
  async (nodes) => {
    for (const number of numbers(nodes)) await step(number, () => number);
  },
  { name: "sequence" },
);
const parallel = DBOS.registerWorkflow(
  async (nodes) => {
    await Promise.all(numbers(nodes).map((number) => step(number, () => number)));
  },
  { name: "parallel" },
);
const computing = DBOS.registerWorkflow(
  async (nodes, n) => {
    for (const number of numbers(nodes)) await step(number, () => fib(n));
  },
  { name: "computing" },
);

const started = performance.now();
DBOS.setConfig({
  name: "bench",
  systemDatabaseUrl: process.env.DATABASE_URL,
  logLevel: "error",
  runAdminServer: false,
});
await DBOS.launch();
const ready = { peer: "dbos step", metric: "W6.ready", stat: "one", value: performance.now() - started, unit: "ms" };
const only = process.argv[2].split(",");
if (only.includes("W6")) console.log(JSON.stringify(ready));
// A workflow that is called as a method takes the object for an instance of its own.
await measure("dbos step", only, {
  sequence: (nodes) => sequence(nodes),
  parallel: (nodes) => parallel(nodes),
  computing: (nodes, n) => computing(nodes, n),
});
await DBOS.shutdown();
process.exit(0);
