"""The errors that a caller may want to catch; everything else is a plain ValueError.

WorldError
├── ModelError      a model could not be found, read or run
│   └── LinkError   a model in another process cannot be reached, or refuses
├── CancelledError  a step was given up by whoever asked for it
├── SceneError      a scene or picture could not be found or read
├── RenderError     the simulator cannot draw on this machine
└── ContractError   a world model breaks the contract of `world.types.WorldModel`
"""


class WorldError(Exception):
    """Anything that this project reports to a person: the message says what to do."""


class ModelError(WorldError):
    """A model address, checkpoint or device that does not work."""


class LinkError(ModelError):
    """A model in another process that does not answer, or that refuses: the message says why."""


class CancelledError(WorldError):
    """A step that was given up before it was finished."""


class SceneError(WorldError):
    """A scene or start picture that does not work."""


class RenderError(WorldError):
    """Rendering is not possible here (OpenGL or MuJoCo is missing)."""


class ContractError(WorldError):
    """A world model that breaks the contract: `failures` names each check that failed and says how to mend it."""

    def __init__(self, failures: dict[str, str]) -> None:
        self.failures = failures
        super().__init__("; ".join(f"[{check}] {what}" for check, what in failures.items()))
