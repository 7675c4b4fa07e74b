"""Loss families: one file and one record each. A new family is one line in `FAMILIES`."""

from msr.losses import barlow, entropy, simclr, vicreg
from msr.losses.family import Family

FAMILIES: dict[str, Family] = {
    family.name: family for family in (simclr.FAMILY, vicreg.FAMILY, barlow.FAMILY, entropy.FAMILY)
}

__all__ = ["FAMILIES", "Family"]
