"""The garbage collector waits inside a block, and is afterwards what it was before."""

import gc

import pytest

from infra.garbage import collected_later


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_collector_waits_and_is_then_as_before(was_enabled):
    before = gc.isenabled()
    try:
        (gc.enable if was_enabled else gc.disable)()
        with pytest.raises(ValueError, match="inside"), collected_later():
            assert not gc.isenabled()
            raise ValueError("inside")
        assert gc.isenabled() is was_enabled
    finally:
        (gc.enable if before else gc.disable)()
