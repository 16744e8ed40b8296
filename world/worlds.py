"""The worlds of one walk: the one that was asked for, which is its home, and others that are visited on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from world.history import Walker
from world.recording import resized
from world.replay import given
from world.session import Made
from world.settings import SamplerConfig
from world.tuning import Twins
from world.types import State, TrueWorld, WorldModel

TRUTH, DREAM = "sim", "tiny"
_ROUGH = 2  # points of the time grid, one evaluation


class Worlds:
    """Models by address, each opened when it is first walked in. Steps abroad are told as pictures from elsewhere, so
    that a session needs its home alone."""

    def __init__(self, open_model: Callable[[str], WorldModel], home: str) -> None:
        self.home = self.address = home
        self.sampler: SamplerConfig | None = None  # None: as the world here was opened
        self.opening = ""  # the address of what is being loaded
        self._open_model = open_model
        self._opened: dict[str, Twins] = {}

    @property
    def here(self) -> Twins | None:
        """The world that makes the next step; None until it is opened."""
        return self._opened.get(self.address)

    @property
    def own_sampler(self) -> SamplerConfig | None:
        """The settings that the world here was opened with; None where they cannot be changed."""
        return self.here.sampler if self.here else None

    @property
    def sampling(self) -> SamplerConfig | None:
        """The settings of the next step, as far as they are known."""
        return self.sampler or self.own_sampler

    @property
    def rough_sampler(self) -> SamplerConfig | None:
        """The same with the fewest evaluations, None for the world's own."""
        known = self.sampling
        return self.sampler if known is None else replace(known, num_timesteps=min(_ROUGH, known.num_timesteps))

    def tune(self, sampler: SamplerConfig | None) -> None:
        """Other settings from the next step on, None for the world's own. Raises ModelError where it takes none."""
        if self.here is not None and self.here.sampler is None:
            self.here.of(sampler)
        self.sampler = None if sampler == self.own_sampler else sampler

    @property
    def at_home(self) -> Twins | None:
        """The world that was asked for; None until it is opened."""
        return self._opened.get(self.home)

    def go_to(self, address: str) -> None:
        """The next step is made there."""
        if address != self.address:
            self.address, self.sampler = address, None

    @property
    def other(self) -> str:
        """Where one goes from here: home from abroad, else to the truth, and from the truth into the dream."""
        if self.address != self.home:
            return self.home
        return DREAM if self.home == TRUTH else TRUTH

    def opened(self, address: str) -> Twins:
        """The world at `address`; raises what opening raises."""
        if address not in self._opened:
            self.opening = address
            self._opened[address] = Twins(self._open_model(address))
        return self._opened[address]

    def seen_from(self, address: str, state: State) -> State | None:
        """What is really seen there, in a world that knows every pose; None in any other, which goes on as it is."""
        model = self.opened(address).model
        if not isinstance(model, TrueWorld):
            return None
        [frame] = model.view(state.scene, [state.pose])
        return given(state, resized(frame, (state.frame.shape[1], state.frame.shape[0])), state.pose)

    def told(self, after: State, made: Made) -> Made:
        """How a step that was made here came about."""
        abroad = self.address != self.home and made.given is None
        return Made(given=after.frame, pose=after.pose) if abroad else made

    def walker(self, seed: int) -> Walker:
        """Who walks with that seed, for a session: the home."""
        home = self.at_home
        return Walker(home.model.spec.model if home else self.home, seed, home.sampler if home else None)

    def close(self) -> None:
        """Frees them all."""
        for twins in self._opened.values():
            twins.close()
