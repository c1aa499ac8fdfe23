// The SDK of the Gemini API.
import { assert, check, collect, gateway, refused } from "./check.mjs";
import { GoogleGenAI } from "@google/genai";

const clientWith = (apiKey, options) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: gateway }, ...options });
const client = clientWith("key-for-one-gemini-model");

// The SDK puts a name into the path as it is, behind "models/" unless it begins so.
const ways = [
	["gemini/flash", client, "gemini/flash"],
	["models/gemini/flash", client, "models/gemini/flash"],
	["escaped slash", client, "gemini%2Fflash"],
	["v1beta", clientWith("key-for-one-gemini-model", { apiVersion: "v1beta" }), "gemini/flash"],
];
for (const [name, { models }, model] of ways) {
	await check(`Google: generateContent (${name})`, async () => {
		const answer = await models.generateContent({ model, contents: "Say hi" });
		assert.equal(answer.text, "Hello from google");
	});
	await check(`Google: generateContentStream (${name})`, async () => {
		const stream = await models.generateContentStream({ model, contents: "Say hi" });
		assert.equal(await collect(stream, (chunk) => chunk.text), "Hello from google");
	});
	await check(`Google: countTokens (${name})`, async () => {
		const answer = await models.countTokens({ model, contents: "Say hi" });
		assert.equal(answer.totalTokens, 3);
	});
}
await refused("Google: a wrong key ends at once", 401, "invalid_api_key", () =>
	clientWith("wrong").models.generateContent({ model: "gemini/flash", contents: "Say hi" }));
await refused("Google: a model that the key may not use", 403, "model_not_allowed", () =>
	client.models.generateContent({ model: "gemini/pro", contents: "Say hi" }));
