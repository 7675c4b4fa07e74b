"""Loss families, each with its own file and record; a new one is listed in `FAMILIES`."""

from msr.losses import barlow, entropy, simclr, vicreg
from msr.losses.family import Family

FAMILIES: dict[str, Family] = {
    family.name: family for family in (simclr.FAMILY, vicreg.FAMILY, barlow.FAMILY, entropy.FAMILY)
}

__all__ = ["FAMILIES", "Family"]
