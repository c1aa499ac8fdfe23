"""What parsers of Python read as the model of the requests in verdicts.json.

To verify what is recorded there, with Python 3.11 or 3.12 (later ones have no cgi):

    python3 -m venv /tmp/verdicts && /tmp/verdicts/bin/pip install starlette python-multipart werkzeug
    /tmp/verdicts/bin/python <repository>/llm/testdata/verdicts.py

With --record the verdicts are written instead. verdicts.mjs does the same for Node, and says
what a verdict is.
"""

import asyncio
import base64
import io
import json
import logging
import pathlib
import sys
import urllib.parse
import warnings
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP, compat32

warnings.simplefilter("ignore")
logging.disable()

import cgi  # noqa: E402

from starlette.requests import Request  # noqa: E402
from werkzeug.formparser import parse_form_data  # noqa: E402

FILE = pathlib.Path(__file__).with_name("verdicts.json")


def body_of(request):
    if "base64" in request:
        return base64.b64decode(request["base64"])
    text = request.get("text", "") + request.get("prefix", "") + request.get("repeat", "") * request.get("count", 0)
    return (text + request.get("suffix", "")).encode()


def type_of(request):
    """The content type: of several fields the last, as a dictionary of them has it."""
    return request["contentType"][-1] if request["contentType"] else ""


def model_of(value):
    return [value["model"]] if isinstance(value, dict) and isinstance(value.get("model"), str) else []


def read_json(request):
    return model_of(json.loads(body_of(request)))


def read_json_in_charset(request):
    """As aiohttp does: the charset is the content type's, as email reads it."""
    message = Message()
    message["content-type"] = type_of(request)
    return model_of(json.loads(body_of(request).decode(message.get_content_charset() or "utf-8")))


def read_cgi(request):
    body = body_of(request)
    environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": type_of(request), "CONTENT_LENGTH": str(len(body))}
    return [value for value in cgi.FieldStorage(io.BytesIO(body), environ=environ).getlist("model") if isinstance(value, str)]


def read_email(policy):
    def read(request):
        head = b"Content-Type: " + type_of(request).encode("latin-1") + b"\r\n\r\n"
        message = BytesParser(policy=policy).parsebytes(head + body_of(request))
        models = []
        for part in message.walk():
            if part.get_param("name", header="content-disposition") == "model" and part.get_filename() is None:
                models.append(part.get_payload(decode=True).decode(part.get_content_charset() or "utf-8"))
        return models

    return read


def read_parse_qs(request):
    if "x-www-form-urlencoded" not in type_of(request).lower():
        return []
    return urllib.parse.parse_qs(body_of(request).decode(), keep_blank_values=True).get("model", [])


def read_werkzeug(request):
    body = body_of(request)
    environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": type_of(request), "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    return parse_form_data(environ, silent=False)[1].getlist("model")


def read_starlette(request):
    async def read():
        body = body_of(request)
        headers = [(b"content-type", value.encode("latin-1")) for value in request["contentType"]]

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        form = await Request({"type": "http", "method": "POST", "headers": headers}, receive).form()
        return [value for value in form.getlist("model") if isinstance(value, str)]

    return asyncio.run(read())


PARSERS = {
    "json": read_json,
    "json in the charset": read_json_in_charset,
    "cgi": read_cgi,
    "email": read_email(compat32),
    "email http": read_email(HTTP),
    "parse_qs": read_parse_qs,
    "werkzeug": read_werkzeug,
    "starlette": read_starlette,
}


def verdict(parse, request):
    try:
        return parse(request) or None
    except (Exception, RecursionError):  # noqa: BLE001
        return None


def main():
    record = "--record" in sys.argv
    content = json.loads(FILE.read_text(encoding="utf-8"))
    wrong = 0
    for request in content["requests"]:
        for name, parse in PARSERS.items():
            read = verdict(parse, request)
            if record:
                request.setdefault("read", {})[name] = read
            # Compared as JSON, which joins the halves of surrogate pairs.
            elif json.dumps(request.get("read", {}).get(name, "")) != json.dumps(read):
                wrong += 1
                print(f"{request['name']}: {name} reads {read!r}, recorded is {request.get('read', {}).get(name)!r}")
    if record:
        # As verdicts.mjs writes it: reading it once joins the halves of surrogate pairs, and
        # what is left of these UTF-8 cannot hold.
        text = json.dumps(json.loads(json.dumps(content)), indent=1, ensure_ascii=False)
        text = "".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) < 0xE000 else c for c in text)
        FILE.write_text(text + "\n", encoding="utf-8")
    print(f"{len(content['requests'])} requests, {len(PARSERS)} parsers, {'recorded' if record else f'{wrong} verdicts differ'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
