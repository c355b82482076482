"""The contract is no test file, so pytest has to be told to explain its assertions."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("stores.contract")
