// Figures of one sitting beside each other: the median of the rounds, Shipway first, and whether the machine was quiet.
import { readFileSync } from "node:fs";

const lines = readFileSync(process.argv[2], "utf8").split("\n").filter((line) => line.startsWith("{"));
const figures = lines.map((line) => JSON.parse(line));

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const shown = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2));

const who = (figure) => figure.peer ?? `shipway (${figure.mode})`;
const columns = [...new Set(figures.map(who))].sort((a, b) => b.startsWith("shipway") - a.startsWith("shipway"));
const metrics = [...new Set(figures.map((figure) => figure.metric))].filter((metric) => !metric.startsWith("floor."));
const values = (column, metric) =>
  figures.filter((figure) => who(figure) === column && figure.metric === metric).map((figure) => figure.value);

const rows = [["", "unit", ...columns]];
for (const metric of metrics) {
  const cells = columns.map((column) => values(column, metric));
  // A figure that only one side has is beside nothing.
  if (cells.filter((cell) => cell.length > 0).length < 2 && !metric.startsWith("W")) continue;
  const unit = figures.find((figure) => figure.metric === metric).unit;
  rows.push([metric, unit, ...cells.map((cell) => (cell.length ? shown(median(cell)) : "–"))]);
}
const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
for (const row of rows) {
  console.log(row.map((cell, n) => (n < 2 ? cell.padEnd(widths[n]) : cell.padStart(widths[n]))).join("  ").trimEnd());
}

// Figures are worth comparing only where the machine did the same work in the same time throughout.
console.log("\nthe machine, in every probe of the sitting:");
for (const metric of [...new Set(figures.map((figure) => figure.metric))].filter((name) => name.startsWith("floor."))) {
  const probes = figures.filter((figure) => figure.metric === metric).map((figure) => figure.value);
  console.log(`  ${metric.padEnd(28)} ${shown(Math.min(...probes))} to ${shown(Math.max(...probes))}`);
}
const syncs = figures.filter((figure) => figure.metric === "floor.fdatasync_p50").map((figure) => figure.value);
const quiet = syncs.length > 0 && Math.max(...syncs) <= 0.5;
console.log(quiet ? "quiet: the figures may be compared" : "NOT QUIET (a sync took over 0.5 ms): do not compare these figures");
