// Stand-ins for a token endpoint and for the LLMs of four vendors. An LLM answers only to the token that
// was issued to its client, only to the names of models that it knows, and only to requests without the
// credentials of the gateway's clients.
//
//	node standins.mjs <file>
//
// It listens on free ports of the loopback interface and then writes their addresses into the file, as
// variables of a shell: TOKEN_URL, OPENAI_URL, AZURE_URL, GOOGLE_URL, ANTHROPIC_URL, and in GATEWAY an
// address that is free.
import { randomUUID } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import * as vendors from "./vendors.mjs";

// The tokens that were issued, by client.
const tokens = new Map(Object.keys(vendors).map((client) => [client, []]));

async function issueToken({ body }) {
	const form = new URLSearchParams(body.toString());
	const client = form.get("client_id");
	if (form.get("grant_type") !== "client_credentials" || !tokens.has(client) || form.get("client_secret") !== `${client}-secret`) {
		return { status: 401, body: { error: "invalid_client" } };
	}
	const token = randomUUID();
	tokens.get(client).push(token);
	return { status: 200, body: { access_token: token, token_type: "Bearer", expires_in: 3600 } };
}

const clientCredentials = ["api-key", "x-api-key", "x-goog-api-key"];

async function answerAs(vendor, request) {
	const [scheme, token] = (request.headers.authorization ?? "").split(" ");
	if (scheme !== "Bearer" || !tokens.get(vendor).includes(token)) {
		return { status: 401, body: { error: { message: "this token was not issued here" } } };
	}
	const leaked = clientCredentials.find((name) => name in request.headers);
	if (leaked || request.url.searchParams.has("key")) {
		return { status: 400, body: { error: { message: `a credential of the gateway's client came along: ${leaked ?? "key"}` } } };
	}
	const unknown = { status: 404, body: { error: { message: `unknown here: ${request.method} ${request.url.pathname}` } } };
	return (await vendors[vendor](request)) ?? unknown;
}

const unreadable = (error) => ({ status: 400, body: { error: { message: `cannot be read: ${error.message}` } } });

// listen serves what answer makes of a request, and gives the address.
async function listen(answer) {
	const server = createServer(async (request, response) => {
		const parts = [];
		for await (const part of request) parts.push(part);
		const { method, headers } = request;
		const asked = { method, headers, url: new URL(request.url, "http://llm"), body: Buffer.concat(parts) };
		const { status, body, events } = await answer(asked).catch(unreadable);
		response.writeHead(status, { "content-type": events ? "text/event-stream" : "application/json" });
		for (const event of events ?? []) response.write(event);
		response.end(body === undefined ? undefined : JSON.stringify(body));
	});
	await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
	return { server, address: `127.0.0.1:${server.address().port}` };
}

const lines = [`TOKEN_URL=http://${(await listen(issueToken)).address}/token`];
for (const vendor of Object.keys(vendors)) {
	const { address } = await listen((request) => answerAs(vendor, request));
	lines.push(`${vendor.toUpperCase()}_URL=http://${address}`);
}
const free = await listen(async () => ({ status: 503 }));
await new Promise((closed) => free.server.close(closed));
lines.push(`GATEWAY=${free.address}`);

// The file is there only when it is complete.
const file = process.argv[2];
writeFileSync(`${file}.part`, lines.join("\n") + "\n");
renameSync(`${file}.part`, file);
