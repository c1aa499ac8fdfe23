// The OpenAI SDK, for OpenAI and for Azure.
import { assert, check, collect, gateway, refused } from "./check.mjs";
import OpenAI, { AzureOpenAI, toFile } from "openai";

const messages = [{ role: "user", content: "Say hi" }];
const textOf = (chunk) => chunk.choices[0]?.delta.content;
const idsOf = async (client) => (await client.models.list()).data.map((model) => model.id);

const client = new OpenAI({ baseURL: `${gateway}/v1`, apiKey: "key-for-everything" });

await check("OpenAI: chat", async () => {
	const answer = await client.chat.completions.create({ model: "corp/small", messages });
	assert.equal(answer.choices[0].message.content, "Hello from openai");
});
await check("OpenAI: chat, streamed", async () => {
	const stream = await client.chat.completions.create({ model: "corp/small", messages, stream: true });
	assert.equal(await collect(stream, textOf), "Hello from openai");
});
await check("OpenAI: responses", async () => {
	const answer = await client.responses.create({ model: "corp/small", input: "Say hi" });
	assert.equal(answer.output_text, "Hello from openai");
});
await check("OpenAI: transcriptions", async () => {
	const answer = await client.audio.transcriptions.create({ model: "corp/ears", file: await toFile(Buffer.from("RIFF"), "hi.wav") });
	assert.equal(answer.text, "Hello from openai");
});
await check("OpenAI: embeddings", async () => {
	const answer = await client.embeddings.create({ model: "corp/vectors", input: "hi" });
	assert.deepEqual(answer.data[0].embedding, [0.5, -0.25]);
});
await check("OpenAI: models", async () => {
	const ids = await idsOf(client);
	for (const id of ["corp/small", "azure_prod/large", "gemini/flash", "claude/small"]) assert.ok(ids.includes(id), `${id} must be listed`);
});
await refused("OpenAI: a wrong key ends at once", 401, "invalid_api_key", () =>
	new OpenAI({ baseURL: `${gateway}/v1`, apiKey: "wrong" }).chat.completions.create({ model: "corp/small", messages }));
await refused("OpenAI: an unknown model ends at once", 404, "model_not_found", () =>
	client.chat.completions.create({ model: "corp/unknown", messages }));
await refused("OpenAI: a refused token request ends at once", 502, "invalid_client", () =>
	client.chat.completions.create({ model: "broken/small", messages }));

const azureClient = (apiKey, options) => new AzureOpenAI({ endpoint: gateway, apiVersion: "2024-10-21", apiKey, ...options });
const oneDeployment = "key-for-one-deployment";
const oneModel = "key-for-one-azure-model";

// Each way to name a deployment, with keys that may use one model.
const named = azureClient(oneDeployment, { deployment: "azure_prod/small" });
const inURL = azureClient(oneDeployment, { endpoint: undefined, baseURL: `${gateway}/openai/deployments/azure_prod/small` });
const azure = azureClient(oneModel);
const deployments = [
	["azure_prod, model in the call", azureClient(oneDeployment), "azure_prod/small"],
	["azure_prod, deployment", named, "azure_prod/small"],
	["azure_prod, deployment and the model behind it", named, "gpt-4o-mini"],
	["azure_prod, deployment in the URL with a plain slash", inURL, ""],
	["azure_v1, model in the call", azure, "azure_v1/small"],
	["azure_v1, deployment", azureClient(oneModel, { deployment: "azure_v1/small" }), "azure_v1/small"],
];
for (const [name, client, model] of deployments) {
	await check(`AzureOpenAI: chat (${name})`, async () => {
		const answer = await client.chat.completions.create({ model, messages });
		assert.equal(answer.choices[0].message.content, "Hello from azure");
	});
	await check(`AzureOpenAI: chat, streamed (${name})`, async () => {
		const stream = await client.chat.completions.create({ model, messages, stream: true });
		assert.equal(await collect(stream, textOf), "Hello from azure");
	});
}

await check("AzureOpenAI: responses (azure_v1)", async () => {
	const answer = await azure.responses.create({ model: "azure_v1/small", input: "Say hi" });
	assert.equal(answer.output_text, "Hello from azure");
});
await check("AzureOpenAI: transcriptions", async () => {
	const ears = azureClient("key-for-one-transcriber", { deployment: "azure_prod/ears" });
	const answer = await ears.audio.transcriptions.create({ model: "", file: await toFile(Buffer.from("RIFF"), "hi.wav") });
	assert.equal(answer.text, "Hello from azure");
});
await check("AzureOpenAI: models are those of the key", async () => {
	assert.deepEqual(await idsOf(azure), ["azure_v1/small"]);
});
await refused("AzureOpenAI: a wrong key ends at once", 401, "invalid_api_key", () =>
	azureClient("wrong").chat.completions.create({ model: "azure_prod/small", messages }));
await refused("AzureOpenAI: a model that the key may not use", 403, "model_not_allowed", () =>
	azureClient(oneDeployment).chat.completions.create({ model: "azure_prod/large", messages }));
await refused("AzureOpenAI: a deployment that the key may not use", 403, "model_not_allowed", () =>
	azureClient(oneDeployment, { deployment: "azure_prod/large" }).chat.completions.create({ model: "azure_prod/small", messages }));
