# SPDX-License-Identifier: MIT
"""
What the foreign suites have in common. DSB_TEST_OPTIONS: how sandboxes are made, as JSON. LEFT_OUT of a file: tests that do not pass,
each with its reason, of which there are few; one that passes all the same is a failure, and so is one that is not there.
NOT_ASKED: what a suite skips by itself, with the reason; it skips nothing else.
"""
import json
import os

import pytest

from dsandbox import Client

REASONS = 5
OPTIONS = json.loads(os.environ["DSB_TEST_OPTIONS"])


def options():
    """The arguments of a Workspace, and of others."""
    return {"client": Client(os.environ["DSB_TEST_SOCKET"], start=False), **OPTIONS}


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


def pytest_collection_modifyitems(items):
    for module in {item.module for item in items}:
        names = {item.originalname for item in items if item.module is module}
        unknown = (set(module.LEFT_OUT) | set(module.NOT_ASKED)) - names
        if unknown or len(set(module.LEFT_OUT.values())) + len(module.NOT_ASKED) > REASONS:
            raise pytest.UsageError(f"{module.__name__} leaves out too much, or what is not there: {unknown}")
    for item in items:
        reason = item.module.LEFT_OUT.get(item.originalname)
        if reason is not None:
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.originalname not in item.module.NOT_ASKED:
        report.outcome, report.longrepr = "failed", f"skipped, and NOT_ASKED does not name it: {report.longrepr}"
    if call.when == "call" and report.passed and item.originalname in item.module.NOT_ASKED:
        report.outcome, report.longrepr = "failed", "NOT_ASKED names it, and it passes"
    return report
