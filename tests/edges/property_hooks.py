# SPDX-License-Identifier: MIT
"""Loaded by schemathesis (test_property.py): sandboxes are made where the test says, whatever a case says about it."""
import json
import os

import schemathesis
from schemathesis.core import NotSet

WHERE = json.loads(os.environ["DSB_WHERE"])
SESSION = ("base_dir", "image", "backend", "host", "allow_unenforced")
BODIES = {"/v1/run": SESSION, "/v1/run/events": SESSION, "/v1/sessions": SESSION, "/v1/gc": ("base_dir", "backend", "host")}


def put(body, names):
    for name in ("plugin", *names):
        if isinstance(body.get(name), (str, list)):  # a wrong type stays what it is
            del body[name]
        if name in WHERE:
            body.setdefault(name, WHERE[name])
    seconds = body.get("engine_timeout")
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 < seconds < 60:
        body["engine_timeout"] = 60  # 504 from an engine that has no time would be right


@schemathesis.hook
def before_call(_context, case, _kwargs):
    path = case.operation.path
    if isinstance(case.body, NotSet) and path in BODIES:  # no body is right, and would mean the user's own engine
        case.body, case.media_type = {}, "application/json"
    body = case.body
    if not isinstance(body, dict):
        return
    if path in BODIES:
        put(body, BODIES[path])
    elif "/execute" in path and isinstance(body.setdefault("create", {}), dict):
        put(body["create"], SESSION)


@schemathesis.check
def failure_of_our_own(_context, response, case):
    """Whatever an engine does, "internal server error" is a fault of ours."""
    if response.status_code == 500:
        raise AssertionError(f"{case.operation.label}: {response.text}")
