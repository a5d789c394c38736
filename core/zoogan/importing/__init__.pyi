from .official import (
    Choice as Choice,
)
from .official import (
    Imported as Imported,
)
from .official import (
    StateDict as StateDict,
)
from .official import (
    Trial as Trial,
)
from .official import (
    TrialFaces as TrialFaces,
)
from .official import (
    add_raw as add_raw,
)
from .official import (
    configure_discriminator as configure_discriminator,
)
from .official import (
    find_newest_files as find_newest_files,
)
from .official import (
    make_published_layer as make_published_layer,
)
from .official import (
    map_layer_names as map_layer_names,
)
from .official import (
    read_networks as read_networks,
)
from .official import (
    read_state_dict as read_state_dict,
)
from .official import (
    read_state_dicts as read_state_dicts,
)
from .official import (
    rename_tensors as rename_tensors,
)
from .official import (
    require_attribute_names as require_attribute_names,
)
from .official import (
    require_one_folder as require_one_folder,
)
from .official import (
    require_same_number as require_same_number,
)
from .official import (
    require_same_numbers as require_same_numbers,
)
from .official import (
    set_nested as set_nested,
)
from .official import (
    translate_arguments as translate_arguments,
)
from .synthesis import (
    OfficialWeights as OfficialWeights,
)
from .synthesis import (
    count_trunk_blocks as count_trunk_blocks,
)
from .synthesis import (
    make_mean_latent as make_mean_latent,
)
from .synthesis import (
    name_head_tensor as name_head_tensor,
)
from .synthesis import (
    name_mapping_tensor as name_mapping_tensor,
)
from .synthesis import (
    name_trunk_tensor as name_trunk_tensor,
)
from .synthesis import (
    read_latent_sizes as read_latent_sizes,
)
from .synthesis import (
    read_official_weights as read_official_weights,
)
from .synthesis import (
    read_shape as read_shape,
)
from .synthesis import (
    read_widths as read_widths,
)
from .synthesis import (
    remove_filters as remove_filters,
)
from .synthesis import (
    reshape_tensor as reshape_tensor,
)
from .synthesis import (
    split_networks as split_networks,
)
