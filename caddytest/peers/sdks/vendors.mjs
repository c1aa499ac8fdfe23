// What the LLM of each vendor answers, in the vendor's shape. A function returns undefined for a request
// that its vendor does not know: another path, method or model. Each is exported under the name of the
// client to which its tokens are issued.

const json = (body) => ({ status: 200, body });
const stream = (...events) => ({ status: 200, events });
const data = (body) => `data: ${JSON.stringify(body)}\n\n`;
const named = (body) => `event: ${body.type}\n${data(body)}`;
const words = (vendor) => ["Hello", " from ", vendor];

// openai serves the API of OpenAI below /v1.
export function openai({ method, url, headers, body }) {
	const endpoint = method === "POST" && url.pathname.startsWith("/v1/") && url.pathname.slice("/v1".length);
	return endpoint ? runOpenAI("openai", endpoint, headers, body) : undefined;
}

// azure serves the API of Azure OpenAI: the older one, where the path names a deployment and has no
// responses, and the newer one below /openai/v1.
export function azure({ method, url, headers, body }) {
	if (method !== "POST") return undefined;
	const [, deployment, endpoint] = url.pathname.match(/^\/openai\/deployments\/([^/]+)(\/.+)$/) ?? [];
	if (deployment) {
		const known = endpoint !== "/responses" && url.searchParams.getAll("api-version").join() === "2025-04-01-preview";
		return known ? runOpenAI("azure", endpoint, headers, body, deployment) : undefined;
	}
	const newer = url.pathname.startsWith("/openai/v1/") && !url.searchParams.has("api-version");
	return newer ? runOpenAI("azure", url.pathname.slice("/openai/v1".length), headers, body) : undefined;
}

// runOpenAI runs an endpoint. A deployment must be the model of the request, unless it names none.
async function runOpenAI(vendor, endpoint, headers, body, deployment) {
	const form = (headers["content-type"] ?? "").startsWith("multipart/form-data");
	const fields = form ? Object.fromEntries(await new Response(body, { headers }).formData()) : JSON.parse(body);
	const model = fields.model ?? deployment;
	if (deployment && model !== deployment) return undefined;
	const text = words(vendor).join("");
	switch (`${endpoint} ${model}`) {
		case "/chat/completions gpt-4o-mini":
			return fields.stream ? stream(...chunks(vendor, model), "data: [DONE]\n\n") : json(completion(model, text));
		case "/responses gpt-4o-mini":
			return json({
				id: "resp_1", object: "response", created_at: 1, status: "completed", model,
				output: [{
					id: "msg_1", type: "message", role: "assistant", status: "completed",
					content: [{ type: "output_text", text, annotations: [] }],
				}],
			});
		case "/embeddings text-embedding-3-small":
			return json({
				object: "list", model, data: [{ object: "embedding", index: 0, embedding: vector(fields.encoding_format) }],
				usage: { prompt_tokens: 1, total_tokens: 1 },
			});
		case "/audio/transcriptions whisper-1":
			return fields.file?.size > 0 ? json({ text }) : undefined;
	}
}

const completion = (model, content) => ({
	id: "chatcmpl-1", object: "chat.completion", created: 1, model,
	choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
	usage: { prompt_tokens: 1, completion_tokens: 3, total_tokens: 4 },
});

const chunks = (vendor, model) => words(vendor).map((content) => data({
	id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model, choices: [{ index: 0, delta: { content }, finish_reason: null }],
}));

// The SDKs ask for base64 unless they are told otherwise.
function vector(format) {
	const numbers = [0.5, -0.25];
	return format === "base64" ? Buffer.from(new Float32Array(numbers).buffer).toString("base64") : numbers;
}

// google serves both versions of the Gemini API.
export function google({ method, url }) {
	const [, model, verb] = url.pathname.match(/^\/v1(?:beta)?\/models\/([^/:]+):(\w+)$/) ?? [];
	if (method !== "POST" || model !== "gemini-2.5-flash") return undefined;
	const candidate = (text) => ({
		candidates: [{ content: { role: "model", parts: [{ text }] }, finishReason: "STOP", index: 0 }], modelVersion: model,
	});
	switch (verb) {
		case "generateContent":
			return json(candidate(words("google").join("")));
		case "streamGenerateContent":
			return url.searchParams.get("alt") === "sse" ? stream(...words("google").map((word) => data(candidate(word)))) : undefined;
		case "countTokens":
			return json({ totalTokens: 3 });
	}
}

// anthropic serves the API of Anthropic.
export function anthropic({ method, url, body }) {
	if (method !== "POST") return undefined;
	const { model, stream: streamed } = JSON.parse(body);
	if (model !== "claude-haiku-4-5") return undefined;
	if (url.pathname === "/v1/messages/count_tokens") return json({ input_tokens: 3 });
	if (url.pathname !== "/v1/messages") return undefined;
	const message = {
		id: "msg_1", type: "message", role: "assistant", model,
		stop_reason: null, stop_sequence: null, usage: { input_tokens: 1, output_tokens: 3 },
	};
	if (!streamed) return json({ ...message, stop_reason: "end_turn", content: [{ type: "text", text: words("anthropic").join("") }] });
	return stream(
		named({ type: "message_start", message: { ...message, content: [] } }),
		named({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
		...words("anthropic").map((text) => named({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })),
		named({ type: "content_block_stop", index: 0 }),
		named({ type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 3 } }),
		named({ type: "message_stop" }),
	);
}
