"""Sends the uploads of early_answers.cases to a gateway, with http.client, each
with a length and in chunks, and counts the answers that are lost:

    python3 early_answers.py http://127.0.0.1:8080

http.client sends the whole body before it reads an answer.
"""

import http.client
import os
import pathlib
import sys
import urllib.parse

ADDRESS = urllib.parse.urlsplit(sys.argv[1]).netloc
TRIES = int(os.environ.get("TRIES", "20"))


def cases():
    for line in pathlib.Path(__file__).with_suffix(".cases").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        status, size, path, key, encoding = line.split()
        headers = {"Content-Type": "application/json"}
        if key != "-":
            headers["Authorization"] = "Bearer " + key
        if encoding != "-":
            headers["Content-Encoding"] = encoding
        yield int(status), int(size), path, headers


def pieces(body):
    return (body[at : at + 65536] for at in range(0, len(body), 65536))


def send(path, headers, body, chunked):
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)
    try:
        if chunked:
            headers = {**headers, "Transfer-Encoding": "chunked"}
            connection.request("POST", path, pieces(body), headers, encode_chunked=True)
        else:
            connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def main():
    failed = False
    for status, size, path, headers in cases():
        begin, end = b'{"model":"corp/m","x":"', b'"}'
        body = begin + b"x" * (size - len(begin) - len(end)) + end
        for chunked in (False, True):
            faults = []
            for _ in range(TRIES):
                try:
                    got = send(path, headers, body, chunked)
                    if got != status:
                        faults.append(f"status {got}")
                except (OSError, http.client.HTTPException) as error:
                    faults.append(type(error).__name__)
            failed = failed or bool(faults)
            how = "in chunks" if chunked else "with a length"
            why = f" ({faults[0]})" if faults else ""
            print(
                f"python http.client, {path}, {status} at {size} bytes, {how}: lost {len(faults)} of {TRIES}{why}",
                flush=True,
            )
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
