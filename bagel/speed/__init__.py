"""How fast and how exact: what `python -m bagel bench` measures besides a walk."""
