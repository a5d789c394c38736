from .conformance import (
    CHECKS as CHECKS,
)
from .conformance import (
    assert_equal_bits as assert_equal_bits,
)
from .conformance import (
    check_method as check_method,
)
from .conformance import (
    collect_state_tensors as collect_state_tensors,
)
from .conformance import (
    make_random_batches as make_random_batches,
)
from .conformance import (
    make_tiny_config as make_tiny_config,
)
from .conformance import (
    make_tiny_facts as make_tiny_facts,
)
from .conformance import (
    train_on_random_batches as train_on_random_batches,
)
from .cuda import simulate_cuda as simulate_cuda
from .editors import KnownEditor as KnownEditor
from .editors import KnownGenerator as KnownGenerator
from .editors import TrueRedraw as TrueRedraw
from .tensors import (
    make_faces as make_faces,
)
from .tensors import (
    make_labels as make_labels,
)
from .tensors import (
    make_noise as make_noise,
)
from .tensors import (
    make_random_tensor as make_random_tensor,
)
from .tensors import (
    make_segmentation as make_segmentation,
)
