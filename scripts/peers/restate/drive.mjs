// The client's side of the Restate measurement: runs are asked for and awaited over HTTP.
import http from "node:http";
import { measure } from "../measure.mjs";

const agent = new http.Agent({ keepAlive: true, maxSockets: 100 });

const call = (handler, body) =>
  new Promise((resolve, reject) => {
    const data = JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(data) };
    const options = { host: "127.0.0.1", port: Number(process.env.INGRESS_PORT), agent, method: "POST", headers };
    const request = http.request({ ...options, path: `/Runs/${handler}` }, (answer) => {
      let text = "";
      answer.on("data", (chunk) => (text += chunk));
      answer.on("end", () =>
        answer.statusCode < 300 ? resolve(text) : reject(new Error(`${handler}: ${answer.statusCode} ${text}`)));
    });
    request.on("error", reject);
    request.end(data);
  });

const only = process.argv[2].split(",");
for (const unit of ["Call", "Run"]) {
  await measure(`restate ${unit.toLowerCase()}`, only, {
    sequence: (nodes) => call(`sequence${unit}`, { nodes }),
    parallel: (nodes) => call(`parallel${unit}`, { nodes }),
    computing: (nodes, n) => call(`computing${unit}`, { nodes, n }),
  });
}
agent.destroy();
