"""Prints the lowest versions that pyproject.toml allows, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = [each for name, listed in project["optional-dependencies"].items() if name != "demo" for each in listed]
for wanted in [*project["dependencies"], *extras]:
    lowest = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", wanted)
    if lowest is not None:
        print(f"{lowest[1]}=={lowest[2]}")
