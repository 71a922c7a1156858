# SPDX-License-Identifier: MIT
"""pydantic-ai's own suite for those who make workspaces: pydantic_ai.workspaces.conformance."""
import types

import anyio
import pytest
from pydantic_ai.workspaces import conformance
from pydantic_ai.workspaces.conformance import WorkspaceBackendSuite

from conftest import options
from dsandbox.adapters.pydantic_ai import DsandboxWorkspace

ENDED = "a process that a command leaves behind is ended with it"
LEFT_OUT = {
    "test_background_child_does_not_hold_up_completed_command": ENDED,
    "test_a_backend_attached_by_ref_reaches_a_detached_process": ENDED,
}
NOT_ASKED = {"test_fifo_read_does_not_wait_for_writer": "code cannot make named pipes"}


@pytest.fixture(autouse=True)
def no_long_wait(request, monkeypatch):
    """For what never comes in the tests that are left out: up to 60 seconds each."""
    if request.node.originalname in LEFT_OUT:
        short = types.SimpleNamespace(**vars(anyio))
        short.fail_after = lambda seconds: anyio.fail_after(min(seconds, 5))
        short.move_on_after = lambda seconds, shield=False: anyio.move_on_after(min(seconds, 5), shield=shield)
        monkeypatch.setattr(conformance, "anyio", short)


class TestDsandbox(WorkspaceBackendSuite):
    @pytest.fixture(scope="class")
    async def shared(self):
        backend = DsandboxWorkspace(**options())
        yield backend
        await backend.close()

    @pytest.fixture
    def backend(self, shared):
        return shared

    @pytest.fixture
    async def fresh_backend(self):
        made = []

        def make():
            made.append(DsandboxWorkspace(**options()))
            return made[-1]

        yield make
        for backend in made:
            await backend.close()

    @pytest.fixture
    def attach_backend(self):
        return lambda ref: DsandboxWorkspace(ref, **options())

    @pytest.fixture
    def destroy_environment(self):
        async def destroy(backend):
            await backend.close()
        return destroy
