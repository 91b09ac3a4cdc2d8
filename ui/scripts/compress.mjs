// Lays a Brotli form beside each file that gains by it; the controller answers with that where a browser takes it.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";

const dist = new URL("../dist/", import.meta.url);
for (const file of readdirSync(dist, { recursive: true })) {
  if (!/\.(js|css|html|svg|json)$/.test(file)) continue;
  const plain = readFileSync(new URL(file, dist));
  const packed = brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } });
  if (packed.length < plain.length * 0.9) writeFileSync(new URL(`${file}.br`, dist), packed);
}
