// Ask a server about pictures:  node classify.mjs URL PICTURE...
//
// URL is that of the model, on `tl-app serve` or TensorFlow Serving alike, such as
// http://127.0.0.1:8501/v1/models/flowers. Where a token is wanted, it is taken from TL_APP_TOKEN; a
// server with a certificate of its own: NODE_EXTRA_CA_CERTS=cert.pem. Prints one line a picture:
// file, label, probability.
// `predict` runs in a browser as well, given base64 strings.
import { readFile } from "node:fs/promises";

export async function predict(url, encoded, token) {
  const address = url.replace(/\/$/, "").replace(/:predict$/, "");
  const response = await fetch(`${address}:predict`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
    },
    body: JSON.stringify({ instances: encoded.map((b64) => ({ b64 })) }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer.predictions;
}

const [url, ...pictures] = process.argv.slice(2);
try {
  if (!pictures.length) throw new Error("usage: node classify.mjs URL PICTURE...");
  const encoded = await Promise.all(
    pictures.map(async (path) => (await readFile(path)).toString("base64")),
  );
  const rows = await predict(url, encoded, process.env.TL_APP_TOKEN);
  rows.forEach((row, i) => {
    const best = row.status === "ok" ? [row.labels[0], row.probabilities[0].toFixed(4)] : ["unusable", ""];
    console.log([pictures[i], ...best].join("\t"));
  });
} catch (error) {
  console.error([error.message, error.cause?.message].filter(Boolean).join(": "));
  process.exitCode = 1;
}
