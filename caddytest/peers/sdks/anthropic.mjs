// The Anthropic SDK.
import { assert, check, collect, gateway, refused } from "./check.mjs";
import Anthropic from "@anthropic-ai/sdk";

const ask = (model) => ({ model, max_tokens: 64, messages: [{ role: "user", content: "Say hi" }] });
const key = "key-for-one-claude-model";
const clientWith = (credential) => new Anthropic({ baseURL: gateway, apiKey: null, authToken: null, ...credential });

for (const [name, credential] of [["apiKey", { apiKey: key }], ["authToken", { authToken: key }]]) {
	const client = clientWith(credential);
	await check(`Anthropic: messages (${name})`, async () => {
		const answer = await client.messages.create(ask("claude/small"));
		assert.equal(answer.content[0].text, "Hello from anthropic");
	});
	await check(`Anthropic: messages, streamed (${name})`, async () => {
		const stream = await client.messages.create({ ...ask("claude/small"), stream: true });
		assert.equal(await collect(stream, (event) => event.delta?.text), "Hello from anthropic");
	});
	await check(`Anthropic: count_tokens (${name})`, async () => {
		const { max_tokens: _, ...question } = ask("claude/small");
		assert.equal((await client.messages.countTokens(question)).input_tokens, 3);
	});
}

const client = clientWith({ apiKey: key });

await check("Anthropic: models are those of the key", async () => {
	const { data } = await client.models.list();
	assert.deepEqual(data.map((model) => [model.id, model.type]), [["claude/small", "model"]]);
});
await refused("Anthropic: a wrong apiKey ends at once", 401, "invalid_api_key", () =>
	clientWith({ apiKey: "wrong" }).messages.create(ask("claude/small")));
await refused("Anthropic: a wrong authToken ends at once", 401, "invalid_api_key", () =>
	clientWith({ authToken: "wrong" }).messages.create(ask("claude/small")));
await refused("Anthropic: a model that the key may not use", 403, "model_not_allowed", () =>
	client.messages.create(ask("claude/large")));
await refused("Anthropic: a refused token request ends at once", 502, "invalid_client", () =>
	clientWith({ apiKey: "key-for-everything" }).messages.create(ask("broken/small")));
