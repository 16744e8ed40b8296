"""The model that ships with the project: a checkpoint directory in the release's layout."""

from pathlib import Path

TINY = Path(__file__).parent
