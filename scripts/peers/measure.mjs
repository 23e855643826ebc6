// The workloads of `shipway bench`, driven against a peer: the same shapes, counts and figures, one JSON line each.

const seconds = (milliseconds) => milliseconds / 1000;

const timed = async (work) => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

/** The value below which `share` of the samples lie. */
const percentile = (samples, share) => {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.round((sorted.length - 1) * share)];
};

/** What W4's nodes compute. */
export const fib = (n) => (n <= 1 ? n : fib(n - 1) + fib(n - 2));

/**
 * Runs the wanted workloads.
 *
 * @param {string} peer who is measured, with the unit of work: `restate call`
 * @param {string[]} only the wanted workloads
 * @param {{sequence: (nodes: number) => Promise<unknown>, parallel: (nodes: number) => Promise<unknown>,
 *   computing: (nodes: number, n: number) => Promise<unknown>}} runs one run of so many nodes, awaited to its end
 */
export async function measure(peer, only, runs) {
  const figure = (metric, stat, value, unit) =>
    console.log(JSON.stringify({ peer, metric, stat, value: Math.round(value * 1000) / 1000, unit }));
  const several = async (times, work) => {
    const samples = [];
    for (let n = 0; n < times; n++) samples.push(await timed(work));
    return samples;
  };

  if (only.includes("W1")) {
    await several(10, () => runs.sequence(10));
    const samples = await several(200, () => runs.sequence(10));
    figure("W1.per_node", "p50", percentile(samples, 0.5) / 10, "ms");
    figure("W1.p99_over_p50", "ratio", percentile(samples, 0.99) / percentile(samples, 0.5), "");
  }
  if (only.includes("W2")) {
    let left = 1000;
    const client = async () => {
      while (left-- > 0) await runs.sequence(10);
    };
    const wall = await timed(() => Promise.all(Array.from({ length: 100 }, client)));
    figure("W2.nodes_per_s", "mean", 10_000 / seconds(wall), "nodes/s");
  }
  if (only.includes("W3")) {
    for (const nodes of [100, 1000]) {
      const samples = await several(7, () => runs.parallel(nodes));
      figure(`W3.wall_${nodes}`, "p50", percentile(samples, 0.5), "ms");
    }
  }
  if (only.includes("W4")) {
    figure("W4.light", "one", await timed(() => runs.computing(40, 10)), "ms");
    const bare = await timed(async () => {
      for (let n = 0; n < 10; n++) fib(33);
    });
    const long = await timed(() => runs.computing(10, 33));
    figure("W4.long", "one", long, "ms");
    figure("W4.long_overhead", "share", Math.max(long - bare, 0) / bare, "");
  }
  if (only.includes("GROW")) {
    for (const nodes of [1, 10, 100, 1000]) {
      const samples = await several(nodes >= 1000 ? 3 : 10, () => runs.sequence(nodes));
      figure(`GROW.per_node_${nodes}`, "p50", percentile(samples, 0.5) / nodes, "ms");
    }
  }
}
