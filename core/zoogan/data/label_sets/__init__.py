"""Label sets: which parts a segmentation has. The built-in sets are the YAML files of this folder. Imports no torch."""

from zoogan.data.label_sets.label_set import (
    AnyLabelSet,
    CelebAMaskLabelSet,
    LabelSet,
    list_label_sets,
    load_label_set,
    parse_label_set,
    read_label_set,
)

__all__ = [
    "AnyLabelSet",
    "CelebAMaskLabelSet",
    "LabelSet",
    "list_label_sets",
    "load_label_set",
    "parse_label_set",
    "read_label_set",
]
