// Restate's side: a node is a call of a service of its own ("call": what a dispatched node of Shipway is), or a step that
// is journalled in the handler that runs it ("run": lighter, nothing is dispatched).
import http2 from "node:http2";
import { fib } from "../measure.mjs";

// The SDK uses it, and Node has it from version 22 on.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
};
const restate = await import("@restatedev/restate-sdk");

const node = restate.service({
  name: "Node",
  handlers: {
    noop: async (_context, number) => number,
    fib: async (_context, n) => fib(n),
    ingest: async () => 0,
  },
});

const numbers = (nodes) => Array.from({ length: nodes }, (_, number) => number);
const all = (promises) => restate.RestatePromise.all(promises);

const runs = restate.service({
  name: "Runs",
  handlers: {
    sequenceRun: async (context, { nodes }) => {
      for (const number of numbers(nodes)) await context.run(`n${number}`, () => number);
    },
    sequenceCall: async (context, { nodes }) => {
      for (const number of numbers(nodes)) await context.serviceClient(node).noop(number);
    },
    parallelRun: async (context, { nodes }) => {
      await all(numbers(nodes).map((number) => context.run(`n${number}`, () => number)));
    },
    parallelCall: async (context, { nodes }) => {
      await all(numbers(nodes).map((number) => context.serviceClient(node).noop(number)));
    },
    computingRun: async (context, { nodes, n }) => {
      for (const number of numbers(nodes)) await context.run(`n${number}`, () => fib(n));
    },
    computingCall: async (context, { nodes, n }) => {
      for (const _ of numbers(nodes)) await context.serviceClient(node).fib(n);
    },
  },
});

const server = http2.createServer(restate.createEndpointHandler({ services: [node, runs] }));
server.listen(Number(process.env.SERVICE_PORT), "127.0.0.1");
