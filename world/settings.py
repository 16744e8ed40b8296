"""How a picture is sampled: BAGEL's published settings under their published names, and named presets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

RenormType = Literal["global", "channel", "text_channel"]


@dataclass(frozen=True)
class SamplerConfig:
    """The published sampler settings (defaults: the published editing app).

    `num_timesteps` counts the points of the time grid, both ends included, as the published code does: N points are
    N - 1 evaluations of the model, so 50 means 49.
    """

    num_timesteps: int = 50
    timestep_shift: float = 3.0
    cfg_text_scale: float = 4.0
    cfg_image_scale: float = 2.0
    cfg_interval: tuple[float, float] = (0.0, 1.0)  # guidance is on where low < t <= high, t after the shift
    cfg_renorm_type: RenormType = "text_channel"
    cfg_renorm_min: float = 0.0  # 1 turns the renorm off

    def __post_init__(self) -> None:
        if self.num_timesteps < 2:
            raise ValueError(
                f"num_timesteps counts points, of which N - 1 are evaluated: at least 2, got {self.num_timesteps}"
            )
        if not 0 < self.timestep_shift < math.inf:
            raise ValueError(f"timestep_shift must be above 0, got {self.timestep_shift}")
        if not (math.isfinite(self.cfg_text_scale) and math.isfinite(self.cfg_image_scale)):
            raise ValueError(
                f"guidance scales are numbers, 1 for none, got {self.cfg_text_scale} and {self.cfg_image_scale}"
            )
        if self.cfg_renorm_type not in ("global", "channel", "text_channel"):
            raise ValueError(f"cfg_renorm_type is global, channel or text_channel, got {self.cfg_renorm_type!r}")
        if not 0 <= self.cfg_renorm_min <= 1:
            raise ValueError(f"cfg_renorm_min lies in [0, 1], got {self.cfg_renorm_min}")
        low, high = self.cfg_interval
        if not 0 <= low <= high <= 1:
            raise ValueError(f"cfg_interval is (low, high) with 0 <= low <= high <= 1, got {self.cfg_interval}")


PRESETS: dict[str, SamplerConfig] = {
    # The published app.
    "edit": SamplerConfig(),
    "text_to_image": SamplerConfig(cfg_image_scale=1.5, cfg_interval=(0.4, 1.0), cfg_renorm_type="global"),
    # Walking, for a model trained for it: no guidance, few evaluations (1, 2, 4). Where there is but one, a CPU that
    # multiplies bytes faster than floats does so (bagel/rounding.py).
    "fast": SamplerConfig(num_timesteps=2, cfg_text_scale=1.0, cfg_image_scale=1.0),
    "walk": SamplerConfig(num_timesteps=3, cfg_text_scale=1.0, cfg_image_scale=1.0),
    "quality": SamplerConfig(num_timesteps=5, cfg_text_scale=1.0, cfg_image_scale=1.0),
    # Walking with the released model, which was not trained for few evaluations: 6 of them, and words are enforced
    # where the picture is still being laid out (the first two); one branch afterwards.
    "fast_edit": SamplerConfig(num_timesteps=7, cfg_image_scale=1.0, cfg_interval=(0.9, 1.0)),
}
