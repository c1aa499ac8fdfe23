// What parsers of Node read as the model of the requests in verdicts.json.
//
// To verify what is recorded there, in a temporary folder:
//
//	npm install body-parser@1 busboy@1 formidable@3 undici@6
//	node <repository>/llm/testdata/verdicts.mjs
//
// With --record the verdicts are written instead. verdicts.py does the same for Python.
// A verdict is the list of all the strings that a parser reads as `model`; null stands for
// a request that it refuses, and for one without a string of this name.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Readable, Writable } from 'node:stream';

const require = createRequire(process.cwd() + '/');
const bodyParser = require('body-parser');
const busboy = require('busboy');
const { formidable } = require('formidable');
const undici = require('undici');

const file = new URL('verdicts.json', import.meta.url);
const record = process.argv.includes('--record');

// bytes is the body of a request.
function bytes(request) {
  if (request.base64 !== undefined) return Buffer.from(request.base64, 'base64');
  return Buffer.from((request.text ?? '') + (request.prefix ?? '') + (request.repeat ?? '').repeat(request.count ?? 0) + (request.suffix ?? ''));
}

// incoming is a request as an HTTP server of Node hands it out: of several fields the first.
function incoming(request) {
  const body = bytes(request);
  const headers = { 'content-length': String(body.length) };
  if (request.contentType.length > 0) headers['content-type'] = request.contentType[0];
  return Object.assign(Readable.from(body.length > 0 ? [body] : []), { headers, method: 'POST', url: '/' });
}

const modelOf = (value) => (value !== null && typeof value === 'object' && !Array.isArray(value) && typeof value.model === 'string' ? [value.model] : []);

// parsed is what one of body-parser's parsers reads.
const parsed = (parser) => (request) =>
  new Promise((resolve, reject) => {
    const req = incoming(request);
    parser(req, {}, (err) => (err ? reject(err) : resolve(modelOf(req.body))));
  });

const parsers = {
  'JSON.parse': (request) => modelOf(JSON.parse(new TextDecoder('utf-8').decode(bytes(request)))),
  'body-parser json': parsed(bodyParser.json({ type: () => true, limit: '10mb' })),
  'body-parser urlencoded': parsed(bodyParser.urlencoded({ extended: true })),
  busboy: (request) =>
    new Promise((resolve, reject) => {
      const models = [];
      const parser = busboy({ headers: incoming(request).headers });
      parser.on('field', (name, value) => name === 'model' && typeof value === 'string' && models.push(value));
      parser.on('file', (name, stream) => stream.resume());
      parser.on('error', reject);
      parser.on('close', () => resolve(models));
      parser.end(bytes(request));
    }),
  formidable: async (request) => {
    const form = formidable({ allowEmptyFiles: true, minFileSize: 0, fileWriteStreamHandler: () => new Writable({ write: (chunk, encoding, done) => done() }) });
    const [fields] = await form.parse(incoming(request));
    return [fields.model ?? []].flat().filter((value) => typeof value === 'string');
  },
  undici: async (request) => {
    const headers = request.contentType.map((value) => ['content-type', value]);
    const fields = await new undici.Response(bytes(request), { headers }).formData();
    return fields.getAll('model').filter((value) => typeof value === 'string');
  },
};

// verdict is what a parser reads; one that waits for ever refuses.
async function verdict(parse, request) {
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, 500, [])));
  try {
    const models = await Promise.race([(async () => parse(request))(), late]);
    return models.length > 0 ? models : null;
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

// What parsers throw behind their callers' backs is a refusal, too.
process.on('uncaughtException', () => {});
process.on('unhandledRejection', () => {});

const content = JSON.parse(readFileSync(file, 'utf8'));
let wrong = 0;
for (const request of content.requests) {
  for (const [name, parse] of Object.entries(parsers)) {
    const read = await verdict(parse, request);
    if (record) (request.read ??= {})[name] = read;
    else if (JSON.stringify(request.read?.[name]) !== JSON.stringify(read)) {
      wrong++;
      console.log(`${request.name}: ${name} reads ${JSON.stringify(read)}, recorded is ${JSON.stringify(request.read?.[name])}`);
    }
  }
}
if (record) writeFileSync(file, JSON.stringify(content, null, 1) + '\n');
console.log(`${content.requests.length} requests, ${Object.keys(parsers).length} parsers, ${record ? 'recorded' : wrong + ' verdicts differ'}`);
process.exit(wrong > 0 ? 1 : 0);
