// Checks of one line each. The modules of the SDKs must be imported after this one, which counts their requests.
import assert from "node:assert/strict";

export { assert };

// The gateway's URL.
export const gateway = `http://${process.env.GATEWAY}`;

let requests = 0;
const send = globalThis.fetch;
globalThis.fetch = (...request) => {
	requests++;
	return send(...request);
};

// check runs one check and prints a line about it. One that fails makes the process fail.
export async function check(name, run) {
	try {
		await run();
		console.log(`ok    ${name}`);
	} catch (error) {
		process.exitCode = 1;
		console.log(`FAIL  ${name}: ${error?.message ?? error}`);
	}
}

// refused checks that a call ends with a status and a code, at once and with one request.
export function refused(name, status, code, call) {
	return check(name, async () => {
		const sent = requests;
		const started = Date.now();
		const error = await call().then(
			() => assert.fail("the call succeeds"),
			(failure) => failure,
		);
		assert.equal(error.status, status, error.message);
		const said = JSON.stringify([error.message, error.code, error.error]);
		assert.ok(said.includes(code), `the error must name ${code}: ${said}`);
		assert.equal(requests - sent, 1, "the SDK must not send the request again");
		assert.ok(Date.now() - started < 2000, "the call must end within 2 s");
	});
}

// collect joins the texts of a stream, which must come in more than one piece.
export async function collect(stream, textOf) {
	const texts = [];
	for await (const event of stream) texts.push(textOf(event) ?? "");
	assert.ok(texts.length > 1, "the stream must have several events");
	return texts.join("");
}
