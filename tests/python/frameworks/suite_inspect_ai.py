# SPDX-License-Identifier: MIT
"""inspect_ai's own checks for those who make sandboxes: inspect_ai.util._sandbox.self_check. And a task, with a stub for a model."""
import pytest
from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import solver
from inspect_ai.util import SandboxEnvironmentSpec, sandbox
from inspect_ai.util._sandbox.self_check import *  # noqa: F401, F403

from conftest import OPTIONS, options
from dsandbox.adapters.inspect_ai import DsandboxConfig, DsandboxSandboxEnvironment

pytestmark = pytest.mark.anyio
LEFT_OUT = {"test_exec_as_user": "a sandbox has one user: no process in it can become another"}
NOT_ASKED = {}


@pytest.fixture(autouse=True)
def our_service(monkeypatch):
    """Where a client looks for it that is not told."""
    monkeypatch.setattr("dsandbox._service.default_socket", lambda: options()["client"].socket_path)


@pytest.fixture(scope="module")
async def environments():
    patch = pytest.MonkeyPatch()
    patch.setattr("dsandbox._service.default_socket", lambda: options()["client"].socket_path)
    made = await DsandboxSandboxEnvironment.sample_init("check", DsandboxConfig(**OPTIONS), {})
    yield made
    await DsandboxSandboxEnvironment.sample_cleanup("check", None, made, False)
    patch.undo()


@pytest.fixture
def sandbox_env(environments):
    return environments["default"]


@solver
def looks_around():
    async def solve(state, generate):
        done = await sandbox().exec(["cat", "data.txt"])
        state.output.completion = f"{done.stdout} and {(await sandbox().exec(['pwd'])).stdout}"
        return state
    return solve


async def test_a_task(tmp_path):
    task = Task(dataset=[Sample(input="Look.", target="of the sample and /sandbox", files={"data.txt": "of the sample"})],
                solver=looks_around(), scorer=includes(), sandbox=SandboxEnvironmentSpec("dsandbox", DsandboxConfig(**OPTIONS)))
    log = (await eval_async(task, model="mockllm/model", log_dir=str(tmp_path)))[0]
    assert log.status == "success", log.error
    assert log.results.scores[0].metrics["accuracy"].value == 1
