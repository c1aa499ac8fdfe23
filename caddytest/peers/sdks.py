"""The openai package for Python, for Azure, through the gateway of sdks.sh. One line a check."""

import os
import sys
import time

from openai import APIStatusError, AzureOpenAI, DefaultHttpxClient

GATEWAY = f"http://{os.environ['GATEWAY']}"
MESSAGES = [{"role": "user", "content": "Say hi"}]
requests = 0
failed = False


def count(_):
    global requests
    requests += 1


def client(api_key, deployment):
    return AzureOpenAI(
        azure_endpoint=GATEWAY, azure_deployment=deployment, api_key=api_key, api_version="2024-10-21",
        http_client=DefaultHttpxClient(event_hooks={"request": [count]}, timeout=10),
    )


def chat(azure, model="gpt-4o-mini", **options):
    return azure.chat.completions.create(model=model, messages=MESSAGES, **options)


def streamed(azure):
    chunks = [chunk.choices[0].delta.content or "" for chunk in chat(azure, stream=True)]
    assert len(chunks) > 1, "the stream must have several events"
    return "".join(chunks)


def transcribe(azure):
    return azure.audio.transcriptions.create(model="", file=("hi.wav", b"RIFF")).text


def equal(got, want):
    assert got == want, f"{got!r} must be {want!r}"


def refused(call, status, code):
    sent, started = requests, time.monotonic()
    try:
        call()
    except APIStatusError as error:
        equal((error.status_code, error.code), (status, code))
    else:
        raise AssertionError("the call succeeds")
    equal(requests - sent, 1)
    assert time.monotonic() - started < 2, "the call must end within 2 s"


def check(name, run):
    global failed
    try:
        run()
        print(f"ok    {name}")
    except Exception as error:  # every failure is one line
        failed = True
        print(f"FAIL  {name}: {error!r}")


small = client("key-for-one-deployment", "azure_prod/small")
in_call = client("key-for-one-deployment", None)
ears = client("key-for-one-transcriber", "azure_prod/ears")
wrong = client("wrong", "azure_prod/small")
large = client("key-for-one-deployment", "azure_prod/large")
broken = client("key-for-everything", "broken/small")
hello = "Hello from azure"

check("Python: chat", lambda: equal(chat(small).choices[0].message.content, hello))
check("Python: chat, streamed", lambda: equal(streamed(small), hello))
check("Python: chat, model in the call", lambda: equal(chat(in_call, "azure_prod/small").choices[0].message.content, hello))
check("Python: transcriptions", lambda: equal(transcribe(ears), hello))
check("Python: models are those of the key", lambda: equal([model.id for model in in_call.models.list()], ["azure_prod/small"]))
check("Python: a wrong key ends at once", lambda: refused(lambda: chat(wrong), 401, "invalid_api_key"))
check("Python: a deployment that the key may not use", lambda: refused(lambda: chat(large), 403, "model_not_allowed"))
check("Python: a refused token request ends at once", lambda: refused(lambda: chat(broken), 502, "invalid_client"))
sys.exit(failed)
