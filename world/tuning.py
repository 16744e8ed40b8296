"""A world whose sampler is set anew while it is walked: from the settings, and to draw roughly while keys are held."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from world.errors import ModelError
from world.settings import SamplerConfig
from world.types import WorldModel


@runtime_checkable
class TunableWorld(WorldModel, Protocol):
    """A world that samples."""

    sampler: SamplerConfig

    def with_sampler(self, sampler: SamplerConfig) -> WorldModel:
        """The same model with other settings, sharing its weights; only one of the two may be at work at a time."""
        ...


class Twins:
    """One model under several settings; each twin keeps what it has read."""

    def __init__(self, model: WorldModel) -> None:
        self.model = model
        self._twins: dict[SamplerConfig, WorldModel] = {}

    @property
    def sampler(self) -> SamplerConfig | None:
        """The settings that the model was opened with; None where it has none that could be changed."""
        return self.model.sampler if isinstance(self.model, TunableWorld) else None

    def of(self, sampler: SamplerConfig | None) -> WorldModel:
        """The model with these settings, None for its own. Raises ModelError where it cannot take others."""
        if sampler is None or sampler == self.sampler:
            return self.model
        if not isinstance(self.model, TunableWorld):
            raise ModelError(f"{self.model.spec.model} samples as it was started: its settings cannot be changed here")
        if sampler not in self._twins:
            self._twins[sampler] = self.model.with_sampler(sampler)
        return self._twins[sampler]

    def close(self) -> None:
        """Frees the model and its twins."""
        for model in (*self._twins.values(), self.model):
            model.close()
