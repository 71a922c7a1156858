# SPDX-License-Identifier: MIT
"""dsandbox: run Python code that nobody trusts in a container, and get one truthful result.

    from dsandbox import Sandbox, Session

    print(Sandbox().run("print(1 + 1)").stdout)

    with Session() as session:              # variables and files stay until the end of the block
        session.run("import math; r = 2")
        print(session.run("math.pi * r ** 2").value)

Works through the per-user service of the program `dsandbox`, which is started when it is not there.
`dsandbox.dolphin` has a drop-in replacement for dolphin-mcp's DockerSandboxExecutor.
"""
from .aio import AsyncFiles, AsyncSession
from .client import Client
from .errors import (
    BusyError,
    ConflictError,
    DeniedError,
    Error,
    ExecutionCancelled,
    ExecutionFailed,
    InvalidError,
    LimitError,
    LostError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    TimedOutError,
    UnavailableError,
)
from .results import (
    Background,
    CodeError,
    Control,
    Display,
    Failure,
    FileChanges,
    FileInfo,
    HistoryEntry,
    Listing,
    Matches,
    Missing,
    Omitted,
    Restored,
    Result,
    SessionInfo,
    State,
    ToolCall,
    Usage,
    Variable,
    VariableChanges,
)
from .sandbox import Files, OptionValues, Options, Sandbox, Session

__version__ = "0.1.0"

__all__ = [
    "AsyncFiles",
    "AsyncSession",
    "BusyError",
    "Client",
    "Background",
    "CodeError",
    "ConflictError",
    "Control",
    "DeniedError",
    "Display",
    "Error",
    "ExecutionCancelled",
    "ExecutionFailed",
    "Failure",
    "FileChanges",
    "FileInfo",
    "Files",
    "HistoryEntry",
    "InvalidError",
    "LimitError",
    "Listing",
    "LostError",
    "Matches",
    "Missing",
    "NotFoundError",
    "Omitted",
    "OptionValues",
    "Options",
    "ProtocolError",
    "RefusedError",
    "Restored",
    "Result",
    "Sandbox",
    "Session",
    "SessionInfo",
    "State",
    "TimedOutError",
    "ToolCall",
    "UnavailableError",
    "Usage",
    "Variable",
    "VariableChanges",
]
