// Sends the uploads of early_answers.cases to a gateway, with node's http module
// and with fetch, each with a length and in chunks, and counts the answers that
// are lost:
//
//	node early_answers.mjs http://127.0.0.1:8080
import { readFileSync } from 'node:fs';
import http from 'node:http';

const gateway = process.argv[2];
const tries = Number(process.env.TRIES ?? 20);
const cases = readFileSync(new URL('early_answers.cases', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line && !line.startsWith('#'))
  .map((line) => line.split(/\s+/))
  .map(([status, bytes, path, key, encoding]) => {
    const headers = { 'Content-Type': 'application/json' };
    if (key !== '-') headers.Authorization = `Bearer ${key}`;
    if (encoding !== '-') headers['Content-Encoding'] = encoding;
    return { status: Number(status), bytes: Number(bytes), path, headers };
  });

function body(bytes) {
  const begin = '{"model":"corp/m","x":"';
  return Buffer.from(begin + 'x'.repeat(bytes - begin.length - 2) + '"}');
}

function* pieces(whole) {
  for (let at = 0; at < whole.length; at += 65536) yield whole.subarray(at, at + 65536);
}

function viaHTTP(test, whole, chunked) {
  return new Promise((resolve, reject) => {
    const headers = chunked ? test.headers : { ...test.headers, 'Content-Length': whole.length };
    const request = http.request(gateway + test.path, { method: 'POST', headers, agent }, (response) => {
      response.on('data', () => {});
      response.on('end', () => resolve(response.statusCode));
      response.on('error', reject);
    });
    request.on('error', reject);
    if (chunked) for (const piece of pieces(whole)) request.write(piece);
    request.end(chunked ? undefined : whole);
  });
}

async function viaFetch(test, whole, chunked) {
  const response = await fetch(gateway + test.path, {
    method: 'POST',
    headers: test.headers,
    ...(chunked ? { body: ReadableStream.from(pieces(whole)), duplex: 'half' } : { body: whole }),
  });
  await response.arrayBuffer();
  return response.status;
}

const agent = new http.Agent({ keepAlive: true });
let failed = false;
for (const test of cases) {
  const whole = body(test.bytes);
  for (const [client, send] of Object.entries({ 'node http': viaHTTP, 'node fetch': viaFetch })) {
    for (const chunked of [false, true]) {
      const faults = [];
      for (let i = 0; i < tries; i++) {
        try {
          const status = await send(test, whole, chunked);
          if (status !== test.status) faults.push(`status ${status}`);
        } catch (error) {
          faults.push(error.cause?.code ?? error.code ?? error.message);
        }
      }
      failed ||= faults.length > 0;
      console.log(
        `${client}, ${test.path}, ${test.status} at ${test.bytes} bytes, ${chunked ? 'in chunks' : 'with a length'}: ` +
          `lost ${faults.length} of ${tries}${faults.length ? ` (${faults[0]})` : ''}`,
      );
    }
  }
}
process.exit(failed ? 1 : 0);
