"""Reads bodies as a bot in Python does, and answers which workspace each preset's sources name there.

The first line is a list of presets. Then come batches: a line with a number, and for each body a line with its kind (json or form) and its
length, and its bytes. The answer to a body is a line: for each preset the id or null, and what is special about the reading.
"""

import json
import re
import sys
from urllib.parse import parse_qs

NOTHING, UNFIT = object(), object()


def sources(preset):
    parts = [re.fullmatch(r"(?:(\w+):)?(json|form|form_json|const|header|query|path|jwt):(.*)", text).groups() for text in preset["sources"]]
    return [(namespace or "ws", kind, rest, set(preset["never"])) for namespace, kind, rest in parts]


def at(value, steps):
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if isinstance(value, dict):
        inside = value.values() if step == "*" else [value[step]] if step in value else []
    elif isinstance(value, list):
        inside = value if step == "*" else value[int(step) : int(step) + 1] if step.isdigit() else []
    else:
        inside = []
    for below in inside:
        yield from at(below, rest)


def as_id(value):
    if value is None or value == "":
        return NOTHING
    if isinstance(value, str):
        return value if len(value.encode("utf-8", "surrogatepass")) <= 256 else UNFIT
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if -(2**63) <= value < 2**64 else UNFIT
    return UNFIT


class Body:
    def __init__(self, kind, data):
        self.special, self.kind, self.fields, self.document, self.broken = set(), kind, {}, None, False
        if kind == "json":
            self.document = self.parse(data)
        else:
            self.fields = parse_qs(data.decode("utf-8", "replace"))

    def parse(self, text):
        try:
            return json.loads(text, parse_int=self.integer)
        except RecursionError:
            self.special.add("deep")
        except ValueError as error:
            if "integer string conversion" in str(error):
                self.special.add("digits")
        self.broken = True
        return None

    def integer(self, text):
        if text == "-0":
            self.special.add("zero")
        return int(text)

    def values(self, kind, rest):
        if kind == "json" and self.kind == "json":
            yield from at(self.document, rest.split("/")[1:])
        elif kind == "form" and self.kind == "form":
            yield from self.fields.get(rest, [])
        elif kind == "form_json" and self.kind == "form":
            field, pointer = rest.split("#", 1)
            for text in dict.fromkeys(self.fields.get(field, [])):
                yield from at(self.parse(text), pointer.split("/")[1:])

    def find(self, sources):
        """The first source with an id; none if it has several."""
        passed_over = False
        for namespace, kind, rest, never in sources:
            if kind == "const":
                return None if passed_over or self.broken or self.kind == "form" else f"{namespace}:{rest}"
            ids = []
            for value in self.values(kind, rest):
                if isinstance(value, str) and "\ufffd" in value:
                    self.special.add("replaced")
                found = as_id(value)
                passed_over |= found is UNFIT
                if found is not UNFIT and found is not NOTHING and found not in ids:
                    ids.append(found)
            if len(ids) > 1:
                return None
            if ids and ids[0] not in never:
                # Half a surrogate pair is no text of another language.
                return f"{namespace}:{ids[0]}".encode("utf-8", "replace").decode()
        return None


def main():
    stdin, stdout = sys.stdin.buffer, sys.stdout
    presets = [sources(preset) for preset in json.loads(stdin.readline())]
    while count := stdin.readline():
        answers = []
        for _ in range(int(count)):
            kind, length = stdin.readline().split()
            body = Body(kind.decode(), stdin.read(int(length)))
            ids = [body.find(preset) for preset in presets]
            answers.append(json.dumps({"ids": ids, "special": sorted(body.special)}))
        stdout.write("\n".join(answers) + "\n")
        stdout.flush()


main()
