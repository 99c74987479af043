"""Makes the lab's modules importable: netns-lab is a program's directory, not a package."""

import sys
from pathlib import Path

LAB = str(Path(__file__).parents[2] / "netns-lab")
if LAB not in sys.path:
    sys.path.append(LAB)
