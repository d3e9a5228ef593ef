"""Values recorded from jax 0.10.2 on a CPU."""

import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[1] / "data" / "nn.json"


@pytest.fixture(scope="session")
def recorded() -> dict[str, Any]:
    """Inputs and results, by the name of the function."""
    return json.loads(DATA.read_text("utf-8"))
