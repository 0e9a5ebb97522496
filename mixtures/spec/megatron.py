"""The YAML of a corpus that is tokenised already, and what identifies its files."""

from __future__ import annotations

from pathlib import Path

from infra.artifacts.fingerprint import digest
from infra.artifacts.inputs import input_digests
from infra.config.spec import Location, Spec
from infra.errors import InputError

_NEEDED, _TWIN = (".bin", ".idx"), (".risk.bin", ".risk.idx")


class MegatronSpec(Spec):
    """Megatron's IndexedDataset, with hormesis's risk twin beside it if it has one."""

    prefix: Location
    """PREFIX of PREFIX.bin and PREFIX.idx, made with the mixture's tokenizer and an EOS after every document."""
    unscored: bool = False
    """Take tokens that nobody scored into a mixture with `risk:`; loss policies will not judge them."""

    @property
    def has_twin(self) -> bool:
        """Whether the files carry risk bytes."""
        return all(Path(self.prefix + suffix).is_file() for suffix in _TWIN)


def digest_megatron(spec: MegatronSpec) -> str:
    """Hash over the content of the files. Raises InputError where there are none, ArtifactError where they are those of
    a mixture and damaged.
    """
    for suffix in _NEEDED:
        if not Path(spec.prefix + suffix).is_file():
            raise InputError(f"megatron: {spec.prefix}{suffix}: no such file")
    files = [spec.prefix + suffix for suffix in (*_NEEDED, *(_TWIN if spec.has_twin else ()))]
    return digest([spec.unscored, *input_digests(files)])
